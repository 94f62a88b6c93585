//! `docs/paxos-made-wrong.md`: the catalogue as a book, with each scene as it plays out.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use super::catalogue::{CATALOGUE, Entry, Expected, MISSING};
use super::matrix::recorded;
use crate::checker::Property;

const INTRODUCTION: &str = "\
# Paxos made wrong

Every rule of [the protocol](protocol.md) is there because something breaks without it. This page breaks them, one at a time, in the \
real code, and shows the messages that follow. You need to know only the two phases: a candidate asks acceptors to *promise* its ballot, \
then, as leader, asks them to *vote* for values; a value with a quorum of votes in one ballot is *chosen*, and nothing else may ever be \
chosen in that slot.

Each mutant is one condition in the core, or in the simulator's driver around it, that a test can switch off. \
The sequence under it was played by real replicas with that condition off; with it on, the same messages do no harm, which is tested too. \
Most were found by trying random moves on a tiny cluster, and all were shortened until every move left was needed. `simulate explain NAME` tells \
each of them as text, `simulate mutants` judges all of them, and this page is written by `simulate explain --book`.

How to read the diagrams: A, B, C are nodes. Ballot 2.B is round 2 of node B (elsewhere written `2.2`, with the node's number), and 1.C < 2.A < 2.B. Clients write \
x, y, z in that order. A message that is not shown arrives too late or never. What a note says about promises and votes is on the node's disk \
at that moment, unless the disk is called slow. A node is its own acceptor, and no arrow is drawn for that: who stands has promised itself and \
reads its own votes first, and who proposes votes itself. So among three nodes one `Promise`, or one vote of another node, makes a majority. \
A note across all nodes is what nobody there can see: the truth about what is chosen.

Words of the rules that are quoted: Q1 and Q2 are quorums of phase 1 and of phase 2. Slots are the numbered places of the log, each a Paxos of its own; `c`, \
the chosen prefix, is the slot up to which a node knows all to be chosen, so a value learned *above a gap* is one that it learned beyond the \
first slot that it does not know. `α`, the window, is how many slots above `c` a leader may work on at once. The horizon is the last slot in which phase 1 \
found a vote, and a no-op a value that does nothing. Chosen slots are applied to the state machine in order; when that is durable everywhere \
they are trimmed, which is to say forgotten. An incarnation is one life of a node's disk, an epoch one set of members. [The protocol](protocol.md) has the rest.

";

const HOW: &str = "\
## How they are judged

On the stage, as told above, a mutant must do the harm that is named with it. In the simulated cluster, under random faults, one of \
the checkers must see it, usually long before there is harm: the fifth column says which, and at which recorded seed. I1 to I20 and the others are the \
simulator's checkers, one file each in `simulator/src/checker/`. Those that must survive are run for millions of events, and their condition must have \
made a difference on the way. The numbers in the first column count the ways to get Paxos wrong that were gathered beforehand; mutants that came later have none.

";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The text of a rule in `docs/protocol.md`: the second cell of its row.
fn rule(protocol: &str, name: &str) -> Option<String> {
    let row = format!("| {name} | ");
    let line = protocol.lines().find(|line| line.starts_with(&row))?;
    let text = line[row.len()..].split(" | ").next()?.trim();
    let mut letters = text.chars();
    let first = letters.next()?.to_uppercase();
    Some(format!("{first}{}", letters.as_str()))
}

/// The page.
///
/// # Errors
/// What could not be read, or that this build does not have the mutants.
pub fn book() -> Result<String, String> {
    let protocol =
        std::fs::read_to_string(file("docs/protocol.md")).map_err(|error| format!("docs/protocol.md: {error}"))?;
    let mut page = INTRODUCTION.to_owned();
    let mut told = BTreeSet::new();
    for chapter in CATALOGUE {
        page += &format!("## {}\n\n{}\n\n", chapter.title, chapter.introduction);
        for entry in chapter.entries {
            page += &section(entry, &protocol, &mut told)?;
        }
    }
    page += HOW;
    page += &table()?;
    page += &missing();
    Ok(page)
}

fn section(entry: &Entry, protocol: &str, told: &mut BTreeSet<String>) -> Result<String, String> {
    let mutant = entry
        .mutant()
        .ok_or_else(|| format!("{} breaks the core: build with `--features mutants`", entry.name))?;
    let name = mutant.rule().split(' ').next().unwrap_or_default();
    let mut text = format!("### {}: {}\n\n", mutant.rule(), entry.title);
    if told.insert(name.to_owned()) {
        let words = rule(protocol, name).ok_or_else(|| format!("docs/protocol.md has no rule {name}"))?;
        text += &format!("> **{name}.** {words}.\n\n");
    }
    text += &format!("{} (`{}`)\n\n", entry.change, entry.name);
    if entry.scene()?.is_some() {
        let played = entry.play()?;
        text += &format!("```mermaid\n{}```\n\n", played.story.mermaid());
        text += &match (entry.harm(), played.violation) {
            (Some(_), Some(violation)) => {
                let (what, how) = (broken(violation.property), sentence(&violation.detail));
                format!("**{what}** {how}.\n\n")
            }
            (None, None) => "**Nothing breaks.**\n\n".to_owned(),
            _ => return Err(format!("the scene of {} does not end as it must", entry.name)),
        };
    } else if entry.expected == Expected::Stuck {
        text += "**What breaks: progress.** A healed cluster does not go on.\n\n";
    } else if let Expected::Survives(_) = entry.expected {
        text += "**Nothing breaks.**\n\n";
    } else if let Expected::Killed(property) = entry.expected {
        let what = broken(property);
        text +=
            &format!("**{what}** There is no short story of it; random faults in the simulated cluster show it.\n\n");
    }
    text += &format!("{}\n\n", entry.outcome);
    Ok(text)
}

/// Begins with a capital, unless with a value: those are single small letters.
fn sentence(words: &str) -> String {
    let first = words.split(' ').next().unwrap_or_default();
    if first.len() == 1 && first != "a" {
        return words.to_owned();
    }
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// The invariant in words.
fn broken(property: Property) -> &'static str {
    match property {
        Property::Agreement => "What breaks: agreement, one value for each slot.",
        Property::Claims => "What breaks: whatever a node takes for chosen is chosen.",
        Property::Applied => "What breaks: all nodes apply the same values in the same order.",
        Property::Acknowledged => "What breaks: what a client was told is done stays done.",
        Property::OneEffect => "What breaks: a command has one effect, and none if it was refused.",
        Property::RealTime => "What breaks: a read sees every write that ended before it began.",
        Property::Floor => "What breaks: nothing is forgotten that is not durable elsewhere.",
        Property::NoPanic => "What happens: the replica stops itself.",
        Property::Ballots => "What breaks: a ballot is begun by one process only.",
        Property::Window => "What breaks: the bound on what a successor has to recover.",
        Property::PromisesGrow => "What breaks: a promise is never taken back.",
        Property::Evidence => "What breaks: a leader proposes what a phase-1 quorum leaves it to propose.",
        Property::SameBits => "What breaks: two states of one slot are the same.",
        Property::Configurations => {
            "What breaks: who decides in which slot follows from the log, and the old members stay as long as they are needed."
        }
        Property::Stale => "What breaks: a state is not older than its node says.",
        _ => "What breaks.",
    }
}

fn table() -> Result<String, String> {
    let seeds = recorded()?;
    let mut text =
        "| row | mutant | rule | verdict | seen by, at seed | told in |\n|---|---|---|---|---|---|\n".to_owned();
    for entry in super::catalogue::entries() {
        let Some(mutant) = entry.mutant() else { continue };
        let seen = match (seeds.get(entry.name), entry.expected) {
            (Some(recorded), _) => format!("{}, seed {}", recorded.by, recorded.seed),
            (None, Expected::Survives(_)) => String::new(),
            (None, _) => "too rare for random faults".to_owned(),
        };
        let verdict = match entry.expected {
            Expected::Killed(property) => format!("killed: {}", property.name()),
            Expected::Stuck => "does not go on".to_owned(),
            Expected::Survives(_) => "survives".to_owned(),
        };
        let scene = entry
            .scene()?
            .map_or(String::new(), |scene| format!("{} moves", scene.len()));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {verdict} | {seen} | {scene} |",
            mutant.row(),
            entry.name,
            mutant.rule()
        );
    }
    Ok(text + "\n")
}

fn missing() -> String {
    let mut text =
        "Rows without a mutant of their own:\n\n| row | what would be wrong | why there is none |\n|---|---|---|\n"
            .to_owned();
    for row in MISSING {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {} | {} |", row.row, row.what, row.why);
    }
    text
}

/// Where the page is kept.
#[must_use]
pub fn book_file() -> PathBuf {
    file("docs/paxos-made-wrong.md")
}

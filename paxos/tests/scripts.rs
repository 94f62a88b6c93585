//! Golden scripts: the protocol, told by what real replicas do.
//!
//! Each file in `tests/scripts/` is a story whose name says what must happen. Lines that begin with `> ` are commands,
//! what stands below a command is what the replicas did, everything else (`#` and blank lines) is prose. The test plays
//! the commands and compares. `UPDATE_SCRIPTS=1 cargo test --release -p paxos --test scripts` writes down what happens
//! instead; read the difference before committing it.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use paxos::{Envelope, Input, LeaseOptions, Replica, Room, Standing, Waivers};
use quorum::{NodeId, Role};
use support::cluster::Cluster;
use support::words;

/// What commands a script may use; one line each.
const COMMANDS: &str = "
cluster SIZE SYSTEM [alpha N]   new nodes on empty disks; SYSTEM as in `majority`, `counts 4/2`
cluster SIZE SYSTEM log N       the same; their journals keep N slots at most
lease SPAN DRIFT                all nodes start anew with leases of that length, and clocks that are wrong by so many parts in a
                                million at most
hand-back SPAN                  all nodes start anew; 1 leads least reluctantly, and is handed leadership after that span
hand-over N [TO]                the operator wants TO to lead instead of N, or any other
quietly COMMAND                 does it and shows nothing
campaign N                      time passes at N alone until it does something about leadership
elect N                         a second passes where nobody leads, then N campaigns and everything is delivered
silence N.. SPAN                clocks of these nodes move on; nobody is woken
tick N SPAN                     time passes at N, and it is woken if it asked for that
deliver                         everything that is under way, and what follows from it, until all is quiet
deliver A->B [KIND]             the messages from A to B (of that kind) that are under way now; `*` is any node, and
                                SnapshotPiece2 that piece alone
drop, delay A->B [KIND]         these are lost, or held back from a plain `deliver`
repeat A->B KIND                the last message of that kind is delivered again
cut, heal A->B                  the link loses everything from now on, or no longer
hold-writes N / persist N       N's disk finishes no write / finishes all that wait and goes on
sleep N / wake N                N's state machine applies nothing / applies all that waits and goes on
propose N TEXT [TIMES]          a client of N; TEXT*KIBIBYTES makes it large
read N                          a client of N
load N COUNT                    COUNT commands, one after the other, everything delivered, nothing shown
flush N..                       the state machine of N makes durable what it has applied
crash N / restart N             memory and unfinished writes are lost / starts from its disk
space N ample|scarce|none       how much room N's disk has: scarce is enough for records
lose-state N                    the state machine of N, which is down, is lost; its journal is not
change N SYSTEM of MEMBERS      an operator of N; `3/2` is node 3 with its second disk, `4?` a learner, `4-` an acceptor;
                                `forced` at the end accepts every risk
join N[/LIFE]                   a node with an empty disk starts, which was told of the newest configuration
spoil N / forget N              the next piece that N stages does not verify / N drops the snapshots that it serves
show                            every node: what it does, and what its disk holds";

#[derive(Default)]
struct Stage {
    cluster: Option<Cluster>,
}

impl Stage {
    fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("a script begins with `cluster`")
    }

    /// Does a command and returns what was seen.
    fn play(&mut self, line: &str) -> Result<Vec<String>, String> {
        if let Some(quiet) = line.strip_prefix("quietly ") {
            return self.play(quiet).map(|_| Vec::new());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let node = |at: usize| -> Result<u64, String> {
            words
                .get(at)
                .and_then(|word| word.parse().ok())
                .ok_or("a node number is missing".to_string())
        };
        if let ["cluster", size, rest @ ..] = &words[..] {
            let number = |word: &str| word.parse::<u32>().map_err(|_| format!("{word} is no number"));
            let (system, alpha, log) = match rest {
                [system @ .., "alpha", alpha] => (system, number(alpha)?, 1 << 20),
                [system @ .., "log", log] => (system, 16, number(log)?.into()),
                system => (system, 16, 1 << 20),
            };
            let size = size.parse().map_err(|_| "the size is no number")?;
            self.cluster = Some(Cluster::new(size, &system.join(" "), alpha, 1, log));
        } else {
            let cluster = self.cluster();
            match words[..] {
                ["campaign", _] => cluster.pass_until_election(node(1)?),
                ["elect", _] => elect(cluster, node(1)?),
                ["silence", .., span] => {
                    for at in 1..words.len() - 1 {
                        let node = cluster.node(node(at)?);
                        node.now = node.now + duration(span)?;
                    }
                }
                ["tick", _, span] => cluster.pass(node(1)?, duration(span)?),
                ["deliver"] => deliver_all(cluster),
                ["deliver" | "drop" | "delay" | "repeat" | "cut" | "heal", link, ..] => {
                    on_link(cluster, words[0], link, words.get(2).copied())?;
                }
                ["hold-writes", _] => cluster.node(node(1)?).holds = true,
                ["persist", _] => {
                    cluster.node(node(1)?).holds = false;
                    cluster.complete_writes(node(1)?);
                    cluster.apply(node(1)?);
                }
                ["lease", span, drift] => {
                    cluster.lease = Some(LeaseOptions {
                        duration: duration(span)?,
                        drift_ppm: drift.parse().map_err(|_| "no drift")?,
                    });
                    restart_all(cluster);
                }
                ["hand-back", span] => {
                    cluster.hand_back = Some(duration(span)?);
                    restart_all(cluster);
                }
                ["hand-over", _] => cluster.step(node(1)?, Input::HandOver { to: None }),
                ["hand-over", _, _] => {
                    let to = Some(NodeId(node(2)?));
                    cluster.step(node(1)?, Input::HandOver { to });
                }
                ["sleep", _] => cluster.node(node(1)?).asleep = true,
                ["wake", _] => {
                    cluster.node(node(1)?).asleep = false;
                    cluster.apply(node(1)?);
                }
                ["propose", _, text] => propose(cluster, node(1)?, text)?,
                ["read", _] => cluster.read(node(1)?),
                ["load", _, count] => load(cluster, node(1)?, count.parse().map_err(|_| "no count")?)?,
                ["flush", ..] => {
                    for at in 1..words.len() {
                        cluster.flush(node(at)?);
                    }
                }
                ["crash", _] => cluster.crash(node(1)?),
                ["restart", _] => cluster.start(node(1)?),
                ["space", _, room] => {
                    let room = match room {
                        "ample" => Room::Ample,
                        "scarce" => Room::Scarce,
                        "none" => Room::Exhausted,
                        _ => return Err(format!("{room} is no room")),
                    };
                    cluster.step(node(1)?, Input::Space(room));
                }
                ["lose-state", _] => cluster.node(node(1)?).disk.lose_state(),
                ["spoil", _] => cluster.node(node(1)?).snapshots.spoilt = true,
                ["forget", _] => cluster.node(node(1)?).snapshots.forget(),
                ["change", _, .., "forced"] => change(cluster, node(1)?, &words[2..words.len() - 1], true)?,
                ["change", _, ..] => change(cluster, node(1)?, &words[2..], false)?,
                ["join", name] => {
                    let (node, life, _) = member(name)?;
                    let newest = cluster.judge.newest().clone();
                    cluster.place(node, life, Some(newest));
                    cluster.start(node);
                }
                ["show"] => show(cluster),
                _ => return Err(format!("no such command; there are:{COMMANDS}")),
            }
        }
        Ok(std::mem::take(&mut self.cluster().trace))
    }
}

/// A member as scripts write it: its number, the life of its disk, and its role.
fn member(text: &str) -> Result<(u64, u64, Role), String> {
    let role = match text.chars().last() {
        Some('?') => Role::Learner,
        Some('-') => Role::Acceptor,
        _ => Role::Voter,
    };
    let plain = text.trim_end_matches(['?', '-']);
    let (node, life) = plain.split_once('/').unwrap_or((plain, "1"));
    let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
    Ok((number(node)?, number(life)?, role))
}

/// The configuration after the newest that the node knows.
fn change(cluster: &mut Cluster, node: u64, words: &[&str], forced: bool) -> Result<(), String> {
    let of = words.iter().position(|word| *word == "of").ok_or("SYSTEM of MEMBERS")?;
    let members: Vec<_> = words[of + 1..]
        .iter()
        .map(|word| member(word))
        .collect::<Result<_, _>>()?;
    let replica = cluster.node(node).replica.as_ref().ok_or("that node is down")?;
    let newest = replica.configuration().clone();
    let next = cluster.next_configuration(&newest, &words[..of].join(" "), &members);
    let waivers = Waivers {
        behind: forced,
        one_disk: forced,
        one_zone: forced,
    };
    cluster.change(node, next.ok_or("no valid configuration")?, waivers);
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("{text} is no span"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("{text} needs a unit: ms or s")),
    }
}

fn restart_all(cluster: &mut Cluster) {
    let names: Vec<u64> = cluster.nodes.keys().copied().collect();
    for name in names {
        cluster.crash(name);
        cluster.start(name);
    }
}

fn elect(cluster: &mut Cluster, node: u64) {
    for node in cluster.nodes.values_mut() {
        let leads = |replica: &Replica| replica.status().standing == Standing::Leading;
        if !node.replica.as_ref().is_some_and(leads) {
            node.now = node.now + Duration::from_secs(1);
        }
    }
    cluster.pass_until_election(node);
    deliver_all(cluster);
}

fn deliver_all(cluster: &mut Cluster) {
    for _ in 0..100_000 {
        if cluster.network.is_empty() {
            return;
        }
        let envelope = cluster.network.remove(0);
        cluster.hand(envelope);
    }
    panic!("messages never cease");
}

fn on_link(cluster: &mut Cluster, verb: &str, link: &str, kind: Option<&str>) -> Result<(), String> {
    let (from, to) = link.split_once("->").ok_or("a link is written A->B")?;
    let fits = |pattern: &str, node: u64| pattern == "*" || pattern.parse() == Ok(node);
    let meant = |envelope: &Envelope| {
        fits(from, envelope.from.node.0)
            && fits(to, envelope.to.node.0)
            && kind.is_none_or(|kind| words::is_meant(&envelope.message, kind))
    };
    if matches!(verb, "cut" | "heal") {
        let names: Vec<u64> = cluster.nodes.keys().copied().collect();
        for (a, b) in names.iter().flat_map(|a| names.iter().map(move |b| (*a, *b))) {
            if a != b && fits(from, a) && fits(to, b) {
                if verb == "cut" {
                    cluster.cuts.insert((a, b));
                } else {
                    cluster.cuts.remove(&(a, b));
                }
            }
        }
        return Ok(());
    }
    let picked: Vec<Envelope> = match verb {
        "repeat" => cluster
            .sent
            .iter()
            .filter(|envelope| meant(envelope))
            .cloned()
            .collect(),
        "delay" => cluster.network.extract_if(.., |envelope| meant(envelope)).collect(),
        _ => {
            let late = cluster.delayed.extract_if(.., |envelope| meant(envelope));
            let late: Vec<Envelope> = late.collect();
            late.into_iter()
                .chain(cluster.network.extract_if(.., |envelope| meant(envelope)))
                .collect()
        }
    };
    if picked.is_empty() {
        return Err(format!(
            "no such message; under way are {:?}",
            words::envelopes(&cluster.network)
        ));
    }
    match verb {
        "drop" => {}
        "delay" => cluster.delayed.extend(picked),
        _ => picked.into_iter().for_each(|envelope| cluster.hand(envelope)),
    }
    Ok(())
}

fn propose(cluster: &mut Cluster, node: u64, text: &str) -> Result<(), String> {
    let mut payload = BytesMut::from(text.as_bytes());
    if let Some((_, kibibytes)) = text.split_once('*') {
        let kibibytes: usize = kibibytes.parse().map_err(|_| "TEXT*KIBIBYTES")?;
        payload.put_bytes(0, kibibytes * 1024 - text.len());
    }
    cluster.propose(node, text, payload.freeze());
    Ok(())
}

fn load(cluster: &mut Cluster, node: u64, count: u64) -> Result<(), String> {
    let before = cluster.judge.chosen();
    for number in 0..count {
        propose(cluster, node, &format!("load{number}"))?;
        deliver_all(cluster);
    }
    cluster.trace.clear();
    let chosen = cluster.judge.chosen() - before;
    cluster.say(format!("{chosen} more slots are chosen"));
    Ok(())
}

fn show(cluster: &mut Cluster) {
    let mut lines = Vec::new();
    for (name, node) in &cluster.nodes {
        let Some(replica) = &node.replica else {
            lines.push(format!(
                "{name} is down; its disk: promised {}, chosen {}",
                node.disk.promised(),
                node.disk.chosen()
            ));
            continue;
        };
        let status = replica.status();
        let log: Vec<String> = node
            .disk
            .log
            .iter()
            .map(|(slot, logged)| format!("s{slot} {}", words::logged(logged)))
            .collect();
        let log = if log.len() > 8 {
            vec![format!("{} slots", log.len())]
        } else {
            log
        };
        let log = if log.is_empty() { vec!["empty".to_string()] } else { log };
        lines.push(format!(
            "{name} {:12} promised {}, chosen {}, applied {} | {}",
            words::standing(&status),
            status.promised,
            status.chosen,
            status.applied,
            log.join(", ")
        ));
    }
    lines.into_iter().for_each(|line| cluster.say(line));
}

/// Plays a script and returns it with what was seen this time.
fn replay(path: &Path) -> String {
    let script = fs::read_to_string(path).expect("a script can be read");
    let mut stage = Stage::default();
    let mut seen = String::new();
    for (number, line) in script.lines().enumerate() {
        if let Some(command) = line.strip_prefix("> ") {
            seen += &format!("{line}\n");
            let output = catch_unwind(AssertUnwindSafe(|| stage.play(command)));
            let output = output.unwrap_or_else(|_| Err("a node or its judge gave up, see above".to_string()));
            let output = output.unwrap_or_else(|fault| vec![format!("! line {}: {fault}", number + 1)]);
            for line in output {
                seen += &format!("{line}\n");
            }
        } else if line.is_empty() || line.starts_with('#') {
            seen += &format!("{line}\n");
        }
    }
    seen
}

/// Where two texts part, with what stands before.
fn difference(expected: &str, seen: &str) -> String {
    let expected: Vec<&str> = expected.lines().collect();
    let seen: Vec<&str> = seen.lines().collect();
    let same = expected.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    let mut lines: Vec<String> = seen[same.saturating_sub(6)..same]
        .iter()
        .map(|line| format!("    {line}"))
        .collect();
    lines.extend(expected[same..].iter().take(8).map(|line| format!("  - {line}")));
    lines.extend(seen[same..].iter().take(8).map(|line| format!("  + {line}")));
    lines.join("\n")
}

/// All scripts, or those that `SCRIPT` names.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the scripts are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let only = std::env::var("SCRIPT").unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "txt") && path.to_string_lossy().contains(&only));
    assert!(!paths.is_empty(), "there are no scripts");
    paths
}

#[test]
fn replicas_do_what_the_scripts_say() {
    let update = std::env::var("UPDATE_SCRIPTS").is_ok();
    let mut faults = Vec::new();
    for path in scripts() {
        let expected = fs::read_to_string(&path).expect("a script can be read");
        let seen = replay(&path);
        if update {
            fs::write(&path, &seen).expect("a script can be written");
        }
        if let Some(fault) = seen.lines().find(|line| line.starts_with("! ")) {
            faults.push(format!("{}\n{fault}", path.display()));
        } else if expected != seen && !update {
            faults.push(format!("{}\n{}", path.display(), difference(&expected, &seen)));
        }
    }
    assert!(
        faults.is_empty(),
        "what happens differs from what is written (-: written, +: happens; UPDATE_SCRIPTS=1 rewrites):\n\n{}",
        faults.join("\n\n")
    );
}

/// Rules about who leads when, and other bounds, cannot be broken unsafely, so no checker sees it: a script must.
#[cfg(feature = "mutants")]
#[test]
fn scripts_see_the_rules_that_no_checker_can() {
    use paxos::mutant::{Mutant, set};
    let quiet = [
        Mutant::MachineOutrun,
        Mutant::TrimmedAlone,
        Mutant::TrimmedUntold,
        Mutant::SpaceIgnored,
        Mutant::RejectIgnored,
        Mutant::CanvassSkipped,
        Mutant::CanvassGranted,
        Mutant::NoBackOff,
        Mutant::AilingUnnoticed,
        Mutant::AilingFollowed,
        Mutant::LeaseByHeads,
        Mutant::GrantIgnored,
        Mutant::GrantForgotten,
        Mutant::DriftIgnored,
        Mutant::LeaseKept,
        Mutant::ReleaseForEver,
    ];
    let mut unseen = Vec::new();
    for mutant in quiet {
        let seen = scripts().into_iter().find(|path| {
            set(Some(mutant));
            let seen = replay(path);
            set(None);
            fs::read_to_string(path).expect("a script can be read") != seen
        });
        match seen {
            Some(path) => println!("{:<20} is seen by {}", mutant.name(), path.display()),
            None => unseen.push(mutant.name()),
        }
    }
    assert!(unseen.is_empty(), "no script sees {}", unseen.join(", "));
}

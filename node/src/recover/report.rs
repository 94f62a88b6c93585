//! What is certain, what is a guess, and what is lost, in words.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use paxos::{Ballot, Slot, Value};
use quorum::NodeId;
use storage::Survivor;
use storage::machine::{Command, Op};

use super::decide::Fate;
use super::{Governing, Wreck, names, place};
use crate::archive::Facts;

/// Keys that are named of one slot.
const KEYS: usize = 8;

/// Collected while slots are decided.
#[derive(Default)]
pub struct Report {
    /// The text, as far as it is written.
    text: String,
    /// Slots behind the state that are chosen for certain.
    pub certain: u64,
    /// Slots filled with a vote that may not be what was chosen.
    pub adopted: u64,
    /// Slots that are known to be chosen, with values that nobody has.
    pub lost: u64,
    /// Slots below others of which nobody knows anything.
    pub unknown: u64,
    /// A line for each slot that is not certain.
    doubts: String,
    /// The highest ballot of which any disk knows.
    highest: Ballot,
    /// Where the state is from.
    origin: String,
}

impl Report {
    /// What there was, and what there is. Every slot up to `chosen` is known to be chosen.
    pub(super) fn begin(wreck: &Wreck<'_>, survivors: &[Survivor], governing: &Governing, chosen: Slot) -> Report {
        let mut report = Report {
            highest: survivors.iter().map(Survivor::promised).max().unwrap_or_default(),
            ..Report::default()
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        report.line(format!(
            "UNSAFE RECOVERY of cluster \"{}\" ({:016x}), written at Unix time {now}\n",
            wreck.cluster, wreck.cluster_id
        ));
        report.line(if governing.changed {
            "Configurations, as the disks have them:".to_owned()
        } else {
            "Configuration, as the settings have it; no disk knows of a change:".to_owned()
        });
        for (from, configuration) in governing.since(chosen.next()) {
            let here = |node: NodeId, incarnation| {
                let is = |survivor: &Survivor| {
                    (survivor.identity().node, survivor.identity().incarnation) == (node, incarnation)
                };
                survivors.iter().any(is)
            };
            let gone = configuration.members().iter();
            let gone = gone.filter(|member| !here(member.node, member.incarnation));
            report.line(format!(
                "  from slot {from} on: epoch {}, {}. Not among the disks: node {}",
                configuration.epoch(),
                configuration.spec(),
                names(gone.map(|member| member.node))
            ));
        }
        report.line("\nDisks that were read:".to_owned());
        for survivor in survivors {
            let member = |(_, configuration): &(Slot, _)| place(configuration, survivor.identity()).is_some();
            report.disk(survivor, governing.since(chosen.next()).any(member));
        }
        report
    }

    fn line(&mut self, line: String) {
        self.text += &line;
        self.text.push('\n');
    }

    fn disk(&mut self, survivor: &Survivor, is_member: bool) {
        let (identity, looked) = (survivor.identity(), survivor.inspection());
        self.line(format!(
            "  node {} (incarnation {}) in {}: promised {}, slots known to be chosen up to {}, state applied up to {}, journal \
             from {} to {}",
            identity.node,
            identity.incarnation,
            looked.dir.display(),
            survivor.promised(),
            survivor.chosen(),
            survivor.applied(),
            looked.journal.trimmed.next(),
            looked.journal.last
        ));
        if !is_member {
            self.line(
                "    Not a member any more, or not yet: what it knows to be chosen counts, and it makes no quorum"
                    .to_owned(),
            );
        }
        for fault in &looked.journal.faults {
            self.line(format!("    FAULT in its journal: {fault}"));
        }
        for fault in &looked.state.faults {
            self.line(format!("    FAULT in its state, which is not used: {fault}"));
        }
    }

    pub(super) fn state_of(&mut self, node: NodeId, applied: Slot) {
        self.origin = format!("The state is node {node}'s: every slot up to {applied} is in it, and certain.");
    }

    pub(super) fn without_state(&mut self) {
        self.origin =
            "NO DISK HAS A WHOLE STATE: everything is applied anew from the journals, as far as they reach.".to_owned();
    }

    pub(super) fn slot(&mut self, slot: Slot, fate: &Fate) {
        let line = match fate {
            Fate::Chosen(_) => {
                self.certain += 1;
                return;
            }
            Fate::Adopted {
                value,
                ballot,
                voters,
                others,
                known,
            } => {
                self.adopted += 1;
                let others = match others {
                    0 => String::new(),
                    count => format!("; {count} votes of lower ballots for something else"),
                };
                let known = if *known {
                    "; SOMETHING is known to be chosen here, perhaps not this"
                } else {
                    ""
                };
                let voters = names(voters.iter().copied());
                format!(
                    "GUESS    voted for in ballot {ballot} by node {voters}{others}{known}: {}",
                    describe(value)
                )
            }
            Fate::Lost => {
                self.lost += 1;
                "LOST     known to be chosen, and no disk has the value".to_owned()
            }
            Fate::Unknown => {
                self.unknown += 1;
                "UNKNOWN  no disk has a vote; nothing is done here".to_owned()
            }
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.doubts, "  slot {slot:<10} {line}");
    }

    /// `quorum` says whether the disks with whole journals are a phase-1 quorum of all configurations that matter.
    pub(super) fn end(&mut self, facts: &Facts, quorum: bool, to: &Path) {
        let (certain, adopted, lost, unknown) = (self.certain, self.adopted, self.lost, self.unknown);
        // A state that is gone takes with it what no journal repeats.
        let exact = quorum && lost == 0;
        self.line(String::new());
        self.line(match (exact, quorum) {
            (true, _) => {
                "They hold a phase-1 quorum with whole journals: every value that was ever chosen is among what follows."
            }
            (_, true) => {
                "They hold a phase-1 quorum with whole journals, but nobody has the state any more: what is LOST below was \
                 chosen, and perhaps acknowledged to clients."
            }
            _ => {
                "They hold no phase-1 quorum with whole journals: values may have been chosen, and acknowledged to clients, of \
                 which these disks know nothing."
            }
        }
        .to_owned());
        let origin = std::mem::take(&mut self.origin);
        self.line(format!(
            "\n{origin}\nBehind it: {certain} slots certain, {adopted} filled with the vote of the highest ballot, {lost} lost, {unknown} \
             unknown.\n"
        ));
        if self.doubts.is_empty() {
            self.line("No slot up to the last one is in doubt.".to_owned());
        } else if exact {
            self.line("Slots that were not known to be chosen; phase 1 would have chosen the same:".to_owned());
        } else {
            self.line("Slots in doubt:".to_owned());
        }
        let doubts = std::mem::take(&mut self.doubts);
        self.text += &doubts;
        if !exact {
            let (next, highest) = (facts.slot + 1, self.highest);
            self.line(format!(
                "\nBeyond the last slot: anything may have been chosen from slot {next} on, and anything in place of a GUESS or an \
                 UNKNOWN, in ballots up to {highest} and above. Whatever clients were told after the last certain slot may be gone."
            ));
        }
        self.line(format!(
            "\nWritten to {}: slot {}, revision {}, {} keys, checksum {}.",
            to.display(),
            facts.slot,
            facts.revision,
            facts.keys,
            facts.checksum
        ));
    }

    /// The whole of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A value as far as it fits into a line.
fn describe(value: &Value) -> String {
    match value {
        Value::Noop => "nothing (a no-op)".to_owned(),
        Value::Reconfigure(change) => {
            format!(
                "a change of the configuration, to epoch {}",
                change.configuration.epoch()
            )
        }
        Value::Commands(batch) => {
            let mut named = Vec::new();
            let mut count = 0;
            for command in batch.iter() {
                count += 1;
                if named.len() < KEYS {
                    named.push(match Command::decode(&command.payload) {
                        Ok(command) => describe_command(&command),
                        Err(error) => error.to_string(),
                    });
                }
            }
            let more = if count > named.len() { ", …" } else { "" };
            format!("{count} commands: {}{more}", named.join(", "))
        }
    }
}

fn describe_command(command: &Command) -> String {
    match command {
        Command::Put(put) => format!("put \"{}\"", put.key.escape_ascii()),
        Command::DeleteRange(range) if range.range_end.is_empty() => {
            format!("delete \"{}\"", range.key.escape_ascii())
        }
        Command::DeleteRange(range) => format!(
            "delete \"{}\" to \"{}\"",
            range.key.escape_ascii(),
            range.range_end.escape_ascii()
        ),
        Command::Txn(txn) => {
            let writes = txn.success.iter().chain(&txn.failure).filter_map(|op| match op {
                Op::Put(put) => Some(format!("\"{}\"", put.key.escape_ascii())),
                Op::DeleteRange(range) => Some(format!("\"{}\"", range.key.escape_ascii())),
                Op::Range(_) | Op::Txn(_) => None,
            });
            let writes: Vec<String> = writes.take(KEYS).collect();
            format!("a transaction on {}", writes.join(" "))
        }
        Command::Compact(compact) => format!("compact at revision {}", compact.revision),
    }
}

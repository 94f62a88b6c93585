//! Nodes, ballots, values and messages in the words of the stage: node A leads under ballot 1.A.

use paxos::{Ballot, Batch, Logged, Message, Slot, Value, Vote};
use quorum::NodeSet;

use crate::seat::Seat;

/// The letter of a node.
pub(crate) fn name(seat: Seat) -> String {
    char::from(b'A' + seat.0).to_string()
}

/// Some nodes: A, B and C.
pub(crate) fn names(nodes: NodeSet) -> String {
    list(&nodes.iter().map(|seat| name(Seat(seat))).collect::<Vec<_>>())
}

pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

pub(crate) fn ballot(ballot: Ballot) -> String {
    if ballot == Ballot::ZERO {
        "nothing".to_owned()
    } else {
        format!("{}.{}", ballot.round, name(Seat::of(ballot.leader)))
    }
}

fn batch(batch: &Batch) -> String {
    let commands: Vec<String> = batch
        .iter()
        .map(|command| String::from_utf8_lossy(&command.payload).into_owned())
        .collect();
    commands.join(" ")
}

pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Noop => "no-op".to_owned(),
        Value::Commands(commands) => batch(commands),
        Value::Reconfigure(_) => "a configuration".to_owned(),
    }
}

pub(crate) fn logged(slot: Slot, logged: &Logged) -> String {
    match logged {
        Logged::Voted(voted, what) => format!("voted {} at {} in slot {slot}", value(what), ballot(*voted)),
        Logged::Learned(what) => format!("learned {} in slot {slot}", value(what)),
    }
}

/// By which a message is told from others on its way: kind, ballot and slot.
pub(crate) fn key(message: &Message) -> String {
    match message {
        Message::Canvass { .. } => "canvass".to_owned(),
        Message::CanvassReply { .. } => "canvass-reply".to_owned(),
        Message::Prepare { ballot: of, from, .. } => format!("prepare {} s{from}", ballot(*of)),
        Message::Promise { ballot: of, from, .. } => format!("promise {} s{from}", ballot(*of)),
        Message::Accept {
            ballot: of,
            slot,
            value: what,
            ..
        } => format!("accept {} s{slot} {}", ballot(*of), value(what)),
        Message::Accepted { ballot: of, slot } => format!("accepted {} s{slot}", ballot(*of)),
        Message::Reject { ballot: of, .. } => format!("reject {}", ballot(*of)),
        Message::Decided { ballot: of, .. } => format!("decided {}", ballot(*of)),
        Message::Commit { ballot: of, chosen } => format!("commit {} s{chosen}", ballot(*of)),
        Message::Heartbeat { ballot: of, round, .. } => format!("heartbeat {} {round}", ballot(*of)),
        Message::HeartbeatAck { ballot: of, round, .. } => format!("heartbeat-ack {} {round}", ballot(*of)),
        Message::Forward { ballot: of, number, .. } => format!("forward {} {number}", ballot(*of)),
        Message::ForwardRefused { ballot: of, .. } => format!("forward-refused {}", ballot(*of)),
        Message::ReadIndex { batch, .. } => format!("read-index {batch}"),
        Message::ReadIndexReply { batch, .. } => format!("read-index-reply {batch}"),
        Message::Fetch { from, .. } => format!("fetch s{from}"),
        Message::Chosen { from, .. } => format!("chosen s{from}"),
        Message::Trimmed { .. } => "trimmed".to_owned(),
        Message::AskSnapshot { from, .. } => format!("ask-snapshot {from}"),
        Message::SnapshotPiece { number, .. } => format!("snapshot-piece {number}"),
        Message::SnapshotGone { .. } => "snapshot-gone".to_owned(),
        Message::ForwardChange { ballot: of, .. } => format!("forward-change {}", ballot(*of)),
        Message::Retired { epoch } => format!("retired {epoch}"),
        Message::HandOver { release, .. } => format!("hand-over {}", ballot(release.ballot)),
    }
}

fn vote(vote: &Vote) -> String {
    format!(
        "{} at {} in slot {}",
        value(&vote.value),
        ballot(vote.ballot),
        vote.slot
    )
}

/// What a message says, for a reader.
pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Canvass { .. } => "do you miss the leader too?".to_owned(),
        Message::CanvassReply { granted: true, .. } => "yes".to_owned(),
        Message::CanvassReply { granted: false, .. } => "no".to_owned(),
        Message::Prepare {
            ballot: of,
            from,
            release,
        } => {
            let succeeds = release.map_or(String::new(), |release| {
                format!(", succeeds {}", ballot(release.ballot))
            });
            format!("Prepare {}, from slot {from}{succeeds}", ballot(*of))
        }
        Message::HandOver { release, chosen } => {
            format!("HandOver {}{}", ballot(release.ballot), told(*chosen))
        }
        Message::Promise {
            ballot: of,
            votes,
            chosen,
            to,
            ..
        } => {
            let mut said: Vec<String> = votes.iter().map(|one| format!("voted {}", vote(one))).collect();
            if chosen.0 > 0 {
                said.push(format!("chosen up to slot {chosen}"));
            }
            if said.is_empty() {
                said.push("no votes".to_owned());
            }
            let more = if to.is_some() { ", and there is more" } else { "" };
            format!("Promise {}: {}{more}", ballot(*of), said.join(", "))
        }
        Message::Accept {
            ballot: of,
            slot,
            value: what,
            chosen,
        } => {
            let chosen = told(*chosen);
            format!("Accept {}, slot {slot}: {}{chosen}", ballot(*of), value(what))
        }
        Message::Accepted { ballot: of, slot } => format!("Accepted {}, slot {slot}", ballot(*of)),
        Message::Reject { ballot: of, promised } => {
            format!("Reject {}: promised {}", ballot(*of), ballot(*promised))
        }
        Message::Decided { ballot: of, chosen } => format!("Decided {}{}", ballot(*of), told(*chosen)),
        Message::Commit { ballot: of, chosen } => format!("Commit {}{}", ballot(*of), told(*chosen)),
        Message::Heartbeat {
            ballot: of,
            round,
            chosen,
            ..
        } => format!("Heartbeat {}, round {round}{}", ballot(*of), told(*chosen)),
        Message::HeartbeatAck { ballot: of, round, .. } => format!("HeartbeatAck {}, round {round}", ballot(*of)),
        Message::Forward {
            ballot: of, commands, ..
        } => {
            format!("Forward {}: {}", ballot(*of), batch(&Batch::pack(commands)))
        }
        Message::ForwardRefused { ballot: of, .. } => format!("ForwardRefused {}", ballot(*of)),
        Message::ReadIndex { .. } => "ReadIndex".to_owned(),
        Message::ReadIndexReply { result: Ok(prefix), .. } => format!("ReadIndexReply: slot {prefix}"),
        Message::ReadIndexReply { result: Err(why), .. } => format!("ReadIndexReply: {why:?}"),
        Message::Fetch { from, to } => format!("Fetch slots {from} to {to}"),
        Message::Chosen { from, values, .. } => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("Chosen from slot {from}: {}", values.join(", "))
        }
        Message::Trimmed { trimmed } => format!("Trimmed up to slot {trimmed}"),
        Message::AskSnapshot { from, count, .. } => {
            format!("AskSnapshot: pieces {from} to {}", (from + count).saturating_sub(1))
        }
        Message::SnapshotPiece {
            snapshot, number, last, ..
        } => {
            let last = if *last { ", the last" } else { "" };
            format!("SnapshotPiece {number} as of slot {}{last}", snapshot.slot)
        }
        Message::SnapshotGone { .. } => "SnapshotGone".to_owned(),
        Message::ForwardChange { change, .. } => format!("ForwardChange to epoch {}", change.configuration.epoch()),
        Message::Retired { epoch } => format!("Retired: configuration {epoch} does without you"),
    }
}

fn told(chosen: Slot) -> String {
    if chosen == Slot::ZERO {
        String::new()
    } else {
        format!(", chosen up to slot {chosen}")
    }
}

//! One line for each thing that a replica says.

use paxos::{
    Batch, Envelope, Event, Logged, Message, Outcome, Record, Refusal, Release, SnapshotId, Standing, Status, Value,
    Vote,
};

/// Payloads are text, padded with zeros where a script wants them large.
pub fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end_matches('\0').to_string()
}

fn batch(batch: &Batch) -> String {
    let commands: Vec<String> = batch.iter().map(|command| text(&command.payload)).collect();
    format!("[{}]", commands.join(" "))
}

pub fn value(value: &Value) -> String {
    match value {
        Value::Noop => "no-op".to_string(),
        Value::Commands(commands) => batch(commands),
        Value::Reconfigure(change) => format!("epoch {}", change.configuration.epoch()),
    }
}

fn vote(vote: &Vote) -> String {
    format!("s{} {} in {}", vote.slot, value(&vote.value), vote.ballot)
}

pub fn logged(logged: &Logged) -> String {
    match logged {
        Logged::Voted(ballot, voted) => format!("{} in {ballot}", value(voted)),
        Logged::Learned(learned) => format!("{} learned", value(learned)),
    }
}

pub fn record(record: &Record) -> String {
    match record {
        Record::Promised(ballot) => format!("promised {ballot}"),
        Record::Voted { slot, ballot, value: v } => format!("vote s{slot} {} in {ballot}", value(v)),
        Record::Learned { slot, value: v } => format!("learned s{slot} {}", value(v)),
        Record::Chosen(slot) => format!("chosen {slot}"),
        Record::Configurations(configurations) => format!("configuration {}", configurations.newest().epoch()),
    }
}

pub fn snapshot(id: SnapshotId) -> String {
    format!("of s{} #{}", id.slot, id.serial)
}

/// The name of a message, by which scripts pick it.
pub fn kind(message: &Message) -> String {
    let debug = format!("{message:?}");
    debug.split([' ', '{']).next().unwrap_or_default().to_string()
}

/// Whether a script that says `what` means this message: by its kind, or one piece of a snapshot by its number as well.
pub fn is_meant(message: &Message, what: &str) -> bool {
    let kind = kind(message);
    match message {
        Message::SnapshotPiece { number, .. } if what != kind => what == format!("{kind}{number}"),
        _ => what == kind,
    }
}

pub fn message(message: &Message) -> String {
    let inside = match message {
        Message::Canvass { chosen, .. } => format!("chosen {chosen}"),
        Message::CanvassReply { granted, chosen, .. } => {
            let answer = if *granted { "granted" } else { "denied" };
            format!("{answer}, chosen {chosen}")
        }
        Message::Prepare { ballot, from, release } => {
            let released = release.map_or(String::new(), |release| {
                format!(", succeeds {}", self::release(release))
            });
            format!("{ballot}, s{from}..{released}")
        }
        Message::HandOver { release, chosen } => format!("{}, chosen {chosen}", self::release(*release)),
        Message::Promise {
            ballot,
            from,
            to,
            votes,
            chosen,
            trimmed,
        } => {
            let to = to.map_or(String::new(), |to| to.to_string());
            let mut votes: Vec<String> = votes.iter().map(vote).collect();
            if votes.is_empty() {
                votes.push("no votes".to_string());
            }
            let mut line = format!("{ballot}, s{from}..{to}: {}; chosen {chosen}", votes.join(", "));
            if trimmed.0 > 0 {
                line += &format!(", trimmed {trimmed}");
            }
            line
        }
        Message::Accept {
            ballot,
            slot,
            value: v,
            chosen,
        } => format!("{ballot}, s{slot} {}, chosen {chosen}", value(v)),
        Message::Accepted { ballot, slot } => format!("{ballot}, s{slot}"),
        Message::Reject { ballot, promised } => format!("{ballot}, promised {promised}"),
        Message::Decided { ballot, chosen } | Message::Commit { ballot, chosen } => {
            format!("{ballot}, chosen {chosen}")
        }
        Message::Heartbeat {
            ballot,
            round,
            chosen,
            horizon,
            healthy,
            pulse,
            ..
        } => {
            let health = if *healthy { "" } else { ", no quorum" };
            let lease = if pulse.lease.is_zero() { "" } else { ", lease?" };
            format!("{ballot} #{round}, chosen {chosen}, horizon {horizon}{health}{lease}")
        }
        Message::HeartbeatAck {
            ballot,
            round,
            chosen,
            echo,
            ..
        } => {
            let granted = if echo.granted { ", lease granted" } else { "" };
            format!("{ballot} #{round}, chosen {chosen}{granted}")
        }
        Message::Forward {
            ballot,
            number,
            commands,
        } => {
            format!("{ballot} #{number}, {}", batch(&Batch::pack(commands)))
        }
        Message::ForwardRefused {
            ballot,
            reason,
            sequences,
            ..
        } => format!("{ballot}, {reason:?}, {sequences:?}"),
        Message::ReadIndex { batch, .. } => format!("#{batch}"),
        Message::ReadIndexReply {
            batch,
            result: Ok(prefix),
            ..
        } => format!("#{batch}, prefix {prefix}"),
        Message::ReadIndexReply {
            batch,
            result: Err(refusal),
            ..
        } => format!("#{batch}, {refusal:?}"),
        Message::Fetch { from, to } => format!("s{from}..{to}"),
        Message::Chosen { from, values, chosen } => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("s{from}.. {}; chosen {chosen}", values.join(" "))
        }
        Message::Trimmed { trimmed } => format!("up to {trimmed}"),
        Message::AskSnapshot {
            least,
            snapshot,
            from,
            count,
        } => format!(
            "{}, pieces {from}..{}; s{least} at least",
            snapshot.map_or("a new one".to_string(), self::snapshot),
            from + count - 1
        ),
        Message::SnapshotPiece {
            snapshot: of,
            number,
            last,
            ..
        } => format!(
            "{}, piece {number}{}",
            snapshot(*of),
            if *last { ", the last" } else { "" }
        ),
        Message::SnapshotGone { snapshot: of } => of.map_or("none to be had".to_string(), snapshot),
        Message::ForwardChange {
            ballot, number, change, ..
        } => format!("{ballot} #{number}, epoch {}", change.configuration.epoch()),
        Message::Retired { epoch } => format!("epoch {epoch}"),
    };
    format!("{}({inside})", kind(message))
}

fn release(release: Release) -> String {
    format!("{} up to #{}", release.ballot, release.round)
}

/// Messages with their receivers; equal ones to several receivers share a line.
pub fn envelopes(envelopes: &[Envelope]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for envelope in envelopes {
        let (line, to) = (message(&envelope.message), envelope.to.node.to_string());
        match lines.last_mut() {
            Some((last, receivers)) if *last == line => receivers.push(to),
            _ => lines.push((line, vec![to])),
        }
    }
    lines
        .into_iter()
        .map(|(line, receivers)| format!("{line} -> {}", receivers.join(" ")))
        .collect()
}

pub fn event(event: &Event) -> String {
    match event {
        Event::Canvassing => "asks whether others miss the leader too".to_string(),
        Event::Preparing(ballot) => format!("stands for {ballot}"),
        Event::Leading(ballot) => format!("leads under {ballot}"),
        Event::Following(ballot) => format!("follows {ballot}"),
        Event::SteppedDown { from, to } => format!("gives way: {from} < {to}"),
        Event::Overtaken { from, slot } => {
            format!("gives way: another value than that of {from} was chosen in s{slot}")
        }
        Event::HandingOver { to } => format!("hands over to {to}"),
        Event::HandedOver { to, .. } => format!("has handed over to {to}"),
        Event::HandOverFailed { to, reason } => {
            let to = to.map_or("anybody".to_string(), |to| to.to_string());
            format!("has not handed over to {to}: {reason}")
        }
        Event::PrepareWithheld { ballot, wait } => format!("does not answer {ballot} for {}ms", wait.as_millis()),
        Event::QuorumLost => "hears no phase-2 quorum".to_string(),
        Event::QuorumRegained => "hears a phase-2 quorum again".to_string(),
        Event::Misaddressed(from) => format!("ignores what {from:?} says: not for this node as it is now"),
        Event::Rejected { ballot, promised } => format!("is refused: {ballot} < {promised}"),
        Event::ChosenAt { slot, last, .. } => format!("sees s{slot} chosen with the vote of {last}"),
        Event::PhaseOne { .. } => "has a phase-1 quorum".to_string(),
        Event::OutOfReach { trimmed } => format!("cannot catch up: peers have trimmed up to {trimmed}"),
        Event::SpaceExhausted => "has no room on its disk".to_string(),
        Event::ReaderLetGo { peer, reason } => format!("keeps no log for {peer} any more: {reason:?}"),
        Event::SpaceRegained => "has room on its disk again".to_string(),
        Event::Stalled { since } => format!("gives way: its disk has not finished a write for {since:?}"),
        Event::SnapshotBegun { peer, snapshot: id } => format!("begins a snapshot {} from {peer}", snapshot(*id)),
        Event::ChangeChosen { epoch, slot, from } => {
            format!("has epoch {epoch} chosen in s{slot}, in force from s{from}")
        }
        Event::ChangeVoid { slot, objection } => {
            format!("has a change chosen in s{slot} that takes no effect: {objection}")
        }
        Event::ConfigurationOpened { epoch } => format!("may propose in the slots of epoch {epoch}"),
        Event::InForce { epoch } => format!("finds epoch {epoch} in force"),
        Event::ConfigurationRetired { epoch, left } if left.is_empty() => {
            format!("finds all before epoch {epoch} retired")
        }
        Event::ConfigurationRetired { epoch, left } => {
            format!("finds all before epoch {epoch} retired; not needed any more: {left:?}")
        }
        Event::MayStop { epoch } => format!("may be switched off: epoch {epoch} does without it"),
        Event::LeftOut { epoch } => format!("leads no more: it is not to lead in epoch {epoch}"),
        Event::SnapshotAbandoned { peer, reason } => format!("gives up the snapshot from {peer}: {reason:?}"),
    }
}

pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Read(slot) => format!("read at {slot}"),
        Outcome::Reconfigured { epoch, slot, from } => {
            format!("epoch {epoch} chosen in s{slot}, in force from s{from}")
        }
        Outcome::Refused(Refusal::Change(objection)) => format!("refused, {objection}"),
        Outcome::Refused(refusal) => format!("refused, {refusal:?}"),
        Outcome::Unknown(doubt) => format!("unknown, {doubt:?}"),
    }
}

pub fn standing(status: &Status) -> String {
    let ballot = status.leader.map_or("nobody".to_string(), |ballot| ballot.to_string());
    match status.standing {
        Standing::Leading if status.healthy => format!("leads {ballot}"),
        Standing::Leading => format!("leads {ballot}, no quorum"),
        Standing::Follower => format!("follows {ballot}"),
        Standing::Canvassing => "canvasses".to_string(),
        Standing::Preparing => format!("prepares {}", status.promised),
    }
}

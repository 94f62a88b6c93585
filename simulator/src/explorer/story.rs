//! A path as lines that a person can follow: one for each step.

use paxos::{Envelope, Event, Message, Record};

use crate::explorer::node::Fact;
use crate::explorer::rules::{Next, Rules};
use crate::explorer::world::{Action, World};
use crate::seat::Seat;

/// The steps of a path from `start`, one line each.
pub(super) fn tell(rules: &mut Rules, start: &World, actions: &[Action]) -> Vec<String> {
    let mut world = start.clone();
    let mut lines = Vec::new();
    for (at, action) in actions.iter().enumerate() {
        let what = deed(rules, *action);
        let facts = rules.facts(&world, *action);
        let words: Vec<String> = facts.iter().filter_map(word).collect();
        let then = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join("; "))
        };
        lines.push(format!("{:>3}. {what}{then}", at + 1));
        if let Next::World(after) = rules.next(&world, *action) {
            world = after;
        }
    }
    lines
}

fn deed(rules: &Rules, action: Action) -> String {
    let arrives = |message: u32| {
        let Envelope { from, to, message, .. } = &rules.messages[message];
        let (from, to) = (Seat::of(from.node), Seat::of(to.node));
        format!("{to} receives from {from} {}", said(message))
    };
    match action {
        Action::Deliver(message) => arrives(message),
        Action::Repeat(message) => format!("{} (and will again)", arrives(message)),
        Action::Sync(seat) => format!("{seat}'s oldest write becomes durable"),
        Action::Stand(seat, peers) => {
            let peers: Vec<_> = Seat::all(rules.bounds.nodes)
                .filter(|peer| peers >> peer.0 & 1 == 1)
                .map(|peer| peer.to_string())
                .collect();
            format!("{seat} hears no leader, and {} agree", peers.join(", "))
        }
        Action::Remind(seat) => format!("{seat} sends again what was not answered"),
        Action::Fetch(seat) => format!("{seat} asks for what it missed"),
        Action::Crash(seat) => format!("{seat} crashes and starts again"),
    }
}

fn word(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Sent(envelope) => {
            let told = !matches!(
                envelope.message,
                Message::Heartbeat { .. }
                    | Message::HeartbeatAck { .. }
                    | Message::Canvass { .. }
                    | Message::CanvassReply { .. }
            );
            told.then(|| format!("to {} {}", Seat::of(envelope.to.node), said(&envelope.message)))
        }
        Fact::Durable(Record::Promised(ballot)) => Some(format!("its disk promises {ballot}")),
        Fact::Durable(Record::Voted { slot, ballot, value }) => {
            Some(format!("its disk votes {value:?} in slot {slot}, ballot {ballot}"))
        }
        Fact::Durable(Record::Learned { slot, value }) => Some(format!("its disk has {value:?} chosen in slot {slot}")),
        Fact::Durable(Record::Chosen(slot)) => Some(format!("its disk has all chosen up to slot {slot}")),
        Fact::Durable(Record::Configurations(configurations)) => Some(format!(
            "its disk has configuration {}",
            configurations.newest().epoch()
        )),
        Fact::Handed(entry, _) => Some(format!("applies {:?} in slot {}", entry.value, entry.slot)),
        Fact::Given(id) => Some(format!(
            "a client gives {}:{} of process {}",
            id.origin, id.sequence, id.boot
        )),
        Fact::Noted(Event::Preparing(ballot)) => Some(format!("begins ballot {ballot}")),
        Fact::Noted(Event::Leading(ballot)) => Some(format!("leads under {ballot}")),
        Fact::Noted(Event::SteppedDown { to, .. }) => Some(format!("gives way to {to}")),
        Fact::Noted(Event::Overtaken { slot, .. }) => Some(format!("was overtaken in slot {slot}")),
        Fact::Noted(_) => None,
        Fact::Crashed(0) => None,
        Fact::Crashed(lost) => Some(format!("{lost} records are lost")),
    }
}

/// A message in few words.
fn said(message: &Message) -> String {
    match message {
        Message::Prepare { ballot, from, .. } => format!("Prepare({ballot}, from slot {from})"),
        Message::Promise {
            ballot, votes, chosen, ..
        } => {
            let votes: Vec<_> = votes
                .iter()
                .map(|vote| format!(", voted {:?} in slot {}, ballot {}", vote.value, vote.slot, vote.ballot))
                .collect();
            format!("Promise({ballot}{}{})", votes.concat(), prefix(chosen.0))
        }
        Message::Accept {
            ballot,
            slot,
            value,
            chosen,
        } => {
            format!("Accept({ballot}, slot {slot}, {value:?}{})", prefix(chosen.0))
        }
        Message::Accepted { ballot, slot } => format!("Accepted({ballot}, slot {slot})"),
        Message::Reject { ballot, promised } => format!("Reject({ballot}, promised {promised})"),
        Message::Commit { ballot, chosen } => format!("Commit({ballot}, chosen up to {chosen})"),
        other => format!("{other:?}"),
    }
}

fn prefix(chosen: u64) -> String {
    if chosen == 0 {
        String::new()
    } else {
        format!(", chosen up to {chosen}")
    }
}

//! A disk without room, and one that stalls: what this node then does not do (rule E5, and A3, which is why).
//!
//! Whatever an acceptor says rests on a record. Without room for records it says nothing that needs one: it does not promise,
//! vote or stand, and a leader gives way. What rests on nothing new goes on: it follows, serves peers what it has, and serves
//! reads of what is applied. A leader whose own disk stalls gives way as well: it could lead, but everything that needs its own
//! copy, its state machine first of all, would wait for that disk.

use core::time::Duration;

use crate::effect::{Event, Refusal, Room, WriteId};
use crate::election::Role;
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::time::Time;

/// How many election timeouts a write of a leader may take.
const STALL_TIMEOUTS: u32 = 2;

/// What this node knows of its own disk.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Space {
    room: Room,
    /// A write that is not durable yet, and when it was made, or was next in turn.
    oldest: Option<(WriteId, Time)>,
}

impl Space {
    pub(crate) fn is_exhausted(&self) -> bool {
        self.room == Room::Exhausted
    }
}

impl Replica {
    /// Whether records can be written.
    pub(crate) fn has_space(&self) -> bool {
        !self.space.is_exhausted() || mutated(Mutant::SpaceIgnored)
    }

    /// Whether there is room for what is kept as a favour to peers.
    pub(crate) fn has_ample_space(&self) -> bool {
        self.space.room == Room::Ample
    }

    /// How long the oldest write that is not durable has taken.
    pub(crate) fn write_age(&self) -> Duration {
        self.space
            .oldest
            .map_or(Duration::ZERO, |(_, since)| self.now.since(since))
    }

    /// Whether this node's disk takes so long that another should lead.
    pub(crate) fn is_stalled(&self) -> bool {
        self.write_age() > self.silence() * STALL_TIMEOUTS
    }

    /// The driver says how much room there is.
    pub(crate) fn on_space(&mut self, room: Room) {
        let before = self.space.is_exhausted();
        self.space.room = room;
        if room != Room::Ample {
            // C4, at once: the room is needed.
            self.trim();
        }
        if before == self.space.is_exhausted() {
            return;
        }
        if before {
            self.event(Event::SpaceRegained);
            self.await_leader();
        } else {
            self.event(Event::SpaceExhausted);
            if self.has_space() {
                return;
            }
            self.refuse_own(Refusal::NoSpace);
            self.hand_in();
        }
    }

    /// A write is made.
    pub(crate) fn note_write(&mut self, id: WriteId) {
        self.space.oldest.get_or_insert((id, self.now));
    }

    /// Every write up to this one is durable. Of the next one it is only known that it was made before now.
    pub(crate) fn note_persisted(&mut self, id: WriteId) {
        if self.space.oldest.is_some_and(|(oldest, _)| oldest <= id) {
            let next = WriteId(id.0 + 1);
            self.space.oldest = (next <= self.last_write).then_some((next, self.now));
        }
    }

    /// E5: a leader whose disk stalls gives way.
    pub(crate) fn check_stall(&mut self) {
        if matches!(self.role, Role::Leading(_)) && self.is_stalled() {
            self.event(Event::Stalled {
                since: self.write_age(),
            });
            self.hand_in();
        }
    }

    /// Leads and stands no more. The followers of a leader are told not to wait for it (E3).
    pub(crate) fn hand_in(&mut self) {
        if let Role::Leading(leading) = &mut self.role {
            leading.healthy = false;
            self.send_heartbeats();
        }
        if !matches!(self.role, Role::Follower) {
            self.give_way();
        }
    }
}

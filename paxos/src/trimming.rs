//! Trimming: what the journal may forget (rule C4).
//!
//! Two reasons, either is enough. Every member has a slot durably in its state, so nobody will ask for it; a reserve is kept
//! all the same. Or the log has grown past its limits in bytes or slots: members that are slow are served from the log as
//! long as the limits allow, and one that is gone never makes the log grow, for there are snapshots (C3). Under both,
//! nothing goes that this node's own state machine does not hold durably.
//!
//! A peer that reads a snapshot from this node will ask for the slots above it. Were they gone by then, the whole copy would
//! have been for nothing; so they are kept until it has caught up, beyond the limits, as long as that costs this disk less
//! than the copy.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::ballot::Slot;
use crate::effect::{Event, LetGo, Output};
use crate::message::{Address, SnapshotId};
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::time::Time;

/// Most stretches that are told apart; beyond that neighbours are merged.
const MAX_STRETCHES: usize = 1024;

/// A log is trimmed before a whole step is reached if this part of its limit in bytes would go.
const WORTHWHILE: u64 = 16;

/// How many times its limit in bytes a log may reach for the sake of a peer that gets a snapshot, however small that is.
const PATIENCE: u64 = 4;

/// How many election timeouts a reader may be silent, though it reads a snapshot or has yet to install it …
const HELD_TIMEOUTS: u32 = 32;

/// … or this part of the time that it has been reading: what takes long to read takes long to install.
const HELD_PART: u32 = 2;

/// How many election timeouts longer the log is kept for one that has caught up: if it is held up just then, it need not begin
/// again.
const LEVEL_TIMEOUTS: u32 = 4;

/// What the journal holds of the slots that were handed over, and who may need it.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Trimming {
    /// Every member has applied this prefix durably.
    everywhere: Slot,
    /// The slots above the trimmed prefix that were handed over, in stretches, oldest first.
    stretches: VecDeque<Stretch>,
    /// Bytes of all stretches.
    bytes: u64,
    /// Peers that read a snapshot from this node, and then the log.
    readers: Vec<Reader>,
}

/// Some slots in a row, from where the one before ends.
#[derive(Clone, Hash, Debug)]
struct Stretch {
    to: Slot,
    slots: u64,
    bytes: u64,
}

/// A peer that got a snapshot from this node.
#[derive(Clone, Hash, Debug)]
struct Reader {
    peer: Address,
    snapshot: SnapshotId,
    /// It will ask for the slots above this one.
    slot: Slot,
    /// Bytes of the snapshot that it has read: what another copy would cost it.
    bytes: u64,
    /// When it began to read.
    since: Time,
    /// When it has been silent for too long.
    until: Time,
    /// It was sent all there was, and will hardly ask again.
    caught_up: bool,
}

impl Trimming {
    /// For a journal that holds `slots` slots up to `to`, with values of so many bytes.
    pub(crate) fn new(to: Slot, slots: u64, bytes: u64) -> Trimming {
        let mut trimming = Trimming::default();
        if slots > 0 {
            trimming.stretches.push_back(Stretch { to, slots, bytes });
            trimming.bytes = bytes;
        }
        trimming
    }

    /// Bytes of the values that the journal holds of slots that were handed over; about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next slot is handed over. Stretches have about `slots` slots or `bytes` bytes.
    fn add(&mut self, slot: Slot, size: u64, slots: u64, bytes: u64) {
        self.bytes += size;
        match self.stretches.back_mut() {
            Some(last) if last.slots < slots && last.bytes < bytes => {
                last.to = slot;
                last.slots += 1;
                last.bytes += size;
            }
            _ => self.stretches.push_back(Stretch {
                to: slot,
                slots: 1,
                bytes: size,
            }),
        }
        if self.stretches.len() > MAX_STRETCHES {
            self.merge();
        }
    }

    fn merge(&mut self) {
        let mut merged: VecDeque<Stretch> = VecDeque::with_capacity(MAX_STRETCHES);
        for (number, stretch) in self.stretches.drain(..).enumerate() {
            match merged.back_mut() {
                Some(last) if number % 2 == 1 => {
                    last.to = stretch.to;
                    last.slots += stretch.slots;
                    last.bytes += stretch.bytes;
                }
                _ => merged.push_back(stretch),
            }
        }
        self.stretches = merged;
    }

    /// How far to trim so that no more than this stays.
    fn beyond(&self, max_slots: u64, max_bytes: u64) -> Slot {
        let last = self.stretches.back().map_or(Slot::ZERO, |last| last.to);
        let by_slots = Slot(last.0.saturating_sub(max_slots));
        let mut excess = self.bytes.saturating_sub(max_bytes);
        let mut by_bytes = Slot::ZERO;
        for stretch in &self.stretches {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(stretch.bytes);
            by_bytes = stretch.to;
        }
        by_slots.max(by_bytes)
    }

    /// Why nothing is kept for a reader any more, if so.
    fn let_go(&self, reader: &Reader, now: Time, max_bytes: u64) -> Option<LetGo> {
        if reader.until <= now {
            return Some(LetGo::Silent);
        }
        // A dearer log than that is no gain. Slots by themselves cost next to nothing.
        let most = max_bytes.saturating_mul(PATIENCE).max(reader.bytes);
        (self.beyond(u64::MAX, most) > reader.slot).then_some(LetGo::TooMuch)
    }

    /// Bytes of the slots up to `to`; of a stretch that goes on beyond, its share.
    fn bytes_to(&self, to: Slot) -> u64 {
        let whole = self.stretches.iter().take_while(|stretch| stretch.to <= to);
        let (count, bytes) = whole.fold((0, 0), |(count, bytes), stretch| (count + 1, bytes + stretch.bytes));
        bytes + self.stretches.get(count).map_or(0, |stretch| stretch.share(to).1)
    }

    /// Slots up to `to` are gone.
    fn forget(&mut self, to: Slot) {
        while let Some(stretch) = self.stretches.front_mut() {
            if stretch.to > to {
                let (slots, bytes) = stretch.share(to);
                stretch.slots -= slots;
                stretch.bytes -= bytes;
                self.bytes -= bytes;
                return;
            }
            self.bytes -= stretch.bytes;
            self.stretches.pop_front();
        }
    }
}

impl Reader {
    fn new(peer: Address, snapshot: SnapshotId, now: Time) -> Reader {
        Reader {
            peer,
            snapshot,
            slot: snapshot.slot,
            bytes: 0,
            since: now,
            until: now,
            caught_up: false,
        }
    }

    /// It was heard: from now on it may be silent for at least so long.
    fn renew(&mut self, now: Time, least: Duration) {
        self.until = now + least.max(now.since(self.since) / HELD_PART);
    }
}

impl Stretch {
    /// How many of its slots are at or below `to`, which is below its end, and their share of its bytes.
    fn share(&self, to: Slot) -> (u64, u64) {
        let first = self.to.0 - self.slots;
        let slots = to.0.saturating_sub(first);
        let bytes = u128::from(self.bytes) * u128::from(slots) / u128::from(self.slots);
        (slots, u64::try_from(bytes).expect("a share is no more than the whole"))
    }
}

impl Replica {
    /// An entry is handed over: from now on it is a matter of time that the journal may forget it.
    pub(crate) fn note_length(&mut self, slot: Slot, bytes: usize) {
        let step = self.options.trim_step.max(1);
        let most = self.options.max_log_bytes / (4 * WORTHWHILE);
        self.trimming.add(slot, bytes as u64, step, most);
    }

    /// C4: the leader says which prefix every member has durably applied.
    pub(crate) fn note_everywhere(&mut self, slot: Slot) {
        self.trimming.everywhere = self.trimming.everywhere.max(slot);
        self.trim();
    }

    /// C4: a peer reads so many bytes of a snapshot from this node; it will need the slots above.
    pub(crate) fn note_reader(&mut self, peer: Address, snapshot: SnapshotId, bytes: usize) {
        if snapshot.slot < self.log.trimmed || !self.has_ample_space() {
            return;
        }
        let (now, least) = (self.now, self.silence() * HELD_TIMEOUTS);
        let readers = &mut self.trimming.readers;
        // Of another snapshot it reads no more.
        readers.retain(|reader| reader.peer != peer || reader.snapshot == snapshot);
        let at = readers
            .iter()
            .position(|reader| reader.peer == peer)
            .unwrap_or_else(|| {
                readers.push(Reader::new(peer, snapshot, now));
                readers.len() - 1
            });
        readers[at].bytes = readers[at].bytes.saturating_add(bytes as u64);
        readers[at].renew(now, least);
    }

    /// C4: a peer fetches slots from `from` on: it has those below. Whether it is sent all there are.
    pub(crate) fn note_fetch(&mut self, peer: Address, from: Slot, all: bool) {
        let (now, silence) = (self.now, self.silence());
        if let Some(reader) = self.trimming.readers.iter_mut().find(|reader| reader.peer == peer) {
            reader.slot = reader.slot.max(Slot(from.0.saturating_sub(1)));
            reader.caught_up = all;
            if all {
                reader.until = now + silence * LEVEL_TIMEOUTS;
            } else {
                reader.renew(now, silence * HELD_TIMEOUTS);
            }
        }
    }

    /// C4: keeps nothing for readers that are silent, or for whom the log has become dearer than another copy, or if the disk
    /// is short of room.
    pub(crate) fn let_readers_go(&mut self) {
        let (now, max_bytes, ample) = (self.now, self.options.max_log_bytes, self.has_ample_space());
        let mut at = 0;
        while let Some(reader) = self.trimming.readers.get(at) {
            let why = if ample {
                self.trimming.let_go(reader, now, max_bytes)
            } else {
                Some(LetGo::NoRoom)
            };
            let Some(reason) = why else {
                at += 1;
                continue;
            };
            let reader = self.trimming.readers.swap_remove(at);
            if !reader.caught_up {
                let peer = reader.peer.node;
                self.event(Event::ReaderLetGo { peer, reason });
            }
        }
    }

    /// C4: what this node could do without in its journal: its state machine holds it durably.
    pub(crate) fn spare(&self) -> Slot {
        if mutated(Mutant::TrimmedUnflushed) {
            return self.log.applied;
        }
        self.log.flushed
    }

    /// C4: how far the limits want the log to be trimmed.
    fn surplus(&mut self) -> Slot {
        self.let_readers_go();
        let surplus = self
            .trimming
            .beyond(self.options.max_log_slots, self.options.max_log_bytes);
        let held = self.trimming.readers.iter().map(|reader| reader.slot).min();
        held.map_or(surplus, |held| surplus.min(held))
    }

    /// C4: forgets what this node's state machine holds durably and no member will ask for, or the limits do not allow.
    pub(crate) fn trim(&mut self) {
        let spare = self.spare();
        let mut shared = spare.min(self.trimming.everywhere);
        if mutated(Mutant::TrimmedAlone) {
            shared = self.log.flushed;
        }
        let shared = Slot(shared.0.saturating_sub(self.options.keep_slots));
        let to = shared.max(self.surplus().min(spare));
        let trimmed = self.log.trimmed;
        if to <= trimmed || self.awaits_record() {
            return;
        }
        let freed = self.trimming.bytes_to(to);
        if to.0 >= trimmed.0 + self.options.trim_step || freed > self.options.max_log_bytes / WORTHWHILE {
            self.log.trimmed = to;
            self.trimming.forget(to);
            self.output(Output::Trim(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(slots: u64) -> Trimming {
        let mut trimming = Trimming::new(Slot(100), 90, 900);
        for slot in 101..=100 + slots {
            trimming.add(Slot(slot), 10, 8, 1000);
        }
        trimming
    }

    #[test]
    fn what_is_beyond_the_limits_is_found_by_slots_and_by_bytes() {
        let trimming = log(100);
        assert_eq!(trimming.bytes(), 1900);
        assert_eq!(trimming.beyond(u64::MAX, u64::MAX), Slot::ZERO);
        assert_eq!(trimming.beyond(50, u64::MAX), Slot(150));
        assert_eq!(
            trimming.beyond(u64::MAX, 1000),
            Slot(100),
            "the oldest stretch is enough"
        );
        assert_eq!(trimming.beyond(u64::MAX, 999), Slot(108));
        assert_eq!(trimming.beyond(0, 0), Slot(200));
    }

    #[test]
    fn what_is_gone_is_not_counted() {
        let mut trimming = log(100);
        assert_eq!((trimming.bytes_to(Slot(10)), trimming.bytes_to(Slot(55))), (0, 450));
        assert_eq!(trimming.bytes_to(Slot(104)), 940, "a share of the second stretch");
        trimming.forget(Slot(55));
        assert_eq!(trimming.bytes(), 1450);
        trimming.forget(Slot(104));
        assert_eq!(trimming.bytes(), 960);
        trimming.forget(Slot(200));
        assert_eq!((trimming.bytes(), trimming.stretches.len()), (0, 0));
    }

    #[test]
    fn stretches_are_bounded_and_lose_nothing() {
        let mut trimming = Trimming::default();
        for slot in 1..=10_000 {
            trimming.add(Slot(slot), slot, 1, u64::MAX);
        }
        assert!(trimming.stretches.len() <= MAX_STRETCHES);
        assert_eq!(
            trimming.stretches.iter().map(|stretch| stretch.bytes).sum::<u64>(),
            trimming.bytes()
        );
        assert_eq!(trimming.bytes(), 10_000 * 10_001 / 2);
        trimming.forget(Slot(10_000));
        assert_eq!(trimming.bytes(), 0);
    }

    fn reader(slot: u64, bytes: u64, until: u64) -> Reader {
        let peer = Address {
            node: quorum::NodeId(3),
            incarnation: quorum::Incarnation(1),
        };
        let snapshot = SnapshotId {
            slot: Slot(slot),
            serial: 1,
        };
        Reader {
            bytes,
            until: Time(until),
            ..Reader::new(peer, snapshot, Time(0))
        }
    }

    #[test]
    fn a_reader_is_let_go_when_it_is_silent_or_the_log_is_dearer_than_its_copy() {
        // Ten bytes in each slot from 101 to 200, and 900 below.
        let trimming = log(100);
        let why = |reader: Reader, now, max_bytes| trimming.let_go(&reader, Time(now), max_bytes);
        assert_eq!(why(reader(110, 0, 50), 49, u64::MAX), None);
        assert_eq!(why(reader(110, 0, 50), 50, u64::MAX), Some(LetGo::Silent));
        assert_eq!(why(reader(100, 0, 50), 0, 250), None, "four times the limit");
        assert_eq!(why(reader(100, 0, 50), 0, 200), Some(LetGo::TooMuch));
        assert_eq!(why(reader(100, 1000, 50), 0, 1), None, "as much as its copy had");
        assert_eq!(why(reader(100, 900, 50), 0, 1), Some(LetGo::TooMuch));
        assert_eq!(why(reader(160, 500, 50), 0, 1), None, "it has got on");
    }

    #[test]
    fn who_reads_for_long_may_be_silent_for_long() {
        let second = |count: u64| Time(count * 1_000_000_000);
        let mut reader = reader(1, 0, 0);
        reader.renew(second(10), Duration::from_secs(32));
        assert_eq!(reader.until, second(42));
        reader.renew(second(164), Duration::from_secs(32));
        assert_eq!(reader.until, second(164 + 82));
    }
}

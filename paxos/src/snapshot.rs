//! Snapshots: a copy of a peer's state for a node that is behind every log, or has lost its own state (rules C3, L7, L10).
//!
//! The core decides who is asked for which piece, and when what was gathered takes the place of the state machine. What is
//! in a piece, and whether it is sound, only the state machine can say. Pieces are pulled, a few at a time, so nothing piles
//! up on either side, and whatever is lost on the way is asked for again from the first piece that is missing.
//!
//! A snapshot never changes what this acceptor has promised or voted for: it replaces the state machine and nothing else.
//! The process ends with [`Output::InstallSnapshot`], and the next one starts from what is then on the disk, by the same
//! path as after a crash.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use quorum::NodeId;

use crate::ballot::Slot;
use crate::effect::{Abandoned, Event, Output};
use crate::message::{Address, Message, SnapshotId};
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::time::Time;

/// Most pieces that are asked for and not staged yet.
const WINDOW: u64 = 4;

/// Most pieces that a peer gets for one question.
const MAX_PIECES: u64 = 16;

/// A peer that leaves so many questions in a row unanswered is given up.
const ATTEMPTS: u32 = 4;

/// The state of this node's getting a snapshot.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct Snapshots {
    transfer: Option<Transfer>,
    /// When to look for a peer, for a node that lost its state.
    retry_at: Option<Time>,
    /// Who could not help since everybody was asked last.
    tried: Vec<NodeId>,
}

/// A snapshot on its way to this node.
#[derive(Clone, Hash, Debug)]
struct Transfer {
    peer: Address,
    /// Which one it is; not known before its first piece is here.
    snapshot: Option<SnapshotId>,
    /// Pieces below this one were asked for.
    asked: u64,
    /// Pieces below this one were given to the state machine.
    received: u64,
    /// Pieces that overtook others, whether they are the last, and what is in them: fewer than the window has.
    early: BTreeMap<u64, (bool, Bytes)>,
    /// Pieces below this one are staged.
    staged: u64,
    /// How many there are, once the last is here.
    length: Option<u64>,
    /// Questions in a row that were not answered.
    attempts: u32,
    /// When patience with the peer ends.
    due: Time,
}

impl Snapshots {
    /// Which one is on its way, and how many of its pieces are staged.
    pub(crate) fn progress(&self) -> Option<(SnapshotId, u64)> {
        let transfer = self.transfer.as_ref()?;
        Some((transfer.snapshot?, transfer.staged))
    }
}

impl Transfer {
    fn is_complete(&self) -> bool {
        self.length == Some(self.staged)
    }

    /// Whether the peer has something to send; else this node's own disk is waited for.
    fn awaits_peer(&self) -> bool {
        self.length.is_none() && self.received < self.asked
    }
}

impl Replica {
    /// Whether the state machine lacks slots that are gone from this node's own journal: it was lost, and the journal was not.
    /// Such a node votes and learns as before, but has nothing to apply entries to, and does not stand for election.
    pub(crate) fn lacks_state(&self) -> bool {
        self.log.applied < self.log.trimmed
    }

    /// The oldest snapshot that is of any use to this node.
    fn least_useful(&self) -> Slot {
        if self.lacks_state() {
            self.log.trimmed
        } else {
            self.log.chosen.next()
        }
    }

    pub(crate) fn awaits_snapshot(&self) -> bool {
        self.snapshots.transfer.is_some()
    }

    /// Notices that the state was lost, and that a snapshot is no longer needed.
    pub(crate) fn settle_snapshot(&mut self) {
        let overtaken = self.snapshots.transfer.as_ref().is_some_and(|transfer| {
            let known = transfer.snapshot.map(|snapshot| snapshot.slot);
            !transfer.is_complete() && known.is_some_and(|slot| slot < self.least_useful())
        });
        if overtaken {
            self.abandon_snapshot(Abandoned::Overtaken);
        }
        if self.lacks_state() && !self.awaits_snapshot() && self.snapshots.retry_at.is_none() {
            self.snapshots.retry_at = Some(self.now);
        }
    }

    pub(crate) fn snapshot_deadline(&self) -> Time {
        if !self.has_space() {
            return Time::NEVER;
        }
        match &self.snapshots.transfer {
            Some(transfer) if transfer.is_complete() => Time::NEVER,
            Some(transfer) => transfer.due,
            None => self.snapshots.retry_at.unwrap_or(Time::NEVER),
        }
    }

    pub(crate) fn tick_snapshot(&mut self) {
        if self.now < self.snapshot_deadline() {
            return;
        }
        self.snapshots.retry_at = None;
        let Some(transfer) = &mut self.snapshots.transfer else {
            let peers = self.peers();
            return self.ask_for_snapshot(&peers);
        };
        if transfer.awaits_peer() {
            transfer.attempts += 1;
            if transfer.attempts >= ATTEMPTS {
                return self.abandon_snapshot(Abandoned::Silent);
            }
            // What was lost is asked for again, from the first piece that is missing.
            transfer.asked = transfer.received;
        }
        self.ask_for_pieces();
    }

    /// C3: asks the nearest of `peers` that was not tried for a snapshot.
    pub(crate) fn ask_for_snapshot(&mut self, peers: &[Address]) {
        let untried = |peer: &&Address| !self.snapshots.tried.contains(&peer.node);
        let nearest =
            |peers: &mut dyn Iterator<Item = &Address>| peers.min_by_key(|peer| self.round_trip(peer.node)).copied();
        let peer = nearest(&mut peers.iter().filter(untried)).or_else(|| nearest(&mut peers.iter()));
        let Some(peer) = peer.filter(|_| !mutated(Mutant::NoSnapshot)) else {
            return;
        };
        self.snapshots.transfer = Some(Transfer {
            peer,
            snapshot: None,
            asked: 0,
            received: 0,
            early: BTreeMap::new(),
            staged: 0,
            length: None,
            attempts: 0,
            due: self.now,
        });
        self.ask_for_pieces();
    }

    /// Asks for what the window has room for.
    fn ask_for_pieces(&mut self) {
        let (now, patience, least) = (self.now, self.snapshot_patience(), self.least_useful());
        let Some(transfer) = &mut self.snapshots.transfer else {
            return;
        };
        transfer.due = now + patience * (1 << transfer.attempts.min(ATTEMPTS));
        let to = transfer.staged + WINDOW;
        if transfer.length.is_some() || to <= transfer.asked {
            return;
        }
        let question = Message::AskSnapshot {
            least,
            snapshot: transfer.snapshot,
            from: transfer.asked,
            count: to - transfer.asked,
        };
        transfer.asked = to;
        let peer = transfer.peer;
        self.send(peer, question);
    }

    /// Pieces are large, and wait behind each other on a slow link.
    fn snapshot_patience(&self) -> Duration {
        self.silence() * 2
    }

    /// A peer is behind every log. It gets nothing from a node that is too far behind itself.
    pub(crate) fn on_ask_snapshot(
        &mut self,
        peer: Address,
        least: Slot,
        snapshot: Option<SnapshotId>,
        from: u64,
        count: u64,
    ) {
        if snapshot.is_none() && (self.log.applied < least || self.lacks_state()) {
            self.send(peer, Message::SnapshotGone { snapshot });
            return;
        }
        self.output(Output::ReadSnapshot {
            peer,
            snapshot,
            from: if snapshot.is_some() { from } else { 0 },
            count: count.min(MAX_PIECES),
        });
    }

    /// A piece for a peer is read. The log above the snapshot is kept for that peer (C4).
    pub(crate) fn on_snapshot_read(
        &mut self,
        peer: Address,
        snapshot: SnapshotId,
        number: u64,
        last: bool,
        payload: Bytes,
    ) {
        self.note_reader(peer, snapshot, payload.len());
        let piece = Message::SnapshotPiece {
            snapshot,
            number,
            last,
            payload,
        };
        self.send(peer, piece);
    }

    pub(crate) fn on_snapshot_piece(
        &mut self,
        from: Address,
        snapshot: SnapshotId,
        number: u64,
        last: bool,
        payload: Bytes,
    ) {
        let (now, patience, least) = (self.now, self.snapshot_patience(), self.least_useful());
        let Some(transfer) = &mut self.snapshots.transfer else {
            return;
        };
        // Of another attempt, or repeated. Which snapshot it is, only the first piece says: another may be of an earlier one.
        let known = transfer.snapshot.map_or(number == 0, |known| known == snapshot);
        let wanted = (transfer.received..transfer.asked).contains(&number) && transfer.length.is_none();
        if transfer.peer != from || !known || !wanted || self.space.is_exhausted() {
            return;
        }
        let first = transfer.snapshot.is_none();
        if first && snapshot.slot < least {
            return self.abandon_snapshot(Abandoned::Old);
        }
        transfer.snapshot = Some(snapshot);
        transfer.early.insert(number, (last, payload));
        transfer.attempts = 0;
        transfer.due = now + patience;
        if first {
            self.event(Event::SnapshotBegun {
                peer: from.node,
                snapshot,
            });
        }
        self.stage_pieces(snapshot);
    }

    /// Gives the state machine what is here without a gap.
    fn stage_pieces(&mut self, snapshot: SnapshotId) {
        while let Some(transfer) = &mut self.snapshots.transfer {
            let number = transfer.received;
            let Some((last, payload)) = transfer.early.remove(&number) else {
                return;
            };
            transfer.received += 1;
            if last {
                transfer.length = Some(transfer.received);
                transfer.early.clear();
            }
            self.output(Output::StageSnapshot {
                snapshot,
                number,
                last,
                payload,
            });
        }
    }

    /// The state machine has taken a piece. The last one makes the snapshot whole, verified and durable.
    pub(crate) fn on_snapshot_staged(&mut self, snapshot: SnapshotId, number: u64) {
        let Some(transfer) = &mut self.snapshots.transfer else {
            return;
        };
        if transfer.snapshot != Some(snapshot) || number != transfer.staged || number >= transfer.received {
            return;
        }
        transfer.staged += 1;
        if transfer.is_complete() {
            self.output(Output::InstallSnapshot { slot: snapshot.slot });
        } else {
            self.ask_for_pieces();
        }
    }

    pub(crate) fn on_snapshot_refused(&mut self, snapshot: SnapshotId) {
        if let Some(transfer) = &self.snapshots.transfer
            && transfer.snapshot == Some(snapshot)
        {
            self.abandon_snapshot(Abandoned::Refused);
        }
    }

    pub(crate) fn on_snapshot_gone(&mut self, from: Address, snapshot: Option<SnapshotId>) {
        if let Some(transfer) = &self.snapshots.transfer
            && transfer.peer == from
            && transfer.snapshot == snapshot
            && transfer.length.is_none()
        {
            self.abandon_snapshot(Abandoned::Gone);
        }
    }

    /// Another peer is next; after all of them, after a while, the first again.
    fn abandon_snapshot(&mut self, reason: Abandoned) {
        let Some(transfer) = self.snapshots.transfer.take() else {
            return;
        };
        let peer = transfer.peer.node;
        self.event(Event::SnapshotAbandoned { peer, reason });
        self.snapshots.tried.push(peer);
        let untried = |peer: Address| !self.snapshots.tried.contains(&peer.node);
        let mut pause = Duration::ZERO;
        if !self.peers().into_iter().any(untried) {
            self.snapshots.tried.clear();
            pause = self.silence();
        }
        let at = self.now + pause;
        if self.lacks_state() {
            self.snapshots.retry_at = Some(at);
        } else {
            // Some peer's log may have come in reach meanwhile.
            self.restart_catch_up(at);
        }
    }
}

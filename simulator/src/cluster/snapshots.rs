//! Snapshots: the real code reads, checks and rebuilds a state; what is around it, slow disks and deaths between two steps, is
//! simulated. A whole snapshot lies beside the state until the next start installs it, which is the only way it ever is.

use std::collections::VecDeque;

use bytes::Bytes;
use paxos::{Address, Input, Output, Slot, SnapshotId};
use storage::snapshot::{MemorySink, Origin, Source, Staging, installed};
use storage::tables::{FrozenMemory, Tables};

use crate::adversary::Strike;
use crate::checker::Verdict;
use crate::clock::Moment;
use crate::coverage::{Fault, Sometimes, Step};
use crate::machine::Machine;
use crate::mutant::Mutant;
use crate::seat::Seat;
use crate::swarm::CLUSTER;
use crate::tables::DiskTables;
use crate::trace::digest;

use super::event::{Event, Happening};
use super::{Cluster, Phase};

/// Most snapshots that a process serves at the same time. Who comes when there are so many is sent away, as the node does: were
/// it to push another out, three who ask could keep each other from ever getting to the end.
const SERVED: usize = 2;

/// A snapshot that nobody asks for is forgotten after so many election timeouts.
const IDLE: u32 = 16;

/// A snapshot that a process reads for a peer.
pub(crate) struct Served {
    peer: Address,
    id: SnapshotId,
    source: Source<FrozenMemory>,
    /// One more than the highest piece read so far.
    reached: u64,
    /// When it was last asked for.
    used: Moment,
}

/// A piece that waits to be staged.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    snapshot: SnapshotId,
    number: u64,
    last: bool,
    payload: Bytes,
}

/// What dies with a process of its dealings with snapshots.
#[derive(Default)]
pub(crate) struct Transfers {
    served: Vec<Served>,
    made: u64,
    to_stage: VecDeque<Piece>,
    staging: Option<(SnapshotId, Staging<MemorySink>)>,
    /// Only for a mutant: a damaged piece was taken.
    tainted: bool,
}

impl Cluster {
    pub(super) fn perform_snapshot(&mut self, seat: Seat, output: Output) -> Verdict {
        let now = self.now;
        match output {
            Output::ReadSnapshot {
                peer,
                snapshot,
                from,
                count,
            } => {
                let span = self.random.disk.exponential(self.plan.disk.mean);
                let what = Happening::ReadSnapshot {
                    peer,
                    snapshot,
                    from,
                    count,
                };
                self.later_at(span, seat, what);
                Ok(())
            }
            Output::StageSnapshot {
                snapshot,
                number,
                last,
                payload,
            } => {
                let Some(process) = self.process(seat) else {
                    return Ok(());
                };
                let idle = process.transfers.to_stage.is_empty();
                process.transfers.to_stage.push_back(Piece {
                    snapshot,
                    number,
                    last,
                    payload,
                });
                if idle {
                    self.stage_later(seat);
                }
                Ok(())
            }
            Output::InstallSnapshot { slot } => {
                self.trace
                    .line(|| format!("{now:?} {seat} ends, to start with the snapshot of {slot}"));
                if self.process(seat).is_some_and(|process| process.prepares) {
                    self.tally.sometimes.hit(Sometimes::InstalledInPhase1);
                }
                self.crash(seat)?;
                let span = self.random.disk.exponential(self.plan.disk.mean * 4);
                self.later(span, Event::Restart { seat });
                Ok(())
            }
            other => unreachable!("{other:?} is not about snapshots"),
        }
    }

    /// A process reads pieces of a snapshot for a peer, of a new one if that is what the peer wants.
    pub(super) fn on_read_snapshot(
        &mut self,
        seat: Seat,
        peer: Address,
        wanted: Option<SnapshotId>,
        (from, count): (u64, u64),
    ) -> Verdict {
        let (now, idle) = (self.now, self.plan.tuning.election_timeout * IDLE);
        let piece_bytes = self.plan.tuning.piece_bytes;
        let epoch = self.plan.configuration.epoch();
        let (behind, late) = (
            self.plan.is(Mutant::SnapshotBehind),
            self.nodes[seat.index()].backup.is_some(),
        );
        let frozen_late = if behind && late {
            self.nodes[seat.index()]
                .backup
                .as_ref()
                .map(|(tables, _)| tables.copy())
        } else {
            None
        };
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        let (boot, transfers) = (process.boot, &mut process.transfers);
        if wanted.is_none() {
            transfers
                .served
                .retain(|served| served.peer != peer && now.since(served.used) < idle);
            if transfers.served.len() == SERVED {
                self.step(seat, Input::SnapshotGone { peer, snapshot: None });
                return Ok(());
            }
            let frozen = match frozen_late {
                Some(old) => old.with_progress_of(process.machine.tables()).freeze(),
                None => process.machine.tables().freeze(),
            };
            let origin = Origin {
                cluster: "simulated".to_owned(),
                cluster_id: CLUSTER,
                epoch,
            };
            let source = Source::new(frozen, origin, 0, piece_bytes).expect("tables in memory do not fail");
            transfers.made += 1;
            let id = SnapshotId {
                slot: source.header().progress.applied,
                serial: boot << 16 | transfers.made,
            };
            transfers.served.push(Served {
                peer,
                id,
                source,
                reached: 0,
                used: now,
            });
        }
        let served = transfers.served.iter_mut();
        let Some(served) = served
            .filter(|served| served.peer == peer)
            .find(|served| wanted.is_none_or(|id| served.id == id))
        else {
            self.step(seat, Input::SnapshotGone { peer, snapshot: wanted });
            return Ok(());
        };
        served.used = now;
        let resumed = from > 0 && from < served.reached;
        let mut pieces = Vec::new();
        for number in from..from + count {
            let read = served.source.piece(number).expect("tables in memory do not fail");
            let Some(piece) = read else { break };
            served.reached = served.reached.max(number + 1);
            pieces.push((served.id, number, piece));
        }
        if resumed {
            self.tally.sometimes.hit(Sometimes::SnapshotResumed);
        }
        for (snapshot, number, piece) in pieces {
            self.trace.mix(digest(&piece.payload));
            self.oracle.on_piece(seat, snapshot.slot, number, &piece.payload)?;
            let input = Input::SnapshotRead {
                peer,
                snapshot,
                number,
                last: piece.last,
                payload: piece.payload,
            };
            self.step(seat, input);
        }
        Ok(())
    }

    fn stage_later(&mut self, seat: Seat) {
        let span = self.random.disk.exponential(self.plan.disk.mean);
        self.later_at(span, seat, Happening::Stage);
    }

    /// A process puts the next piece beside its state.
    pub(super) fn on_stage(&mut self, seat: Seat) -> Verdict {
        let damaged = self.phase == Phase::Storm && self.plan.weather.damage > 0 && self.random.disk.chance(100);
        let unverified = self.plan.is(Mutant::PieceUnverified);
        let next = |process: &mut crate::node::Process| process.transfers.to_stage.pop_front();
        let Some(piece) = self.process(seat).and_then(next) else {
            return Ok(());
        };
        let doomed = (piece.number == 0).then(|| self.draw_snapshot_doom()).flatten();
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        process.doom = doomed.or(process.doom);
        let transfers = &mut process.transfers;
        let more = !transfers.to_stage.is_empty();
        let mut payload = piece.payload.to_vec();
        if damaged {
            let at = payload.len() / 2;
            if unverified {
                transfers.tainted = true;
            } else {
                payload[at] ^= 0x10;
            }
        }
        let taken = transfers.stage(&piece, &payload);
        if damaged {
            self.tally.faults.hit(Fault::PieceDamaged);
        }
        if more {
            self.stage_later(seat);
        }
        let snapshot = piece.snapshot;
        match taken {
            Err(why) => {
                let now = self.now;
                self.trace
                    .line(|| format!("{now:?} {seat} refuses piece {} of {snapshot:?}: {why}", piece.number));
                self.step(seat, Input::SnapshotRefused { snapshot });
                return Ok(());
            }
            Ok(None) => {
                if self.dies_at(seat, Step::Staged)? {
                    return Ok(());
                }
            }
            Ok(Some(tables)) => {
                let node = &mut self.nodes[seat.index()];
                node.incoming = Some(node.tables.beside(tables));
                if self.dies_at(seat, Step::SnapshotComplete)? {
                    return Ok(());
                }
            }
        }
        let number = piece.number;
        self.step(seat, Input::SnapshotStaged { snapshot, number });
        Ok(())
    }

    /// Snapshots are rare, and strikes that fall at any time would hardly ever meet one: some are met on purpose.
    fn draw_snapshot_doom(&mut self) -> Option<(Step, u32)> {
        let may = self.phase == Phase::Storm && self.plan.faults.every.contains_key(&Strike::CrashAtStep);
        if !may || !self.random.process.chance(300) {
            return None;
        }
        let steps = [Step::Staged, Step::SnapshotComplete, Step::Installed];
        Some((*self.random.process.pick(&steps), 0))
    }

    /// What a start does first: a whole snapshot takes the place of the state, if it is newer, and not older than the journal.
    pub(super) fn install(&mut self, seat: Seat) {
        let (node, genesis) = (&mut self.nodes[seat.index()], &self.plan.configuration);
        let Some(incoming) = node.incoming.take() else {
            return;
        };
        let (old, new) = (
            Machine::open(node.tables.clone(), genesis).applied(),
            Machine::open(incoming.clone(), genesis).applied(),
        );
        let trimmed = node.disk.store().trimmed;
        if new <= old || new < trimmed {
            return;
        }
        if old < trimmed {
            self.tally.sometimes.hit(Sometimes::StateRebuilt);
        }
        self.tally.sometimes.hit(Sometimes::SnapshotInstalled);
        (node.tables, node.flushed) = (incoming, new);
        if self.plan.is(Mutant::InstallResetsPromise) {
            node.disk.forget_promise();
        }
        if self.plan.is(Mutant::InstallDropsVotes) {
            node.disk.forget_votes();
        }
        let now = self.now;
        self.trace
            .line(|| format!("{now:?} {seat} installs the snapshot of slot {new} over a state of slot {old}"));
        self.trace.mix(new.0);
        self.oracle.on_flushed(seat, new);
        self.for_spec(|spec| spec.on_flushed(seat, new));
    }

    /// The slot at which a node's state came from a peer.
    pub(super) fn installed(&self, seat: Seat) -> Slot {
        installed(&self.nodes[seat.index()].tables).expect("tables in memory do not fail")
    }
}

impl Transfers {
    /// Takes a piece; the new tables, if it was the last.
    fn stage(&mut self, piece: &Piece, payload: &[u8]) -> Result<Option<storage::tables::MemoryTables>, String> {
        if piece.number == 0 {
            let staging = Staging::new(CLUSTER, piece.snapshot.slot, MemorySink::new());
            self.staging = Some((piece.snapshot, staging));
        }
        let Some((_, staging)) = self.staging.as_mut().filter(|(id, _)| *id == piece.snapshot) else {
            return Err("it was not begun".to_owned());
        };
        if let Err(error) = staging.take(payload) {
            self.staging = None;
            return Err(error.to_string());
        }
        if !piece.last {
            return Ok(None);
        }
        let whole = self.staging.take().map(|(_, staging)| staging.finish());
        match whole {
            Some(Ok((tables, _))) => {
                if std::mem::take(&mut self.tainted) {
                    DiskTables::taint(&tables);
                }
                Ok(Some(tables))
            }
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it was not begun".to_owned()),
        }
    }
}

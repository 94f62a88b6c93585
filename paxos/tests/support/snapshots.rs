//! Snapshots on the table: a state machine that knows no more than how far it has come, in three pieces.

use paxos::{Input, Output, Slot, SnapshotId};

use super::cluster::Cluster;
use super::words;

/// Pieces of every snapshot.
const PIECES: u64 = 3;

/// A node's dealings with snapshots.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// The last one that its process made for a peer.
    served: Option<SnapshotId>,
    made: u64,
    /// What its process has staged, and how many pieces of it.
    staged: Option<(SnapshotId, u64)>,
    /// On its disk: a whole snapshot that was not installed yet.
    complete: Option<Slot>,
    /// The next piece that is staged does not verify.
    pub spoilt: bool,
}

impl Snapshots {
    /// The process ends.
    pub fn forget(&mut self) {
        (self.served, self.staged) = (None, None);
    }

    /// What the next start finds: a whole snapshot, if it is newer than the state and not older than the journal.
    pub fn install(&mut self, applied: Slot, trimmed: Slot) -> Option<Slot> {
        self.complete.take().filter(|slot| *slot > applied && *slot >= trimmed)
    }
}

impl Cluster {
    /// Does what a replica says about snapshots.
    pub fn obey_snapshot(&mut self, name: u64, output: Output) {
        match output {
            Output::ReadSnapshot {
                peer,
                snapshot,
                from,
                count,
            } => {
                let applied = self.node(name).applied;
                let room = &mut self.node(name).snapshots;
                let id = snapshot.unwrap_or_else(|| {
                    room.made += 1;
                    let serial = name * 10 + room.made;
                    *room.served.insert(SnapshotId { slot: applied, serial })
                });
                if room.served != Some(id) {
                    return self.step_once(name, Input::SnapshotGone { peer, snapshot });
                }
                for number in from..(from + count).min(PIECES) {
                    let piece = Input::SnapshotRead {
                        peer,
                        snapshot: id,
                        number,
                        last: number + 1 == PIECES,
                        payload: format!("{number} of s{}", id.slot).into(),
                    };
                    self.step_once(name, piece);
                }
            }
            Output::StageSnapshot {
                snapshot,
                number,
                last,
                payload,
            } => {
                assert_eq!(
                    payload,
                    format!("{number} of s{}", snapshot.slot),
                    "pieces arrive whole"
                );
                let room = &mut self.node(name).snapshots;
                let staged = if number == 0 {
                    0
                } else {
                    room.staged.map_or(0, |(_, count)| count)
                };
                assert_eq!(staged, number, "pieces are staged in order");
                if std::mem::take(&mut room.spoilt) {
                    room.staged = None;
                    self.say(format!("{name} cannot verify a piece {}", words::snapshot(snapshot)));
                    return self.step_once(name, Input::SnapshotRefused { snapshot });
                }
                room.staged = Some((snapshot, number + 1));
                if last {
                    room.complete = Some(snapshot.slot);
                }
                self.step_once(name, Input::SnapshotStaged { snapshot, number });
            }
            Output::InstallSnapshot { slot } => {
                self.say(format!("{name} starts again with the snapshot of s{slot} as its state"));
                self.crash(name);
                self.start(name);
            }
            other => unreachable!("{other:?} is not about snapshots"),
        }
    }
}

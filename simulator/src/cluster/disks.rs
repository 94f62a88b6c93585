//! What goes wrong on disks, within what a cluster must survive: the nodes whose disks are whole always hold a quorum of
//! each phase. So every chosen value has a whole copy among them (each phase-1 quorum meets each phase-2 quorum).

use std::time::Duration;

use paxos::Slot;
use storage::tables::MemoryTables;

use crate::adversary::Strike;
use crate::checker::Verdict;
use crate::coverage::Fault;
use crate::random::Random;
use crate::seat::Seat;
use crate::tables::DiskTables;

use super::Cluster;
use super::event::{Event, Happening};

impl Cluster {
    pub(super) fn strike_disk(&mut self, strike: Strike, target: Seat, random: &mut Random) -> Verdict {
        match strike {
            Strike::SlowDisk => {
                self.nodes[target.index()].disk.slowness = random.magnitude(2, 64) as u32;
                self.tally.faults.hit(Fault::SlowDisk);
                let span = self.lasting(random);
                self.later(span, Event::Quicken { seat: target });
                Ok(())
            }
            Strike::FullDisk => {
                // The driver keeps a reserve, and as a rule says so in time.
                if random.chance(500) {
                    self.tally.faults.hit(Fault::LowDisk);
                    self.set_room(target, false)?;
                } else {
                    self.nodes[target.index()].disk.full = true;
                    self.tally.faults.hit(Fault::FullDisk);
                }
                let span = self.lasting(random);
                self.later(span, Event::MakeRoom { seat: target });
                Ok(())
            }
            Strike::SyncError => {
                self.nodes[target.index()].disk.failing = true;
                Ok(())
            }
            Strike::BitRot => {
                if self.can_spare(target) {
                    self.nodes[target.index()].disk.rot(random);
                    self.tally.faults.hit(Fault::BitRot);
                }
                self.oracle.audit(self.holders())
            }
            Strike::Wipe => {
                self.wipe(target, random)?;
                self.oracle.audit(self.holders())
            }
            Strike::OldState => {
                self.restore_state(target)?;
                self.oracle.audit(self.holders())
            }
            Strike::LostState => {
                self.lose_state(target, random)?;
                self.oracle.audit(self.holders())
            }
            _ => unreachable!("{strike:?} is no fault of a disk"),
        }
    }

    /// A disk has little room, or enough again, and its node is told.
    pub(super) fn set_room(&mut self, seat: Seat, enough: bool) -> Verdict {
        let disk = &mut self.nodes[seat.index()].disk;
        disk.full &= !enough;
        if disk.low == enough {
            disk.low = !enough;
            self.later_at(Duration::ZERO, seat, Happening::Room { enough });
        }
        Ok(())
    }

    /// Whether those whose disks are whole still hold a quorum of each phase without this one.
    pub(super) fn can_spare(&self, seat: Seat) -> bool {
        let whole = self.those(|node| !node.is_spoilt() && !node.off).minus(seat.set());
        self.serve(whole)
    }

    /// The machine gets a new disk. Its operator leaves it at that, or gives it a new life.
    fn wipe(&mut self, seat: Seat, random: &mut Random) -> Verdict {
        if self.nodes[seat.index()].lost || !self.can_spare(seat) {
            return Ok(());
        }
        self.crash(seat)?;
        self.tally.faults.hit(Fault::Wiped);
        let node = &mut self.nodes[seat.index()];
        node.once_kept = node.ever_kept();
        (node.tables, node.flushed) = (DiskTables::default(), Slot::ZERO);
        (node.backup, node.incoming) = (None, None);
        node.disk.wipe();
        self.start(seat)?;
        assert!(self.nodes[seat.index()].lost, "a node started on an empty disk");
        if random.chance(500) {
            self.begin_new_life(seat)?;
        }
        Ok(())
    }

    /// The state is replaced by an older one, and the journal is not. If the journal still reaches back that far, nothing is
    /// lost; if not, the node needs a snapshot.
    fn restore_state(&mut self, seat: Seat) -> Verdict {
        let node = &self.nodes[seat.index()];
        let Some((tables, flushed)) = &node.backup else {
            return Ok(());
        };
        let (tables, flushed) = (tables.copy(), *flushed);
        if node.lost || !(flushed >= node.disk.trim_ahead() || self.can_spare(seat)) {
            return Ok(());
        }
        self.crash(seat)?;
        self.tally.faults.hit(Fault::OldState);
        let node = &mut self.nodes[seat.index()];
        node.once_kept = node.ever_kept();
        (node.tables, node.flushed, node.incoming) = (tables, flushed, None);
        self.restart_later(seat);
        Ok(())
    }

    /// The state is lost, and the journal is not: an empty state takes its place.
    fn lose_state(&mut self, seat: Seat, random: &mut Random) -> Verdict {
        if self.nodes[seat.index()].lost || !self.can_spare(seat) {
            return Ok(());
        }
        self.crash(seat)?;
        self.tally.faults.hit(Fault::LostState);
        let node = &mut self.nodes[seat.index()];
        // Some of its next processes die at a step of getting another.
        node.crash_loop += random.below(4) as u32;
        let tables = node.tables.beside(MemoryTables::new());
        node.once_kept = node.ever_kept();
        (node.tables, node.flushed, node.incoming) = (tables, Slot::ZERO, None);
        self.restart_later(seat);
        Ok(())
    }
}

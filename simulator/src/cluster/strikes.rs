//! What goes wrong: the adversary's strikes. Those on links are in [`network`](super::network), those on disks in
//! [`disks`](super::disks).

use std::time::Duration;

use crate::adversary::Strike;
use crate::checker::Verdict;
use crate::coverage::{Fault, Sometimes, Step};
use crate::mutant::Mutant;
use crate::random::Random;
use crate::seat::Seat;

use super::event::Event;
use super::{Cluster, Phase};

impl Cluster {
    pub(super) fn begin_strikes(&mut self) {
        for strike in Strike::ALL {
            self.strike_later(*strike);
        }
    }

    fn strike_later(&mut self, strike: Strike) {
        if let Some(mean) = self.plan.faults.every.get(&strike) {
            let span = self.adversary.next(strike, *mean);
            self.later(span, Event::Strike(strike));
        }
    }

    /// How long a fault lasts.
    pub(super) fn lasting(&self, random: &mut Random) -> Duration {
        random.exponential(self.plan.faults.lasting)
    }

    /// Whom a fault hits: now and then on purpose the node that leads.
    fn target(&self, random: &mut Random) -> Seat {
        let any = Seat(random.index(self.nodes.len()) as u8);
        if random.chance(self.plan.faults.aim_at_leader) {
            let mut leaders = Seat::all(self.nodes.len()).filter(|seat| self.nodes[seat.index()].leads());
            return leaders.next().unwrap_or(any);
        }
        any
    }

    /// A fault begins.
    pub(super) fn strike(&mut self, strike: Strike) -> Verdict {
        if self.phase != Phase::Storm {
            return Ok(());
        }
        self.strike_later(strike);
        let Some((number, mut random)) = self.adversary.fall(strike) else {
            return Ok(());
        };
        let random = &mut random;
        let target = self.target(random);
        let now = self.now;
        self.trace.mix(strike as u64 | u64::from(target.0) << 8);
        self.trace
            .line(|| format!("{now:?} fault {number}: {} (aimed at {target})", strike.name()));
        match strike {
            Strike::Crash => {
                if self.nodes[target.index()].process.is_some() {
                    self.tally.faults.hit(Fault::Crash);
                    self.crash(target)?;
                    self.restart_later(target);
                }
                Ok(())
            }
            Strike::CrashAtStep => {
                let doom = (*random.pick(Step::ALL), random.magnitude(1, 16) as u32 - 1);
                if let Some(process) = self.process(target) {
                    process.doom = Some(doom);
                }
                Ok(())
            }
            Strike::CrashLoop => {
                self.tally.faults.hit(Fault::CrashLoop);
                self.nodes[target.index()].crash_loop = random.between(2, 6) as u32;
                self.crash(target)?;
                self.restart_later(target);
                Ok(())
            }
            Strike::Pause if self.plan.is(Mutant::WallClock) => self.set_clock_back(target, random),
            Strike::Pause => {
                self.pause(target, random);
                Ok(())
            }
            Strike::ClockJump => {
                let by = Duration::from_millis(random.magnitude(100, 60_000));
                self.turn_clock(target, Fault::ClockJump, by, None)
            }
            Strike::ClockRate => {
                // A clock that is wrong by a fifth is broken; safety may not mind.
                let most = *random.pick(&[100, 10_000, 200_000]);
                let most = self.plan.tenure.bound().map_or(most, |bound| bound.min(most));
                if self.plan.is(Mutant::WallClock) {
                    return self.set_clock_back(target, random);
                }
                let rate = random.below(2 * most + 1) as i64 - most as i64;
                self.turn_clock(target, Fault::ClockRate, Duration::ZERO, Some(rate))
            }
            Strike::HandOver => self.wish(target, random),
            Strike::Isolate
            | Strike::OneWay
            | Strike::Split
            | Strike::Bridge
            | Strike::Ring
            | Strike::Region
            | Strike::Scramble
            | Strike::Flap
            | Strike::Swizzle
            | Strike::Reset
            | Strike::Degrade => {
                self.strike_network(strike, target, random);
                Ok(())
            }
            Strike::SlowDisk
            | Strike::FullDisk
            | Strike::SyncError
            | Strike::BitRot
            | Strike::Wipe
            | Strike::OldState
            | Strike::LostState => self.strike_disk(strike, target, random),
            Strike::Change => {
                let anybody = Seat(random.index(self.nodes.len()) as u8);
                self.ask_for_change(anybody, random)
            }
        }
    }

    fn pause(&mut self, seat: Seat, random: &mut Random) {
        let node = &mut self.nodes[seat.index()];
        if node.process.is_none() || node.paused {
            return;
        }
        node.paused = true;
        node.frozen = self.now;
        if node.leads() {
            self.tally.sometimes.hit(Sometimes::LeaderPaused);
        }
        self.tally.faults.hit(Fault::Pause);
        let span = random.exponential(self.plan.faults.pause);
        self.later(span, Event::Resume { seat });
    }

    /// A frozen process goes on with all that waited for it.
    pub(super) fn resume(&mut self, seat: Seat) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        if !node.paused {
            return Ok(());
        }
        node.paused = false;
        let (now, frozen) = (self.now, node.frozen);
        if self.holds_lease(seat, frozen) && !self.holds_lease(seat, now) {
            self.tally.sometimes.hit(Sometimes::LeaseRanOut);
        }
        if let Some(process) = self.process(seat) {
            process.resumed = now;
        }
        self.read_early = Some(frozen);
        while let Some((boot, what)) = self.nodes[seat.index()].waiting.pop_front() {
            self.on_happening(seat, boot, what)?;
        }
        self.read_early = None;
        Ok(())
    }

    /// A mutant's clock is the wall clock: somebody sets it back.
    fn set_clock_back(&mut self, seat: Seat, random: &mut Random) -> Verdict {
        let Some(lease) = self.plan.tenure.lease else {
            return Ok(());
        };
        let by = random.span(lease.duration / 2, lease.duration * 2);
        if let Some(process) = self.process(seat)
            && !process.set_back
        {
            // Once: a node for which time stands still again and again is only slow.
            process.set_back = true;
            process.clock.origin = process.clock.origin.before(by);
            process.wake = crate::clock::Moment(u64::MAX);
        }
        self.wake_later(seat)
    }

    /// A process's clock jumps forward, or runs at another rate from now on.
    fn turn_clock(&mut self, seat: Seat, fault: Fault, by: Duration, rate: Option<i64>) -> Verdict {
        let now = self.now;
        let Some(process) = self.process(seat) else {
            return Ok(());
        };
        let drift = rate.unwrap_or(process.clock.drift);
        process.clock.jump(now, by, drift);
        // It is woken by the clock as it is now.
        process.wake = crate::clock::Moment(u64::MAX);
        self.tally.faults.hit(fault);
        self.wake_later(seat)
    }
}

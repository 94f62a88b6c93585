//! What goes wrong: the adversary's strikes, and their ends.

use std::time::Duration;

use crate::checker::Verdict;
use crate::coverage::{Fault, Sometimes};
use crate::seat::Seat;

use super::Cluster;
use super::event::{Event, Strike};

impl Cluster {
    fn interval(&self, strike: Strike) -> Option<Duration> {
        let faults = &self.plan.faults;
        match strike {
            Strike::Crash => faults.crash,
            Strike::CrashInStep => faults.crash_in_step,
            Strike::Pause => faults.pause,
            Strike::Isolate => faults.isolate,
            Strike::OneWay => faults.one_way,
            Strike::Split => faults.split,
            Strike::Region => faults.region,
            Strike::Scramble => faults.scramble,
            Strike::SlowDisk => faults.slow_disk,
        }
    }

    pub(super) fn begin_strikes(&mut self) {
        for strike in [
            Strike::Crash,
            Strike::CrashInStep,
            Strike::Pause,
            Strike::Isolate,
            Strike::OneWay,
            Strike::Split,
            Strike::Region,
            Strike::Scramble,
            Strike::SlowDisk,
        ] {
            self.strike_later(strike);
        }
    }

    fn strike_later(&mut self, strike: Strike) {
        if let Some(mean) = self.interval(strike) {
            let span = self.random.faults.exponential(mean);
            self.later(span, Event::Strike(strike));
        }
    }

    /// How long a fault lasts.
    fn lasting(&mut self) -> Duration {
        self.random.faults.exponential(self.plan.faults.lasting)
    }

    /// Whom a fault hits: now and then on purpose the node that leads.
    fn target(&mut self) -> Seat {
        let random = &mut self.random.faults;
        let any = Seat(random.index(self.nodes.len()) as u8);
        if random.chance(self.plan.faults.aim_at_leader) {
            let mut leaders = Seat::all(self.nodes.len()).filter(|seat| self.nodes[seat.index()].leads());
            return leaders.next().unwrap_or(any);
        }
        any
    }

    /// A fault begins.
    pub(super) fn strike(&mut self, strike: Strike) -> Verdict {
        if self.is_calm {
            return Ok(());
        }
        self.strike_later(strike);
        let target = self.target();
        let now = self.now;
        self.trace.mix(strike as u64 | u64::from(target.0) << 8);
        self.trace
            .line(|| format!("{now:?} fault: {strike:?} (aimed at {target})"));
        let all: Vec<Seat> = Seat::all(self.nodes.len()).collect();
        match strike {
            Strike::Crash => {
                if self.nodes[target.index()].process.is_some() {
                    self.tally.faults.hit(Fault::Crash);
                    self.crash(target)?;
                    self.restart_later(target);
                }
            }
            Strike::CrashInStep => {
                let left = self.random.faults.magnitude(1, 32) as u32;
                if let Some(process) = self.process(target) {
                    process.doom = Some(left);
                }
            }
            Strike::Pause => self.pause(target),
            Strike::Isolate => self.cut(Fault::Isolation, |from, to| from == target || to == target),
            Strike::OneWay => {
                let outward = self.random.faults.chance(500);
                self.cut(
                    Fault::OneWay,
                    |from, to| if outward { from == target } else { to == target },
                );
            }
            Strike::Split => {
                let side = self.random.faults.word();
                let on = |seat: Seat| side >> seat.0 & 1;
                self.cut(Fault::Split, |from, to| on(from) != on(to));
            }
            Strike::Region => {
                let members = self.plan.configuration.members();
                let inside: Vec<bool> = all
                    .iter()
                    .map(|seat| members[seat.index()].region == members[target.index()].region)
                    .collect();
                self.cut(Fault::RegionCut, |from, to| inside[from.index()] != inside[to.index()]);
            }
            Strike::Scramble => {
                let word = self.random.faults.word();
                self.cut(Fault::Scramble, |from, to| word >> (from.0 * 8 + to.0) & 1 == 1);
            }
            Strike::SlowDisk => self.slow_disk(target),
        }
        Ok(())
    }

    fn cut(&mut self, fault: Fault, which: impl Fn(Seat, Seat) -> bool) {
        self.tally.faults.hit(fault);
        let all = Seat::all(self.nodes.len());
        let links: Vec<(Seat, Seat)> = all
            .flat_map(|from| Seat::all(self.nodes.len()).map(move |to| (from, to)))
            .filter(|(from, to)| from != to && which(*from, *to))
            .collect();
        for (from, to) in &links {
            self.network.cut(*from, *to);
        }
        let span = self.lasting();
        self.later(span, Event::Heal { links });
    }

    pub(super) fn heal(&mut self, links: &[(Seat, Seat)]) {
        if !self.is_calm {
            for (from, to) in links {
                self.network.heal(*from, *to);
            }
        }
    }

    fn pause(&mut self, seat: Seat) {
        let node = &mut self.nodes[seat.index()];
        if node.process.is_none() || node.paused {
            return;
        }
        node.paused = true;
        if node.leads() {
            self.tally.sometimes.hit(Sometimes::LeaderPaused);
        }
        self.tally.faults.hit(Fault::Pause);
        let span = self.lasting();
        self.later(span, Event::Resume { seat });
    }

    /// A frozen process goes on with all that waited for it.
    pub(super) fn resume(&mut self, seat: Seat) -> Verdict {
        let node = &mut self.nodes[seat.index()];
        if !node.paused {
            return Ok(());
        }
        node.paused = false;
        let now = self.now;
        if let Some(process) = self.process(seat) {
            process.resumed = now;
        }
        while let Some((boot, what)) = self.nodes[seat.index()].waiting.pop_front() {
            self.on_happening(seat, boot, what)?;
        }
        Ok(())
    }

    fn slow_disk(&mut self, seat: Seat) {
        let times = self.random.faults.magnitude(2, 64) as u32;
        self.nodes[seat.index()].disk.slowness = times;
        self.tally.faults.hit(Fault::SlowDisk);
        let span = self.lasting();
        self.later(span, Event::Quicken { seat });
    }

    pub(super) fn restart_later(&mut self, seat: Seat) {
        let span = self.lasting();
        self.later(span, Event::Restart { seat });
    }

    /// A process starts again, if none runs there and it is not left out of the calm.
    pub(super) fn restart(&mut self, seat: Seat) -> Verdict {
        let left_out = self.is_calm && !self.core.contains(seat.0);
        if self.nodes[seat.index()].process.is_some() || left_out {
            return Ok(());
        }
        self.tally.faults.hit(Fault::Restart);
        self.start(seat)
    }
}

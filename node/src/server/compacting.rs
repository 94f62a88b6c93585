//! Compacting without being asked to: the leader proposes what the settings say.
//!
//! Every node notes how old revisions are, so that whoever comes to lead knows it. A command that nobody needs any more,
//! because somebody else has compacted meanwhile, is refused by the state machine and does no harm.

use std::collections::VecDeque;
use std::time::Duration;

use paxos::Time;
use storage::machine::{Applied, Command, Compact, Reader};
use storage::tables::RocksTables;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::requests::Requests;
use crate::settings::{Compaction, Keep};
use crate::status::Role;

/// Most moments that are remembered: what is kept by age is known to a thousandth of that age.
const MOMENTS: u32 = 1000;

/// Which revision the store may be compacted at.
struct Schedule {
    keep: Keep,
    /// At these moments the store had these revisions, oldest first; not more than are needed.
    moments: VecDeque<(Time, i64)>,
}

impl Schedule {
    fn new(keep: Keep) -> Schedule {
        Schedule {
            keep,
            moments: VecDeque::new(),
        }
    }

    /// Takes note that the store has this revision now; which revision it may be compacted at, if any.
    fn look(&mut self, now: Time, revision: i64) -> Option<i64> {
        let due = match self.keep {
            Keep::Everything => None,
            Keep::Revisions(count) => Some(revision.saturating_sub(count)),
            Keep::Age(age) => {
                self.note(now, revision, age);
                let old = |(at, _): &(Time, i64)| *at + age <= now;
                let count = self.moments.iter().take_while(|moment| old(moment)).count();
                // The last of the old ones is what was there `age` ago; what is older still is not asked for again.
                self.moments.drain(..count.saturating_sub(1));
                self.moments
                    .front()
                    .filter(|moment| old(moment))
                    .map(|(_, revision)| *revision)
            }
        };
        due.filter(|revision| *revision > 0)
    }

    fn note(&mut self, now: Time, revision: i64, age: Duration) {
        let spacing = age / MOMENTS;
        if self.moments.back().is_none_or(|(last, _)| *last + spacing <= now) {
            self.moments.push_back((now, revision));
        }
    }
}

/// Runs until `stop` turns true.
pub(super) async fn run(
    settings: Compaction,
    clock: Clock,
    reader: Reader<RocksTables>,
    requests: Requests,
    patience: Duration,
    mut stop: watch::Receiver<bool>,
) {
    if settings.keep == Keep::Everything {
        return;
    }
    let mut schedule = Schedule::new(settings.keep);
    let mut rounds = interval(settings.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = rounds.tick() => {}
        }
        let progress = reader.progress();
        let due = schedule.look(clock.now(), progress.revision.0);
        let Some(revision) = due.filter(|revision| *revision > progress.compacted) else {
            continue;
        };
        if requests.status().role != Role::Leader {
            continue;
        }
        let command = Command::Compact(Compact { revision });
        match requests.propose(command.encode(), patience).await {
            Ok(Applied { result: Ok(_), .. }) => info!(revision, "the store is compacted, as the settings say"),
            Ok(Applied {
                result: Err(reason), ..
            }) => info!(revision, %reason, "the store was compacted already"),
            Err(failure) => warn!(revision, %failure, "the store could not be compacted; it will be tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn so_many_revisions_are_kept() {
        let mut schedule = Schedule::new(Keep::Revisions(100));
        assert_eq!(schedule.look(at(0), 50), None);
        assert_eq!(schedule.look(at(1), 100), None);
        assert_eq!(schedule.look(at(2), 101), Some(1));
        assert_eq!(schedule.look(at(2), 1101), Some(1001));
        assert_eq!(Schedule::new(Keep::Everything).look(at(3), 1000), None);
    }

    #[test]
    fn what_was_there_so_long_ago_is_kept() {
        let mut schedule = Schedule::new(Keep::Age(Duration::from_secs(60)));
        assert_eq!(schedule.look(at(0), 10), None);
        assert_eq!(schedule.look(at(30), 20), None);
        assert_eq!(
            schedule.look(at(59), 30),
            None,
            "nobody knows what was there a minute ago"
        );
        assert_eq!(schedule.look(at(60), 40), Some(10));
        assert_eq!(schedule.look(at(80), 50), Some(10));
        assert_eq!(schedule.look(at(95), 60), Some(20));
        assert_eq!(schedule.look(at(1000), 60), Some(60), "it was there since second 95");
    }

    #[test]
    fn moments_are_bounded_however_often_it_looks() {
        let mut schedule = Schedule::new(Keep::Age(Duration::from_secs(100)));
        let mut compacted = 0;
        for round in 0..1_000_000u64 {
            let now = Time(round * 1_000_000);
            let due = schedule.look(now, 1 + round as i64);
            assert!(
                schedule.moments.len() <= MOMENTS as usize + 2,
                "{}",
                schedule.moments.len()
            );
            if let Some(revision) = due {
                compacted = revision;
                assert!(
                    now.0 >= revision as u64 * 1_000_000 + 99_000_000_000,
                    "too young: {revision}"
                );
            }
        }
        assert!(compacted > 899_000, "{compacted}");
    }
}

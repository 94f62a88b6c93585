//! Runs in which little else happens than what brings a certain harm about. Some mutants break only where several things meet,
//! which is too rare in runs with a bit of everything.

use paxos::mutant::Mutant as Core;

use crate::adversary::Strike;
use crate::mutant::Mutant;
use crate::swarm::Plan;
use crate::tenure::Tenure;

/// What a run is full of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Favour {
    /// Long leases on wrong clocks, leaders cut off and others restarted, and little else: what breaks only when several of
    /// these meet within one lease is too rare in runs with a bit of everything.
    Leases,
    /// One leader after the other is cut off: commands are tried again, and what an earlier leader proposed comes back. In some
    /// runs soon after the one before has returned, with clients who have little to do, so that few slots are used
    /// meanwhile.
    Doubt,
    /// Processes start again and again.
    Restarts,
    /// One change follows on the other, while leaders are cut off and restart.
    Changes,
    /// Leaders hand over again and again, and who is called hears of it when the leader has gone on.
    LateCalls,
    /// Leaders restart while what was sent to them before comes once more, late.
    Stragglers,
}

impl Favour {
    /// What the runs are full of in which this mutant is hunted. Whatever is listed later has the last word.
    pub(crate) fn of(mutant: Mutant) -> &'static [Favour] {
        use Favour::{Changes, Doubt, LateCalls, Leases, Restarts, Stragglers};
        match mutant {
            Mutant::Core(
                Core::DriftIgnored | Core::GrantForgotten | Core::LeaseFromReceipt | Core::LeaseOfOldConfiguration,
            ) => &[Leases],
            Mutant::Core(Core::CanvassUntold) => &[Changes],
            Mutant::Core(Core::ReleaseForEver) => &[Leases, LateCalls],
            Mutant::Core(Core::DoubtForgotten) | Mutant::RepeatApplied => &[Doubt],
            // Whose clients asked has restarted when their commands come back.
            Mutant::EarlierProcessApplied => &[Doubt, Restarts],
            Mutant::Core(Core::EarlierProcessRefuses) => &[Stragglers],
            _ => &[],
        }
    }

    /// Fills a run with it.
    pub(crate) fn shape(self, plan: &mut Plan) {
        match self {
            Favour::Leases => leases(plan),
            Favour::Doubt => doubt(plan),
            Favour::Restarts => {
                let timeout = plan.tuning.election_timeout;
                plan.faults.every.insert(Strike::Crash, timeout * 2);
            }
            Favour::Changes => changes(plan),
            Favour::LateCalls => late_calls(plan),
            Favour::Stragglers => stragglers(plan),
        }
    }
}

fn leases(plan: &mut Plan) {
    let timeout = plan.tuning.election_timeout;
    let changes = plan.faults.every.contains_key(&Strike::Change);
    let strikes = [Strike::Crash, Strike::Isolate, Strike::OneWay, Strike::Split];
    plan.faults.every = strikes.into_iter().map(|strike| (strike, timeout * 8)).collect();
    if changes {
        plan.faults.every.insert(Strike::Change, timeout * 8);
    }
    (plan.faults.lasting, plan.faults.aim_at_leader) = (timeout * 4, 500);
    plan.drift = plan.drift.max(50_000);
    plan.tenure = Tenure::favoured(timeout, plan.drift);
    plan.load.reads = 500;
}

fn doubt(plan: &mut Plan) {
    let timeout = plan.tuning.election_timeout;
    let sparse = plan.seed % 4 == 2;
    let (isolate, split, crash) = if sparse { (3, 9, 12) } else { (5, 5, 9) };
    let strikes = [
        (Strike::Isolate, isolate),
        (Strike::Split, split),
        (Strike::Crash, crash),
    ];
    plan.faults.every = strikes.map(|(strike, every)| (strike, timeout * every)).into();
    (plan.faults.lasting, plan.faults.aim_at_leader) = (timeout * if sparse { 2 } else { 3 }, 900);
    // Some wait for many leaders, some give up while they are in doubt.
    plan.load.timeout = timeout * (2 + plan.seed as u32 % 11);
    (plan.load.abandons, plan.load.reads) = (0, 100);
    if sparse {
        (plan.load.clients, plan.load.think, plan.load.wander) = (12, timeout, 20);
    }
}

fn changes(plan: &mut Plan) {
    let timeout = plan.tuning.election_timeout;
    let strikes = [(Strike::Change, 3), (Strike::Isolate, 6), (Strike::Crash, 6)];
    plan.faults.every = strikes.map(|(strike, every)| (strike, timeout * every)).into();
    (plan.faults.lasting, plan.faults.aim_at_leader) = (timeout * 4, 600);
}

fn late_calls(plan: &mut Plan) {
    let timeout = plan.tuning.election_timeout;
    plan.faults.every.insert(Strike::HandOver, timeout * 2);
    (plan.weather.straggle, plan.weather.straggle_mean) = (200, timeout * 2);
}

fn stragglers(plan: &mut Plan) {
    let timeout = plan.tuning.election_timeout;
    plan.faults.every = [(Strike::Crash, timeout * 3)].into();
    plan.faults.aim_at_leader = 900;
    (plan.weather.repeat, plan.weather.straggle) = (300, 300);
    plan.weather.straggle_mean = timeout;
    plan.load.reads = 100;
}

//! One seed, one run: starting it, catching what it does wrong, and telling its story.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::checker::{Property, Violation};
use crate::cluster::{Cluster, Summary};
use crate::mutant::Mutant;
use crate::spec::SpecTrace;
use crate::swarm::Plan;

/// How many events before the end of a failed run are told.
const STORY: u64 = 50;

/// A run in which something did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub violation: Violation,
    /// After how many events.
    pub events: u64,
    /// After how many strikes of the adversary.
    pub(crate) strikes: u64,
    /// The last events, one line each; what followed from an event is indented below it.
    pub story: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        write!(f, "seed {} after {} events: {}", self.seed, self.events, self.violation)
    }
}

/// Runs a plan to its end or to the first property that does not hold.
///
/// # Errors
/// The property, with the story of the run's last events.
pub fn run(plan: &Plan) -> Result<Summary, Box<Failure>> {
    let first = run_once(plan, u64::MAX);
    let violation = match first.result {
        Ok(summary) => return Ok(summary),
        Err(violation) => violation,
    };
    // The same run again, bit for bit, this time with its end put into words.
    let again = run_once(plan, first.events.saturating_sub(STORY));
    let same = first.events == again.events && again.result.is_err_and(|other| other.detail == violation.detail);
    let mut story = again.story;
    if !same {
        story.push(format!(
            "(run again, the seed did not repeat itself: {} events)",
            again.events
        ));
    }
    Err(Box::new(Failure {
        seed: plan.seed,
        violation,
        events: first.events,
        strikes: first.strikes,
        story,
    }))
}

/// Whether a plan fails: which property, after how many events and strikes.
pub(crate) fn fails(plan: &Plan) -> Option<(Property, u64, u64)> {
    let run = run_once(plan, u64::MAX);
    run.result
        .err()
        .map(|violation| (violation.property, run.events, run.strikes))
}

/// Runs a plan and tells all of it from an event on.
pub fn tell(plan: &Plan, from: u64) -> (Result<Summary, Violation>, Vec<String>) {
    let run = run_once(plan, from);
    (run.result, run.story)
}

/// Plays a plan and tells its first `steps` as a TLA+ module that the model must be able to explain, unless the nodes are
/// wrong. Disks lose nothing that they synced; the run is otherwise that of its seed.
#[must_use]
pub fn transcribe(plan: &Plan, steps: usize) -> String {
    Mutant::set(plan.mutant);
    let mut cluster = Cluster::new(plan.clone().sparing_disks(), u64::MAX);
    cluster.spec = Some(SpecTrace::new(plan.nodes(), steps));
    // A run that violates something has been told up to there, which is what the model is to judge.
    let _ = caught(|| cluster.run());
    let mutant = plan.mutant.map(|mutant| format!(", {}", mutant.name()));
    let title = format!("Seed {}, {}{}.", plan.seed, plan.system(), mutant.unwrap_or_default());
    cluster
        .spec
        .map(|spec| spec.module(&plan.configuration, &title))
        .unwrap_or_default()
}

/// How a run went.
struct Run {
    result: Result<Summary, Violation>,
    events: u64,
    strikes: u64,
    story: Vec<String>,
}

fn run_once(plan: &Plan, lines_from: u64) -> Run {
    Mutant::set(plan.mutant);
    let mut cluster = Cluster::new(plan.clone(), lines_from);
    // The cluster is only read for its trace after a panic, never stepped again.
    let result = caught(|| cluster.run()).flatten();
    Run {
        result,
        events: cluster.trace.events(),
        strikes: cluster.strikes(),
        story: cluster.trace.into_lines(),
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Does what must not panic. A panic's words are kept for the report, instead of printed.
pub(crate) fn caught<T>(must_not_panic: impl FnOnce() -> T) -> Result<T, Violation> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string().replace('\n', " ")));
            } else {
                before(info);
            }
        }));
    });
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(must_not_panic));
    CATCHING.set(false);
    result.map_err(|_| Violation {
        property: Property::NoPanic,
        detail: PANIC.take().unwrap_or_default(),
    })
}

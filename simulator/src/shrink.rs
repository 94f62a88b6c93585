//! Making a failed run smaller while the same property keeps failing.
//!
//! First what changes the run altogether (nodes, clients, what clients ask, the weather), then whole kinds of strike, then
//! single strikes (halves, quarters, … of those that are left, as in delta debugging), then the length of the storm. What
//! does not help is put back. The seed stays the same throughout.

use crate::adversary::Strike;
use crate::checker::Property;
use crate::reduction::Reduction;
use crate::run::{Failure, fails, run};
use crate::swarm::Plan;

/// A failed run made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What was taken away.
    pub reduction: Reduction,
    /// How the rest fails.
    pub failure: Box<Failure>,
    /// How many runs that took.
    pub runs: u64,
}

struct Shrinker<'p, More> {
    plan: &'p Plan,
    property: Property,
    more: More,
    best: Reduction,
    events: u64,
    strikes: u64,
    runs: u64,
}

/// Shrinks a run that fails, while `more` allows another try; `None` if nothing could be taken away.
pub fn shrink(plan: &Plan, failure: &Failure, more: impl FnMut() -> bool) -> Option<Shrunk> {
    let mut shrinker = Shrinker {
        plan,
        property: failure.violation.property,
        more,
        best: Reduction::default(),
        events: failure.events,
        strikes: failure.strikes,
        runs: 0,
    };
    shrinker.simplify();
    shrinker.drop_kinds();
    shrinker.drop_strikes();
    shrinker.shorten();
    let Shrinker {
        mut best, runs, events, ..
    } = shrinker;
    if plan.events > events && best.events.is_some_and(|left| left > events) {
        // It fails before the storm ends.
        best.events = None;
    }
    if best == Reduction::default() {
        return None;
    }
    let failure = run(&best.apply(plan)).err()?;
    Some(Shrunk {
        reduction: best,
        failure,
        runs,
    })
}

impl<More: FnMut() -> bool> Shrinker<'_, More> {
    /// Takes a step if the same property fails after it, and the run did not become much longer.
    fn step(&mut self, change: impl FnOnce(&mut Reduction)) -> bool {
        let mut reduction = self.best.clone();
        change(&mut reduction);
        if reduction == self.best || !(self.more)() {
            return false;
        }
        let mut plan = reduction.apply(self.plan);
        plan.events = plan.events.min(self.events * 2);
        reduction.events = Some(plan.events).filter(|events| *events < self.plan.events);
        self.runs += 1;
        match fails(&plan) {
            Some((property, events, strikes)) if property == self.property => {
                (self.best, self.events, self.strikes) = (reduction, events, strikes);
                true
            }
            _ => false,
        }
    }

    fn simplify(&mut self) {
        for nodes in 3..self.plan.nodes() {
            if self.step(|reduction| reduction.nodes = Some(nodes)) {
                break;
            }
        }
        let all: Vec<Strike> = self.plan.faults.every.keys().copied().collect();
        self.step(|reduction| reduction.without.extend(all));
        self.step(|reduction| reduction.fair = true);
        self.step(|reduction| reduction.steady = true);
        self.step(|reduction| reduction.plain = true);
        for clients in [1, 2, 4, 8] {
            if clients < self.plan.load.clients && self.step(|reduction| reduction.clients = Some(clients)) {
                break;
            }
        }
    }

    fn drop_kinds(&mut self) {
        for strike in self.plan.faults.every.keys() {
            self.step(|reduction| {
                reduction.without.insert(*strike);
            });
        }
    }

    fn drop_strikes(&mut self) {
        let mut size = self.strikes;
        while size > 0 {
            let mut first = 1;
            while first <= self.strikes {
                let last = (first + size - 1).min(self.strikes);
                self.step(|reduction| reduction.omitted.extend(first..=last));
                first = last + 1;
            }
            size /= 2;
        }
        // What falls after the end matters to nobody.
        let strikes = self.strikes;
        self.best.omitted.retain(|number| *number <= strikes);
    }

    fn shorten(&mut self) {
        let mut events = self.events / 2;
        while events > 10 && self.step(|reduction| reduction.events = Some(events)) {
            events /= 2;
        }
    }
}

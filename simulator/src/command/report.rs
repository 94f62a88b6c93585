//! What all runs so far amounted to.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{Fault, Sometimes, Step, Summary, Tally};

#[derive(Default)]
pub(super) struct Total {
    pub(super) seeds: u64,
    pub(super) events: u64,
    chosen: u64,
    ops: (u64, u64),
    simulated: Duration,
    systems: BTreeMap<String, u64>,
    tally: Tally,
}

impl Total {
    pub(super) fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        self.events += summary.events;
        self.chosen += summary.chosen;
        self.ops.0 += summary.ops.0;
        self.ops.1 += summary.ops.1;
        self.simulated += summary.simulated;
        let kind = summary.system.split(' ').next().unwrap_or_default().to_owned();
        *self.systems.entry(kind).or_default() += 1;
        self.tally.merge(&summary.tally);
    }

    pub(super) fn print(&self, failures: u64, cpu: Duration) {
        println!(
            "{} seeds, {} events, {:.0} events per CPU second, {:.1} h simulated, {failures} failed",
            self.seeds,
            self.events,
            self.events as f64 / cpu.as_secs_f64().max(0.01),
            self.simulated.as_secs_f64() / 3600.0
        );
        println!(
            "{} slots chosen; {} operations, {} of them done",
            self.chosen, self.ops.0, self.ops.1
        );
        let systems: Vec<_> = self
            .systems
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!("quorum systems: {}", systems.join(", "));
        println!("faults:");
        for fault in Fault::ALL {
            println!("  {:>10}  {}", self.tally.faults.of(*fault), fault.name());
        }
        println!("processes that died at a step:");
        for step in Step::ALL {
            println!("  {:>10}  {}", self.tally.steps.of(*step), step.name());
        }
        println!("sometimes:");
        for seen in Sometimes::ALL {
            println!("  {:>10}  {}", self.tally.sometimes.of(*seen), seen.name());
        }
    }
}

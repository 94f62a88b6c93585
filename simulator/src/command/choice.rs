//! Which mutant, and which properties: arguments that several commands share.

use clap::Args;
use simulator::{Mutant, Plan, Property, Reduction};

/// What differs from the plan that a seed makes.
#[derive(Args, Clone)]
pub(super) struct Choice {
    /// Make every node wrong in this way.
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Judge only the property whose name begins so (for example I1).
    #[arg(long, value_name = "PROPERTY", value_parser = property)]
    only: Option<Property>,
    /// Do not judge the property whose name begins so; may be given several times.
    #[arg(long, value_name = "PROPERTY", value_parser = property)]
    ignore: Vec<Property>,
    /// Take away from the run what these words name, as the report of a shrunk failure says.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    reduce: Reduction,
}

impl Choice {
    /// The plan of a seed.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::new(seed).with(self.mutant).reduced(&self.reduce);
        let plan = self.only.into_iter().fold(plan, Plan::judging_only);
        self.ignore.iter().fold(plan, |plan, ignored| plan.ignoring(*ignored))
    }

    /// The arguments that say the same again, with this taken away.
    pub(super) fn arguments(&self, reduction: &Reduction) -> String {
        let mutant = self.mutant.iter().map(|mutant| format!(" --mutant {}", mutant.name()));
        let only = self.only.iter().map(|only| format!(" --only '{}'", only.name()));
        let ignored = self
            .ignore
            .iter()
            .map(|ignored| format!(" --ignore '{}'", ignored.name()));
        let words = if *reduction == Reduction::default() {
            self.reduce.to_string()
        } else {
            reduction.to_string()
        };
        let reduced = (!words.is_empty()).then(|| format!(" --reduce '{words}'"));
        mutant.chain(only).chain(ignored).chain(reduced).collect()
    }
}

fn mutant(name: &str) -> Result<Mutant, String> {
    Mutant::named(name).ok_or_else(|| {
        let names: Vec<_> = Mutant::all()
            .map(|mutant| format!("  {:<26} breaks {}", mutant.name(), mutant.rule()))
            .collect();
        format!("there are:\n{}", names.join("\n"))
    })
}

/// A mutant of the core.
pub(super) fn core_mutant(name: &str) -> Result<Mutant, String> {
    if !paxos::MUTABLE {
        return Err("build with `--features mutants` to make the core wrong".to_owned());
    }
    let mutant = mutant(name)?;
    match mutant {
        Mutant::Core(_) => Ok(mutant),
        _ => Err("this mutant is wrong outside of the core, where only `simulate run` looks".to_owned()),
    }
}

/// The property whose name begins so.
pub(super) fn property(name: &str) -> Result<Property, String> {
    let known = Property::ALL.iter().find(|known| known.name().starts_with(name));
    known.copied().ok_or_else(|| {
        let names: Vec<_> = Property::ALL.iter().map(|known| known.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

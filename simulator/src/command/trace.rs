//! `simulate trace`: a run in the words of the TLA+ model, for `paxos/spec` to explain.

use std::process::ExitCode;

use clap::Args;
use simulator::transcribe;

use super::choice::Choice;

#[derive(Args)]
pub(super) struct Arguments {
    /// The seed.
    #[arg(long, value_name = "S")]
    seed: u64,
    /// How many steps to tell.
    #[arg(long, value_name = "N", default_value_t = 500)]
    steps: usize,
    #[command(flatten)]
    choice: Choice,
}

pub(super) fn execute(arguments: &Arguments) -> ExitCode {
    print!(
        "{}",
        transcribe(&arguments.choice.plan(arguments.seed), arguments.steps)
    );
    ExitCode::SUCCESS
}

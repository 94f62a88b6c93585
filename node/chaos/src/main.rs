//! # `synod-chaos`: how it breaks for real
//!
//! The simulator breaks everything around the core; this breaks everything around the *program*: real processes of the binary that
//! users run, real sockets through a relay that cuts, loses and delays, real disks, the operator's real commands. Clients speak
//! the etcd v3 API, what they see is recorded, and a judge looks for contradictions. See `docs/chaos.md`.
//!
//! | room | what is there |
//! |---|---|
//! | [`plan`] | what a seed decides before anything starts |
//! | [`process`], [`seat`], [`cluster`] | processes that die with this one; a node's place; all of them and the relay |
//! | [`lane`] | trouble: network, processes, operator |
//! | [`client`], [`wire`] | clients, and what they say |
//! | [`book`] | what was asked and answered, and the judgement: witness, search, exactly-once |
//! | [`watch`] | nobody fails by itself; equal slots, equal states |
//! | [`round`] | storm, calm, judgement |
//! | [`sabotage`] | harm on purpose, which the judge must find |
//! | [`report`], [`arguments`] | the command's two ends |
//!
//! What is not here: a linearizability checker (the simulator's is used), time limits for answers, and any knowledge of ballots.

mod arguments;
mod book;
mod client;
mod cluster;
mod lane;
mod plan;
mod process;
mod report;
mod round;
mod sabotage;
mod seat;
mod watch;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    arguments::Arguments::parse().execute()
}

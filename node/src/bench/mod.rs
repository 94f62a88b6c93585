//! A load generator that speaks etcd's v3 API, so that the same program measures Synod and etcd.
//!
//! It usually shares its machine with the servers it measures, so it is built to cost little: one thread (more on
//! request), HTTP/2 frames written directly ([`connection`]) instead of through a general client, values cut from one
//! random pool, one histogram per thread merged at the end. Its own CPU time is part of every report, so a reader can
//! tell a saturated generator from a slow server.
//!
//! Clients are closed loops unless `--rate` is given: each sends its next request when the last is answered. With a
//! rate, requests fall due on a schedule, and latency counts from when a request was due if the client was still busy
//! then: a server that stalls cannot hide the requests it delayed.
//!
//! * [`arguments`]: the command line, checked
//! * [`workload`]: which request comes next
//! * [`connection`]: one HTTP/2 connection
//! * [`load`]: threads, clients, warm-up, the end
//! * [`report`]: what was measured, as text or JSON
//! * [`series`]: a row for each second

pub mod arguments;
mod connection;
mod load;
pub mod report;
mod series;
mod workload;

use std::process::ExitCode;

pub use arguments::Arguments;

use crate::cli::Format;

/// Runs `synod bench`. Exit codes: 0 measured; 1 no request succeeded; 2 the arguments make no sense or no endpoint answers.
pub fn run(arguments: &Arguments) -> ExitCode {
    let plan = match arguments.plan() {
        Ok(plan) => plan,
        Err(fault) => {
            eprintln!("synod bench: {fault}");
            return ExitCode::from(2);
        }
    };
    match load::run(&plan) {
        Ok(report) => {
            match arguments.output() {
                Format::Json => println!("{}", report.to_json()),
                Format::Table => println!("{report}"),
            }
            if report.succeeded() == 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(fault) => {
            eprintln!("synod bench: {fault}");
            ExitCode::from(2)
        }
    }
}

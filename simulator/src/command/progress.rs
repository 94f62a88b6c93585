//! One line on a terminal that says how far things are.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::report::Total;

pub(super) struct Progress {
    shown: bool,
    last: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            shown: false,
            last: None,
        }
    }

    pub(super) fn show(&mut self, total: &Total, seed: u64, failures: u64, elapsed: Duration) {
        let mut out = std::io::stderr();
        if !out.is_terminal()
            || self
                .last
                .is_some_and(|last| last.elapsed() < Duration::from_millis(200))
        {
            return;
        }
        self.last = Some(Instant::now());
        self.shown = true;
        let seconds = elapsed.as_secs_f64().max(0.001);
        let (events, rate) = (total.events, total.events as f64 / seconds);
        // A progress line that cannot be written is no reason to stop.
        let _ = write!(
            out,
            "\r{seconds:7.0} s  seed {seed}  {} runs  {events} events  {rate:.0}/s  {failures} failed ",
            total.seeds
        );
        let _ = out.flush();
    }

    pub(super) fn clear(&mut self) {
        if self.shown {
            let mut out = std::io::stderr();
            let _ = write!(out, "\r{:78}\r", "");
            let _ = out.flush();
            self.shown = false;
        }
    }
}

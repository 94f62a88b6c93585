//! One line on a terminal that says how far things are; nothing where there is no terminal.

use std::ops::Range;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::report::Total;

pub(super) struct Progress {
    bar: ProgressBar,
    first: u64,
    limit: Option<Duration>,
}

impl Progress {
    /// For these seeds, or for that long.
    pub(super) fn new(seeds: &Range<u64>, limit: Option<Duration>) -> Progress {
        let (length, unit) = match limit {
            Some(limit) => (limit.as_secs(), "s"),
            None => (seeds.end - seeds.start, "seeds"),
        };
        let style = ProgressStyle::with_template(&format!("{{bar:24}} {{pos}}/{{len}} {unit}  {{msg}}"));
        let bar = ProgressBar::new(length);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress {
            bar,
            first: seeds.start,
            limit,
        }
    }

    pub(super) fn show(&self, total: &Total, seed: u64, elapsed: Duration) {
        let done = match self.limit {
            Some(limit) => elapsed.min(limit).as_secs(),
            None => seed + 1 - self.first,
        };
        self.bar.set_position(done);
        let rate = total.events as f64 / elapsed.as_secs_f64().max(0.001);
        self.bar.set_message(format!(
            "seed {seed}, {} events, {rate:.0}/s, {} failed",
            total.events,
            total.failures()
        ));
    }

    pub(super) fn say(&self, what: &'static str) {
        self.bar.set_message(what);
        self.bar.tick();
    }

    /// Prints something else in between.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

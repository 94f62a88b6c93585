//! What happened in each second, written down while it happens.
//!
//! A mean over an hour hides the second in which nothing was answered. So every second has its row: answers, errors, and
//! the longest time in which no client at all had an answer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::worker::Worker;

const SECOND: Duration = Duration::from_secs(1);

/// Counts of the present second; one for all threads.
pub(super) struct Series {
    start: Instant,
    answers: AtomicU64,
    errors: AtomicU64,
    /// When the last answer came, in nanoseconds since `start`.
    last: AtomicU64,
    longest: AtomicU64,
}

/// The thread that writes the rows. Dropping it writes the last one.
pub(super) struct Scribe {
    _worker: Worker,
}

impl Series {
    /// Begins a file with a row for each second from now on.
    ///
    /// # Errors
    /// A sentence if the file cannot be made.
    pub(super) fn begin(path: &Path) -> Result<(Arc<Series>, Scribe), String> {
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        writeln!(file, "second,answers,errors,longest_stall_ms")
            .and_then(|()| file.flush())
            .map_err(failed)?;
        let series = Arc::new(Series {
            start: Instant::now(),
            answers: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        });
        let told = Arc::clone(&series);
        let worker = Worker::start("series", move |stopped| told.write(file, stopped)).map_err(failed)?;
        Ok((series, Scribe { _worker: worker }))
    }

    /// Counts a request that ended.
    pub(super) fn note(&self, succeeded: bool) {
        if !succeeded {
            self.errors.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        let now = self.now();
        let last = self.last.fetch_max(now, Ordering::Relaxed);
        self.longest.fetch_max(now.saturating_sub(last), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn write(&self, mut file: BufWriter<File>, stopped: &std::sync::mpsc::Receiver<()>) {
        for second in 1_u32.. {
            let pause = (SECOND * second).saturating_sub(self.start.elapsed());
            let ends = !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
            let row = self.row(second);
            if writeln!(file, "{row}").and_then(|()| file.flush()).is_err() || ends {
                // A disk that takes no more rows is seen in the file that ends early.
                return;
            }
        }
    }

    /// The present second's row; the next one begins. A silence that goes on counts in every second it lasts.
    fn row(&self, second: u32) -> String {
        let silent = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
        let longest = self.longest.swap(0, Ordering::Relaxed).max(silent);
        let (answers, errors) = (
            self.answers.swap(0, Ordering::Relaxed),
            self.errors.swap(0, Ordering::Relaxed),
        );
        format!("{second},{answers},{errors},{:.1}", longest as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_its_second_and_the_silence_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("series.csv");
        let (series, scribe) = Series::begin(&path).expect("a file");
        std::thread::sleep(Duration::from_millis(2));
        for _ in 0..5 {
            series.note(true);
        }
        series.note(false);
        drop(scribe);
        let text = std::fs::read_to_string(&path).expect("the file");
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "second,answers,errors,longest_stall_ms");
        let counts = rows[1..].iter().fold((0, 0), |(answers, errors), row| {
            let cells: Vec<&str> = row.split(',').collect();
            let number = |at: usize| cells[at].parse::<u64>().expect("a number");
            (answers + number(1), errors + number(2))
        });
        assert_eq!(counts, (5, 1), "{text}");
        let stalls = rows[1..].iter().map(|row| row.rsplit(',').next().expect("four cells"));
        let longest = stalls.map(|cell| cell.parse().expect("a number")).fold(0.0, f64::max);
        assert!(longest >= 2.0, "{text}");
    }
}

//! For tests, included by path: a `faulty-disk` process with its mount, and orders to it.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;

/// A mounted disk. Dropping it unmounts it, and what was on it is gone.
pub(crate) struct FaultyDisk {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl FaultyDisk {
    /// Mounts a disk with room for `bytes` on a new folder; `cargo` builds the program if need be. Where there is no FUSE,
    /// says so past the test harness, which would swallow it, and returns nothing.
    pub(crate) fn mount(cargo: &str, bytes: Option<u64>) -> Option<FaultyDisk> {
        if let Some(reason) = impossible() {
            let name = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {name}: {reason} ***\n");
            return None;
        }
        let program = program(cargo);
        let folder = tempfile::tempdir().expect("a folder").keep();
        let mut process = Command::new(program)
            .arg(&folder)
            .args(bytes.map(|bytes| bytes.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the disk's process starts");
        let orders = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("text");
        assert_eq!(line.trim(), "ready", "the disk is mounted");
        Some(FaultyDisk {
            process,
            orders,
            answers,
            folder,
        })
    }

    /// Where it is mounted.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives an order, which must be understood; returns the answer.
    pub(crate) fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("it is mounted");
        writeln!(orders, "{order}").expect("the disk's process lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        assert!(answer.starts_with("ok"), "\"{order}\" was answered with \"{answer}\"");
        answer
    }

    /// A number of an answer: 7 is the `writes` of `ok writes=7 torn=1`.
    pub(crate) fn count(answer: &str, name: &str) -> u64 {
        let mut words = answer.split_whitespace();
        let number = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        number
            .and_then(|number| number.parse().ok())
            .expect("the answer has it")
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        // At the end of its orders it unmounts.
        drop(self.orders.take());
        if !self.process.wait().is_ok_and(|status| status.success()) {
            // A process still holds a file open.
            let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Why there is no such disk here, if so.
fn impossible() -> Option<String> {
    if !Path::new("/dev/fuse").exists() {
        return Some("there is no /dev/fuse on this machine".to_owned());
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    (!root).then(|| "mounting a FUSE file system directly takes root".to_owned())
}

/// The program, built by now. It is a workspace of its own, beside the one whose test this is.
fn program(cargo: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    // TARGET/release/deps/this-test
    let test = std::env::current_exe().expect("this test");
    let target = test.ancestors().nth(3).expect("a target folder").join("faulty-disk");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/faulty-disk/Cargo.toml");
    BUILT.call_once(|| {
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "faulty-disk is built");
    });
    target.join("release/faulty-disk")
}

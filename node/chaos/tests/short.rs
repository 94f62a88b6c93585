//! The command itself, for a few seconds: what is honest is acquitted, what is sabotaged is convicted, and nothing is left running.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(600);

/// One cluster at a time: they would only slow each other down.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn chaos(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod-chaos"));
    command.args(arguments).stdout(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Output, serde_json::Value) {
    let output = chaos(&[arguments, &["-o", "json"]].concat())
        .output()
        .expect("the binary runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, report)
}

#[test]
fn a_minute_of_everything_contradicts_nothing() {
    let _alone = alone();
    let (output, report) = run(&["--minutes", "1", "--seed", "1"]);
    assert!(output.status.success(), "{report:#}");
    let count = |report: &serde_json::Value| {
        report
            .as_object()
            .map_or(0, |all| all.values().filter_map(serde_json::Value::as_u64).sum())
    };
    let done = report["operations_done"].as_u64().expect("a number");
    let faults: u64 = count(&report["faults"]);
    assert!(done > 100 && faults > 3, "a run in which nothing happened: {report:#}");
    let keys = report["keys_judged"].as_u64().expect("a number");
    let undecided = report["keys_undecided"].as_u64().expect("a number");
    assert!(keys > 8 && undecided * 2 < keys, "{report:#}");
    println!("{done} operations done, {faults} faults, {keys} keys judged");
}

#[test]
fn harm_done_on_purpose_is_found_and_told() {
    let _alone = alone();
    for (kind, properties) in [
        ("lost-write", &["linearizable", "revisions agree with one order"][..]),
        (
            "doubled-append",
            &["linearizable", "appends happen once", "revisions agree with one order"],
        ),
        ("stale-read", &["answers are not older than what was seen before"]),
        (
            "rollback",
            &[
                "answers are not older than what was seen before",
                "a revision has one write",
                "who has applied the same slots has the same state",
            ],
        ),
    ] {
        let (output, report) = run(&["--minutes", "1", "--seed", "2", "--rounds", "1", "--sabotage", kind]);
        assert_eq!(output.status.code(), Some(1), "{kind}: {report:#}");
        let found = report["violations"].as_array().expect("a list");
        let first = found[0]["property"].as_str().expect("a text");
        assert!(properties.contains(&first), "{kind}: {report:#}");
        let history = report["failed"]["history"].as_str().expect("a path");
        assert!(Path::new(history).is_file(), "{kind}: {history}");
        let folder = Path::new(history).parent().expect("a folder");
        println!("{kind}: {}", found[0]["text"]);
        std::fs::remove_dir_all(folder).expect("it was kept for us");
    }
}

#[test]
fn nothing_is_left_running_however_it_ends() {
    let _alone = alone();
    for signal in ["INT", "KILL"] {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("run").display().to_string();
        let mut process = chaos(&["--minutes", "5", "--dir", &dir])
            .spawn()
            .expect("the binary runs");
        wait_for("nodes", || !nodes(&dir).is_empty());
        let sent = Command::new("kill")
            .args(["-s", signal, &process.id().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
        let code = ended(&mut process);
        if signal == "INT" {
            assert_eq!(code, Some(130));
            assert_eq!(nodes(&dir), Vec::<String>::new());
        }
        wait_for("the end of all nodes", || nodes(&dir).is_empty());
    }
}

fn ended(process: &mut Child) -> Option<i32> {
    let mut code = None;
    wait_for("the end of the command", || {
        let status = process.try_wait().expect("a child");
        code = status.and_then(|status| status.code());
        status.is_some()
    });
    code
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The command lines of all processes that run `synod start` in this folder and are not dead.
fn nodes(folder: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let lines = processes.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains("start --exit-with-stdin") && line.contains(folder)).then_some(line)
    });
    lines.collect()
}

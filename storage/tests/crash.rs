//! A journal whose process is killed with no warning, again and again: what was acknowledged is there afterwards.

mod common;

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use common::*;
use paxos::{Logged, Record, Slot};
use storage::journal::Journal;

/// Tells the child where to write; without it, the child's test does nothing.
const FOLDER: &str = "SYNOD_TEST_JOURNAL";

/// The child: writes until it is killed, and says on its standard output what is durable.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = std::path::PathBuf::from(dir);
    let (journal, heard) = open(&dir).expect("what a killed process leaves opens");
    let recovered = journal.recover(Slot(0)).expect("what a killed process leaves is whole");
    let mut slot = recovered.log.last().map_or(0, |(slot, _)| slot.0);
    let mut id = 0;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "begin {slot}").expect("the parent listens");
    loop {
        let writes: Vec<_> = (0..20)
            .map(|_| {
                slot += 1;
                id += 1;
                write(id, vec![voted(slot, slot), Record::Chosen(Slot(slot - 1))])
            })
            .collect();
        journal.submit(writes).expect("a short queue");
        await_write(&heard, id);
        writeln!(stdout, "durable {slot}").expect("the parent listens");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    Journal::create(dir.path(), &identity()).expect("an empty folder");
    let mut acknowledged = 0;
    for round in 0u64..30 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let stdout = child.stdout.take().expect("it is piped");
        // Killed at another place each time: while it opens, early, or in full run.
        let mut lines_left = round * round % 37;
        for line in BufReader::new(stdout).lines().map(|line| line.expect("text")) {
            if let Some(begin) = line.split("begin ").nth(1) {
                let begin: u64 = begin.parse().expect("a number");
                assert!(
                    begin >= acknowledged,
                    "{acknowledged} was acknowledged, but {begin} is there"
                );
            }
            if let Some(durable) = line.strip_prefix("durable ") {
                acknowledged = durable.parse().expect("a number");
            }
            if line.contains("durable") || line.contains("begin") {
                if lines_left == 0 {
                    child.kill().expect("it can be killed");
                }
                lines_left = lines_left.saturating_sub(1);
            }
        }
        child.wait().expect("it ended");
    }
    let (journal, _heard) = open(dir.path()).expect("what a killed process leaves opens");
    let recovered = journal.recover(Slot(0)).expect("what a killed process leaves is whole");
    assert!(acknowledged > 1000, "the children wrote something: {acknowledged}");
    assert!(recovered.log.len() as u64 >= acknowledged);
    for (index, (slot, logged)) in recovered.log.iter().enumerate() {
        let number = index as u64 + 1;
        assert_eq!(*slot, Slot(number));
        assert_eq!(*logged, Logged::Voted(ballot(number), value(number, 100)));
    }
    assert_eq!(recovered.promised, ballot(recovered.log.len() as u64));
}

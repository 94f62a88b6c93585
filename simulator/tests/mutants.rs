//! Every mutant meets the end that the catalogue foretells, and the book tells it as it happens. Run it with
//! `cargo test --release -p simulator --features mutants`.

#![cfg(feature = "mutants")]

use simulator::{book, book_file, entries, recorded};

/// What a mutant must survive here, or die within; `simulate mutants` takes longer.
const EVENTS: u64 = 300_000;

/// Each scene does its harm, and none with the rule kept. What has no scene dies in the simulated cluster. Recorded seeds
/// shift whenever the simulator draws another random number, so for what has a scene a stale seed is news, not a failure.
#[test]
fn every_mutant_meets_its_end() {
    let seeds = recorded().expect("the recorded seeds");
    let mut wrong = Vec::new();
    let mut stale = 0;
    for entry in entries() {
        let known = seeds.get(entry.name).map(|known| known.seed);
        let row = entry.judge(known, EVENTS, false).expect("a mutant of this build");
        wrong.extend(row.wrong);
        stale += u32::from(known.is_some() && row.kill.map(|kill| kill.seed) != known);
    }
    if stale > 0 {
        println!("{stale} recorded seeds kill no more: `simulate mutants --record` writes down others");
    }
    assert!(
        wrong.is_empty(),
        "{}\n`simulate mutants --record` looks for new seeds, `simulate mutants --search` for new scenes",
        wrong.join("\n")
    );
}

#[test]
fn the_book_tells_what_happens() {
    let written = std::fs::read_to_string(book_file()).expect("docs/paxos-made-wrong.md");
    let told = book().expect("every scene plays");
    let differing = written.lines().zip(told.lines()).position(|(old, new)| old != new);
    assert!(
        written == told,
        "docs/paxos-made-wrong.md differs from line {:?} on; write it anew with\n\
         cargo run --release -p simulator --features mutants -- explain --book > docs/paxos-made-wrong.md",
        differing.map(|line| line + 1)
    );
}

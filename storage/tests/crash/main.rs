//! A store whose process dies and whose disk forgets, again and again: what was acknowledged is there afterwards.
//!
//! The child is a whole node without a network: the real core as the only member of its cluster, the real journal and
//! the real state machine, under load ([`lone`]). The parent kills it — at random moments, at every named step, at any
//! change of the disk — starts it again and compares what it says with a [`model`] of what was acknowledged:
//!
//! * every acknowledged put is there, and nothing is there that nobody put;
//! * a promise that was spoken of never goes back, and no two values are voted for in one ballot and slot;
//! * each slot, applied once or ten times, gives one digest.
//!
//! `CRASH_CYCLES` says how often (`./dev crash 2000`), `CRASH_SEED` repeats a run's choices. Several stores live and die at the
//! same time, each by itself: a life consists of waiting, mostly.

mod cycles;
#[path = "../../faulty-disk/client.rs"]
mod faulty_disk;
mod lone;
mod model;

use cycles::{Cycles, Kill, Place, Report};
use faulty_disk::FaultyDisk;
use storage::step::Step;

/// How many cycles each test does unless told otherwise.
const CYCLES: u64 = 50;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn cycles() -> u64 {
    number("CRASH_CYCLES", CYCLES)
}

/// Stores at the same time.
const AT_ONCE: u64 = 4;

/// So many cycles, shared among some stores; nothing if there is no place for one.
fn run(kills: &[Kill], place: impl Fn(u64) -> Option<Place> + Sync) -> Option<Report> {
    let (all, place) = (cycles(), &place);
    let share = |store| all / AT_ONCE + u64::from(store < all % AT_ONCE);
    let reports: Vec<Option<Report>> = std::thread::scope(|scope| {
        let work = |store| {
            let mut cycles = Cycles::new(place(store)?, seed() * AT_ONCE + store, kills.to_vec());
            let done = cycles.run(share(store));
            done.unwrap_or_else(|what| panic!("store {store} of seed {}: {what}", seed()));
            Some(cycles.report())
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|store| scope.spawn(move || work(store))).collect();
        let reports = threads.into_iter().map(|thread| thread.join());
        reports.map(|report| report.expect("nothing is lost")).collect()
    });
    let mut sum = Report::default();
    for report in reports {
        sum += report?;
    }
    println!("{sum}");
    assert_eq!(sum.cycles, all);
    assert!(sum.acknowledged > all * 10, "the children wrote something");
    Some(sum)
}

fn seed() -> u64 {
    number("CRASH_SEED", 1)
}

/// The child; without its variables, it does nothing.
#[test]
fn child() {
    lone::run_if_told();
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_every_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |store: u64| Some(Place::Folder(folder.path().join(store.to_string())));
    let report = run(&[Kill::AtMoment, Kill::AtStep], place).expect("there is a folder");
    // Few cycles, shared among stores, may pass without.
    assert!(report.installed > 0 || cycles() <= CYCLES, "states were installed");
}

/// The folder is made again, or it is there: neither is a reason to call anybody.
#[test]
fn a_store_that_died_while_it_was_made_comes_up() {
    for step in [Step::Made, Step::StateNamed, Step::JournalNamed] {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::Folder(folder.path().join("data"));
        let mut cycles = Cycles::new(place, seed(), vec![Kill::AtMoment]);
        assert_eq!(cycles.die_at(step, 1), Ok(format!("{step:?}")));
        cycles.run(1).expect("it comes up");
    }
    let mut changes = 0;
    loop {
        let Some(disk) = FaultyDisk::mount(env!("CARGO"), None) else {
            return;
        };
        let mut cycles = Cycles::new(Place::Disk(disk), seed() + changes, vec![Kill::PowerCut]);
        cycles.die_after(changes, false).expect("nothing to contradict");
        cycles.forget();
        let opened = cycles.report().votes > 0;
        cycles
            .run(1)
            .unwrap_or_else(|what| panic!("cut after {changes} changes: {what}"));
        if opened {
            break;
        }
        changes += 1 + changes / 8;
    }
    println!("up to {changes} changes");
    assert!(changes > 20, "it takes many changes to make a store");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let place = |_| FaultyDisk::mount(env!("CARGO"), None).map(Place::Disk);
    let Some(report) = run(&[Kill::AtMoment, Kill::AtStep, Kill::PowerCut], place) else {
        return;
    };
    assert!(report.dropped_writes > 0, "the disk forgot something");
}

/// A disk that lies about syncing loses acknowledged writes, and the cycles notice: they can fail.
#[test]
fn a_disk_that_lies_is_noticed() {
    let Some(disk) = FaultyDisk::mount(env!("CARGO"), None) else {
        return;
    };
    let mut cycles = Cycles::new(Place::Disk(disk), seed(), vec![Kill::AtMoment]);
    cycles.run(3).expect("so far the disk is honest");
    cycles.disk().order("lie .log");
    let noticed = cycles
        .run(20)
        .expect_err("acknowledged writes were lost, and nobody noticed");
    println!("noticed: {noticed}");
    assert!(
        noticed.contains("acknowledged") || noticed.contains("promise") || noticed.contains("refused"),
        "{noticed}"
    );
}

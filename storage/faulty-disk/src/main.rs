//! A disk to test against: what is not synced is forgotten in a crash, and what can fail fails on command.
//!
//! Killing a process proves little about a disk: the kernel keeps what the process wrote, synced or not. This file system
//! lives in memory, in a process of its own that outlives the one under test, and knows of every byte and every name
//! whether it was synced. Told to `forget`, it goes back to that: all of it, or leaving some of the rest as a real disk
//! may. It also fails, delays and lies as told (`--help`).
//!
//! | room | what it knows |
//! |---|---|
//! | `file`, `names` | contents and names, with a way back to what was synced |
//! | `disk` | both together, room, crashes |
//! | `faults` | what goes wrong when |
//! | `orders` | the lines on standard input |
//! | `mount` | the kernel's requests |
//!
//! Not here: permissions, links, times other than the last change. Linux, as root.

mod disk;
mod faults;
mod file;
mod mount;
mod names;
mod orders;
mod random;

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;

use fuser::{Config, MountOption, Session};

use disk::Disk;
use mount::{Mounted, Shared};

/// Room on the disk unless told otherwise.
const SPACE: u64 = 16 << 30;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, space) = match arguments.as_slice() {
        [folder] if !folder.starts_with('-') => (folder, Some(SPACE)),
        [folder, space] => (folder, space.parse().ok()),
        _ => {
            println!("{}", orders::HELP);
            return ExitCode::from(2);
        }
    };
    let Some(space) = space else {
        eprintln!("faulty-disk: the room must be a number of bytes");
        return ExitCode::from(2);
    };
    match serve(folder, Shared::new(Disk::new(space))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faulty-disk: {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &str, shared: Shared) -> std::io::Result<()> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("faulty-disk".to_owned()),
        MountOption::NoAtime,
        MountOption::RW,
    ];
    config.n_threads = Some(2);
    let session = Session::new(Mounted(shared.clone()), folder, &config)?.spawn()?;
    let mut out = stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in stdin().lock().lines() {
        let answer = orders::obey(&line?, &mut shared.lock());
        shared.wake();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    shared.lock().faults.heal();
    shared.wake();
    session
        .umount_and_join()
        .map_err(|error| std::io::Error::new(error.kind(), format!("when unmounting: {error}")))
}

//! Orders: one line each, answered with one line.

use std::time::Duration;

use crate::disk::{Crash, Disk};
use crate::faults::{Deed, Effect, Rule};

/// What the program's help says.
pub(crate) const HELP: &str = "\
usage: faulty-disk FOLDER [BYTES]

Mounts a file system in memory on FOLDER, with room for BYTES (16 GiB), and says `ready`. Unmounts at the end of its
standard input, from which it reads orders, one a line; each is answered with a line that begins with `ok` or `error`.
DEED is read, write, sync or name (make, rename, remove); PATH is a part of a path, or several with `*` between; TIMES is a number or `*`.

  fail DEED PATH SKIP TIMES ERRNO   after SKIP occasions, fail so many times (5 is EIO, 28 ENOSPC)
  delay DEED PATH MILLISECONDS      takes so much longer
  lie PATH                          syncing does nothing and says that it did
  cut CHANGES                       after so many more changes the power is gone: everything fails
  heal                              no faults any more, power is back, delays end
  forget all                        drops whatever was not synced (the processes must be gone)
  forget tail SEED                  … but some first writes of each file stay, the next may be torn
  forget scattered SEED             … but any of the writes may stay, in whatever order they were made
  space BYTES                       how much fits
  flip PATH OFFSET BIT              the disk decays
  count                             changes so far, faults so far, bytes used, whether the power is cut";

/// Does what a line says, and says how that went.
pub(crate) fn obey(line: &str, disk: &mut Disk) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    execute(&words, disk).unwrap_or_else(|| format!("error: \"{line}\" is not an order"))
}

fn execute(words: &[&str], disk: &mut Disk) -> Option<String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let often = |text: &str| if text == "*" { Some(u64::MAX) } else { text.parse().ok() };
    let path = |text: &str| if text == "*" { String::new() } else { text.to_owned() };
    match words {
        ["fail", deed, part, skip, times, errno] => disk.faults.add(Rule {
            deed: Deed::named(deed)?,
            path: path(part),
            skip: number(skip)?,
            times: often(times)?,
            effect: Effect::Fail(errno.parse().ok()?),
        }),
        ["delay", deed, part, milliseconds] => disk.faults.add(Rule {
            deed: Deed::named(deed)?,
            path: path(part),
            skip: 0,
            times: u64::MAX,
            effect: Effect::Delay(Duration::from_millis(number(milliseconds)?)),
        }),
        ["lie", part] => disk.faults.add(Rule {
            deed: Deed::Sync,
            path: path(part),
            skip: 0,
            times: u64::MAX,
            effect: Effect::Lie,
        }),
        ["cut", changes] => disk.faults.cut_after(number(changes)?),
        ["heal"] => disk.faults.heal(),
        ["space", bytes] => disk.set_space(number(bytes)?),
        ["flip", path, offset, bit] => {
            if !disk.flip(path, offset.parse().ok()?, bit.parse().ok()?) {
                return Some(format!("error: {path} has no byte {offset}"));
            }
        }
        ["forget", "all"] => return Some(forget(disk, Crash::Everything)),
        ["forget", "tail", seed] => return Some(forget(disk, Crash::Tail(number(seed)?))),
        ["forget", "scattered", seed] => return Some(forget(disk, Crash::Scattered(number(seed)?))),
        ["count"] => {
            let (faults, used) = (&disk.faults, disk.used());
            let (changes, struck, cut) = (faults.changes, faults.struck, u8::from(faults.is_cut()));
            return Some(format!("ok changes={changes} struck={struck} used={used} cut={cut}"));
        }
        _ => return None,
    }
    Some("ok".to_owned())
}

fn forget(disk: &mut Disk, crash: Crash) -> String {
    let losses = disk.forget(crash);
    let (writes, bytes, torn, names) = (losses.writes, losses.bytes, losses.torn, losses.names);
    format!("ok writes={writes} bytes={bytes} torn={torn} names={names}")
}

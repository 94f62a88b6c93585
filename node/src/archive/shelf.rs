//! A folder of backups, each named by when it was begun.

use std::fs;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

const BEGIN: &str = "backup-";
const END: &str = ".snap";
/// What a backup is called until all of it is there.
const PART: &str = ".snap.part";
/// `20261121T231500Z`: names in order are times in order.
const STAMP: usize = 16;

/// A folder of backups. Whatever else lies in it is left alone.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// The folder that is there.
    ///
    /// # Errors
    /// A sentence: it is no folder.
    pub fn open(dir: &Path) -> Result<Shelf, String> {
        if dir.is_dir() {
            Ok(Shelf { dir: dir.to_owned() })
        } else {
            Err(format!("{} is no folder", dir.display()))
        }
    }

    /// Where a backup goes that is begun now.
    #[must_use]
    pub fn place(&self, now: OffsetDateTime) -> PathBuf {
        let now = now.to_utc();
        let (date, clock) = (now.date(), now.time());
        self.dir.join(format!(
            "{BEGIN}{:04}{:02}{:02}T{:02}{:02}{:02}Z{END}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second()
        ))
    }

    /// The newest backup.
    ///
    /// # Errors
    /// A sentence: there is none, or the folder cannot be read.
    pub fn newest(&self) -> Result<PathBuf, String> {
        let newest = self.named(END)?.pop();
        newest.ok_or_else(|| format!("there is no backup in {}", self.dir.display()))
    }

    /// Removes all but the newest `keep` backups, and what is left of those that were begun before the newest and not finished;
    /// returns what was removed.
    ///
    /// # Errors
    /// A sentence.
    pub fn clear(&self, keep: usize) -> Result<Vec<PathBuf>, String> {
        let mut old = self.named(END)?;
        let newest = old.last().cloned();
        old.truncate(old.len().saturating_sub(keep));
        let parts = self.named(PART)?.into_iter();
        old.extend(parts.filter(|part| newest.as_ref().is_some_and(|newest| part < newest)));
        for path in &old {
            fs::remove_file(path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        }
        Ok(old)
    }

    /// Backups in the order of their times, or those that end otherwise.
    fn named(&self, end: &str) -> Result<Vec<PathBuf>, String> {
        let failed = |error: std::io::Error| format!("cannot read {}: {error}", self.dir.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let stamp = name.strip_prefix(BEGIN).and_then(|name| name.strip_suffix(end));
            if stamp.is_some_and(is_stamp) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

fn is_stamp(text: &str) -> bool {
    text.len() == STAMP
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_what_is_no_backup_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::open(folder.path()).expect("it is there");
        assert!(shelf.newest().expect_err("empty").starts_with("there is no backup"));
        let at = |seconds| shelf.place(OffsetDateTime::from_unix_timestamp(seconds).expect("a time"));
        assert!(at(1_792_000_000).ends_with("backup-20261014T174640Z.snap"));
        let times = [1_792_000_000, 1_792_086_400, 1_798_761_599, 1_798_761_600];
        for time in times {
            fs::write(at(time), "x").expect("written");
        }
        let beside = |name: &str| folder.path().join(name);
        let strangers = [
            "monday.snap",
            "backup-2026.snap",
            "backup-20261014T174640Z.snap.old",
            "lost+found",
        ];
        // Begun before the newest, and after it.
        let (dead, alive) = ("backup-20260101T000000Z.snap.part", "backup-29990101T000000Z.snap.part");
        for name in strangers.iter().chain([&dead, &alive]) {
            fs::write(beside(name), "x").expect("written");
        }
        assert_eq!(shelf.newest(), Ok(at(times[3])));
        assert_eq!(shelf.clear(2), Ok(vec![at(times[0]), at(times[1]), beside(dead)]));
        assert_eq!(shelf.clear(2), Ok(vec![]));
        assert!(at(times[2]).exists() && at(times[3]).exists() && beside(alive).exists());
        assert!(strangers.iter().all(|name| beside(name).exists()));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 7);
    }
}

//! The disk: files, names, and what goes wrong with them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::SystemTime;

use crate::faults::{Effect, Faults};
use crate::file::{Fate, File, Kept};
use crate::names::{Names, Number, ROOT};
use crate::random::Random;

/// Error numbers of Linux.
pub(crate) const ENOENT: i32 = 2;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const ENOTDIR: i32 = 20;
pub(crate) const EISDIR: i32 = 21;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const ENOTEMPTY: i32 = 39;

/// A failing deed's error number.
pub(crate) type Done<T> = Result<T, i32>;

/// A file or a folder.
pub(crate) struct Node {
    /// `None`: a folder.
    pub(crate) file: Option<File>,
    pub(crate) mode: u16,
    pub(crate) changed: SystemTime,
    /// Where it was made or last renamed to, for the rules.
    path: String,
    open: u32,
}

/// All there is.
pub(crate) struct Disk {
    nodes: BTreeMap<Number, Node>,
    names: Names,
    next: Number,
    /// Bytes that fit.
    space: u64,
    pub(crate) faults: Faults,
}

/// How much of what was not synced a crash takes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// All of it.
    Everything,
    /// The end: of each file some first writes stay, the next one may be torn; of the names some first changes stay.
    Tail(u64),
    /// Any writes, whatever their order, each whole, torn or lost; of the names some first changes stay.
    Scattered(u64),
}

/// What a crash took.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) writes: usize,
    pub(crate) torn: usize,
    pub(crate) bytes: usize,
    pub(crate) names: usize,
}

impl Disk {
    pub(crate) fn new(space: u64) -> Disk {
        let mut disk = Disk {
            nodes: BTreeMap::new(),
            names: Names::new(),
            next: ROOT,
            space,
            faults: Faults::default(),
        };
        disk.add_node(None, 0o755, String::new());
        disk
    }

    pub(crate) fn node(&self, number: Number) -> Done<&Node> {
        self.nodes.get(&number).ok_or(ENOENT)
    }

    pub(crate) fn find(&self, folder: Number, name: &OsStr) -> Done<Number> {
        self.names.find(folder, name).ok_or(ENOENT)
    }

    pub(crate) fn list(&self, folder: Number) -> Done<Vec<(Number, bool, &OsStr)>> {
        let names = self.names.list(folder).ok_or(ENOTDIR)?;
        let is_folder = |number| self.nodes.get(number).is_none_or(|node| node.file.is_none());
        Ok(names
            .iter()
            .map(|(name, number)| (*number, is_folder(number), name.as_os_str()))
            .collect())
    }

    pub(crate) fn path(&self, number: Number) -> String {
        self.nodes.get(&number).map_or(String::new(), |node| node.path.clone())
    }

    /// Where a name is, for the rules.
    pub(crate) fn path_of(&self, folder: Number, name: &OsStr) -> String {
        let parent = self.path(folder);
        let slash = if parent.is_empty() { "" } else { "/" };
        format!("{parent}{slash}{}", name.to_string_lossy())
    }

    /// The file, folder or path that an operator names.
    pub(crate) fn by_path(&self, path: &str) -> Option<Number> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |folder, name| self.names.find(folder, OsStr::new(name)))
    }

    /// Bytes that all files have.
    pub(crate) fn used(&self) -> u64 {
        self.nodes
            .values()
            .filter_map(|node| node.file.as_ref())
            .map(|file| file.size() as u64)
            .sum()
    }

    pub(crate) fn space(&self) -> u64 {
        self.space
    }

    pub(crate) fn set_space(&mut self, bytes: u64) {
        self.space = bytes;
    }

    pub(crate) fn make(&mut self, folder: Number, name: &OsStr, mode: u16, is_folder: bool) -> Done<Number> {
        if self.find(folder, name).is_ok() {
            return Err(EEXIST);
        }
        if self.used() >= self.space {
            return Err(ENOSPC);
        }
        let path = self.path_of(folder, name);
        let number = self.add_node((!is_folder).then(File::default), mode, path);
        if is_folder {
            self.names.add_folder(number);
        }
        self.names.set(&[(folder, name, Some(number))]);
        Ok(number)
    }

    pub(crate) fn remove(&mut self, folder: Number, name: &OsStr, is_folder: bool) -> Done<()> {
        let number = self.find(folder, name)?;
        match (self.names.list(number), is_folder) {
            (Some(_), false) => return Err(EISDIR),
            (None, true) => return Err(ENOTDIR),
            (Some(names), true) if !names.is_empty() => return Err(ENOTEMPTY),
            _ => {}
        }
        self.names.set(&[(folder, name, None)]);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr), exchange: bool) -> Done<()> {
        let number = self.find(from.0, from.1)?;
        let replaced = self.find(to.0, to.1).ok();
        let path = self.path_of(to.0, to.1);
        match (exchange, replaced) {
            (true, None) => return Err(ENOENT),
            (true, Some(other)) => {
                let other_path = self.path_of(from.0, from.1);
                self.set_path(other, &other_path);
                self.names
                    .set(&[(from.0, from.1, Some(other)), (to.0, to.1, Some(number))]);
            }
            (false, Some(other)) if self.names.list(other).is_some_and(|names| !names.is_empty()) => {
                return Err(ENOTEMPTY);
            }
            (false, _) => self.names.set(&[(from.0, from.1, None), (to.0, to.1, Some(number))]),
        }
        self.set_path(number, &path);
        Ok(())
    }

    /// What is written beyond the space there is does not arrive, and the file stays as it was.
    pub(crate) fn write(&mut self, number: Number, offset: u64, data: &[u8]) -> Done<()> {
        let end = offset + data.len() as u64;
        let grows = end.saturating_sub(self.file(number)?.size() as u64);
        if grows > 0 && self.used() + grows > self.space {
            return Err(ENOSPC);
        }
        self.file(number)?.write(offset as usize, data);
        Ok(())
    }

    pub(crate) fn set_size(&mut self, number: Number, size: u64) -> Done<()> {
        let grows = size.saturating_sub(self.file(number)?.size() as u64);
        if grows > 0 && self.used() + grows > self.space {
            return Err(ENOSPC);
        }
        self.file(number)?.set_size(size as usize);
        Ok(())
    }

    pub(crate) fn set_mode(&mut self, number: Number, mode: u16) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.mode = mode;
        }
    }

    pub(crate) fn sync(&mut self, number: Number) -> Done<()> {
        let node = self.nodes.get_mut(&number).ok_or(ENOENT)?;
        match &mut node.file {
            Some(file) => file.sync(),
            None => {
                self.names.sync(number);
                self.sweep();
            }
        }
        Ok(())
    }

    pub(crate) fn opened(&mut self, number: Number) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.open += 1;
        }
    }

    pub(crate) fn closed(&mut self, number: Number) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.open = node.open.saturating_sub(1);
        }
        self.sweep();
    }

    pub(crate) fn flip(&mut self, path: &str, offset: usize, bit: u8) -> bool {
        let number = self.by_path(path);
        let file = number.and_then(|number| self.nodes.get_mut(&number)?.file.as_mut());
        file.is_some_and(|file| file.flip(offset, bit))
    }

    /// The power comes back: what was not synced is gone, or as much of it as `crash` says. Faults stay as they are.
    pub(crate) fn forget(&mut self, crash: Crash) -> Losses {
        let mut random = match crash {
            Crash::Everything => Random(0),
            Crash::Tail(seed) | Crash::Scattered(seed) => Random(seed),
        };
        let names = self.names.unsynced();
        let kept = match crash {
            Crash::Everything => 0,
            Crash::Tail(_) | Crash::Scattered(_) => random.below(names + 1),
        };
        self.names.forget(kept);
        let mut losses = Losses {
            names: names - kept,
            ..Losses::default()
        };
        for node in self.nodes.values_mut() {
            node.open = 0;
            if let Some(file) = &mut node.file {
                let kept = fates(&file.unsynced(), crash, &mut random, &mut losses);
                file.forget(&kept);
            }
        }
        self.sweep();
        losses
    }

    fn file(&mut self, number: Number) -> Done<&mut File> {
        let node = self.nodes.get_mut(&number).ok_or(ENOENT)?;
        node.changed = SystemTime::now();
        node.file.as_mut().ok_or(EISDIR)
    }

    fn set_path(&mut self, number: Number, path: &str) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.path = path.to_owned();
        }
        let inside: Vec<_> = self.names.list(number).map_or(Vec::new(), |names| {
            names.iter().map(|(name, number)| (name.clone(), *number)).collect()
        });
        for (name, number) in inside {
            self.set_path(number, &format!("{path}/{}", name.to_string_lossy()));
        }
    }

    fn add_node(&mut self, file: Option<File>, mode: u16, path: String) -> Number {
        let number = self.next;
        self.next += 1;
        let node = Node {
            file,
            mode,
            changed: SystemTime::now(),
            path,
            open: 0,
        };
        self.nodes.insert(number, node);
        number
    }

    /// Drops files that have no name, will have none after a crash, and are not open.
    fn sweep(&mut self) {
        let reachable = self.names.reachable();
        self.nodes
            .retain(|number, node| node.open > 0 || reachable.contains(number));
        self.names.retain(&reachable);
    }
}

/// What becomes of a file's unsynced writes.
fn fates(unsynced: &[usize], crash: Crash, random: &mut Random, losses: &mut Losses) -> Kept {
    let all = unsynced.len();
    let kept = match crash {
        Crash::Everything => Kept::Nothing,
        Crash::Tail(_) => {
            let whole = random.below(all + 1);
            let fate = |(index, length): (usize, &usize)| match index {
                _ if index < whole => Fate::Done,
                _ if index == whole && random.below(2) == 0 => Fate::Torn(random.below(*length + 1)),
                _ => Fate::Lost,
            };
            Kept::Each(unsynced.iter().enumerate().map(fate).collect())
        }
        Crash::Scattered(_) => {
            let fate = |length: &usize| match random.below(3) {
                0 => Fate::Done,
                1 => Fate::Lost,
                _ => Fate::Torn(random.below(*length + 1)),
            };
            Kept::Each(unsynced.iter().map(fate).collect())
        }
    };
    for (index, length) in unsynced.iter().enumerate() {
        match &kept {
            Kept::Each(fates) if fates[index] == Fate::Done => {}
            Kept::Each(fates) if fates[index] != Fate::Lost => losses.torn += 1,
            _ => {
                losses.writes += 1;
                losses.bytes += length;
            }
        }
    }
    kept
}

/// What a deed meets; `Ok(true)` is to be done, `Ok(false)` only to be claimed.
pub(crate) fn verdict(effect: Option<Effect>) -> Done<bool> {
    match effect {
        Some(Effect::Fail(error)) => Err(error),
        Some(Effect::Lie) => Ok(false),
        Some(Effect::Delay(_)) | None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn what_was_synced_survives_a_crash_and_the_rest_does_not() {
        let mut disk = Disk::new(1 << 20);
        let folder = disk.make(ROOT, name("journal"), 0o755, true).expect("made");
        let log = disk.make(folder, name("1.log"), 0o644, false).expect("made");
        disk.sync(ROOT).expect("synced");
        disk.sync(folder).expect("synced");
        disk.write(log, 0, b"kept").expect("written");
        disk.sync(log).expect("synced");
        disk.write(log, 4, b" lost").expect("written");
        disk.make(folder, name("2.log"), 0o644, false).expect("made");
        let losses = disk.forget(Crash::Everything);
        assert_eq!((losses.writes, losses.bytes, losses.names), (1, 5, 1));
        assert_eq!(disk.by_path("journal/2.log"), None);
        let log = disk.by_path("journal/1.log").expect("it is there");
        assert_eq!(
            disk.node(log).expect("a file").file.as_ref().expect("a file").bytes(),
            b"kept"
        );
    }

    #[test]
    fn a_full_disk_takes_nothing_more_until_something_is_removed() {
        let mut disk = Disk::new(10);
        let file = disk.make(ROOT, name("a"), 0o644, false).expect("made");
        disk.write(file, 0, b"12345678").expect("it fits");
        assert_eq!(disk.write(file, 8, b"901"), Err(ENOSPC));
        disk.write(file, 0, b"overwrite").expect("it fits");
        assert_eq!(disk.used(), 9);
        disk.remove(ROOT, name("a"), false).expect("removed");
        disk.sync(ROOT).expect("synced");
        assert_eq!(disk.used(), 0, "a file without a name is gone once that is synced");
    }

    #[test]
    fn exchanged_folders_take_their_paths_along() {
        let mut disk = Disk::new(1 << 20);
        let state = disk.make(ROOT, name("state"), 0o755, true).expect("made");
        let incoming = disk.make(ROOT, name("incoming"), 0o755, true).expect("made");
        let file = disk.make(incoming, name("x"), 0o644, false).expect("made");
        disk.rename((ROOT, name("incoming")), (ROOT, name("state")), true)
            .expect("exchanged");
        assert_eq!(disk.by_path("state"), Some(incoming));
        assert_eq!(disk.by_path("incoming"), Some(state));
        assert_eq!(disk.path(file), "state/x");
    }
}

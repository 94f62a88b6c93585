//! Which name leads to which file, and how to go back to what was synced.
//!
//! Names are kept as journalling file systems keep them: all changes of names are in one order, and syncing a folder makes
//! everything durable up to the last change in that folder. Syncing a *file* makes its content durable and not its name:
//! POSIX promises no more.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// The number of a file or folder.
pub(crate) type Number = u64;

/// The folder that is mounted.
pub(crate) const ROOT: Number = 1;

/// All folders.
#[derive(Debug)]
pub(crate) struct Names {
    folders: BTreeMap<Number, BTreeMap<OsString, Number>>,
    unsynced: Vec<Vec<Entry>>,
}

/// One name before a change.
#[derive(Debug)]
struct Entry {
    folder: Number,
    name: OsString,
    before: Option<Number>,
}

impl Names {
    pub(crate) fn new() -> Names {
        Names {
            folders: BTreeMap::from([(ROOT, BTreeMap::new())]),
            unsynced: Vec::new(),
        }
    }

    pub(crate) fn find(&self, folder: Number, name: &OsStr) -> Option<Number> {
        self.folders.get(&folder)?.get(name).copied()
    }

    pub(crate) fn list(&self, folder: Number) -> Option<&BTreeMap<OsString, Number>> {
        self.folders.get(&folder)
    }

    /// Changes of names that are not synced.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// A new empty folder, which has no name yet.
    pub(crate) fn add_folder(&mut self, folder: Number) {
        self.folders.insert(folder, BTreeMap::new());
    }

    /// Some names change at once; `None` removes.
    pub(crate) fn set(&mut self, changes: &[(Number, &OsStr, Option<Number>)]) {
        let mut entries = Vec::new();
        for (folder, name, after) in changes {
            entries.push(Entry {
                folder: *folder,
                name: (*name).to_owned(),
                before: self.find(*folder, name),
            });
            self.put(*folder, name, *after);
        }
        self.unsynced.push(entries);
    }

    /// Everything up to the last change in this folder is on the disk.
    pub(crate) fn sync(&mut self, folder: Number) {
        let touches = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.folder == folder);
        let durable = self.unsynced.iter().rposition(touches).map_or(0, |last| last + 1);
        self.unsynced.drain(..durable);
    }

    /// A crash: only the first `kept` of the unsynced changes are left.
    pub(crate) fn forget(&mut self, kept: usize) {
        while self.unsynced.len() > kept {
            let entries = self.unsynced.pop().unwrap_or_default();
            for entry in entries.into_iter().rev() {
                self.put(entry.folder, &entry.name, entry.before);
            }
        }
        self.unsynced.clear();
    }

    /// What a name leads to, or may lead to again after a crash.
    pub(crate) fn reachable(&self) -> BTreeSet<Number> {
        let named = self.folders.values().flat_map(|folder| folder.values().copied());
        let undone = self.unsynced.iter().flatten().filter_map(|entry| entry.before);
        named.chain(undone).chain([ROOT]).collect()
    }

    /// Drops folders that nothing leads to.
    pub(crate) fn retain(&mut self, reachable: &BTreeSet<Number>) {
        self.folders.retain(|folder, _| reachable.contains(folder));
    }

    fn put(&mut self, folder: Number, name: &OsStr, number: Option<Number>) {
        if let Some(names) = self.folders.get_mut(&folder) {
            match number {
                Some(number) => names.insert(name.to_owned(), number),
                None => names.remove(name),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn a_name_that_was_not_synced_is_gone_after_a_crash() {
        let mut names = Names::new();
        names.set(&[(ROOT, name("a"), Some(2))]);
        names.sync(ROOT);
        names.set(&[(ROOT, name("b"), Some(3))]);
        names.set(&[(ROOT, name("a"), None)]);
        assert_eq!(names.reachable(), BTreeSet::from([ROOT, 2, 3]));
        names.forget(0);
        assert_eq!(
            (names.find(ROOT, name("a")), names.find(ROOT, name("b"))),
            (Some(2), None)
        );
    }

    #[test]
    fn a_rename_is_whole_or_not_at_all() {
        let mut names = Names::new();
        names.set(&[(ROOT, name("old"), Some(2))]);
        names.set(&[(ROOT, name("CURRENT"), Some(3))]);
        names.sync(ROOT);
        let rename = [(ROOT, name("old"), None), (ROOT, name("CURRENT"), Some(2))];
        names.set(&rename);
        names.forget(0);
        assert_eq!(
            (names.find(ROOT, name("old")), names.find(ROOT, name("CURRENT"))),
            (Some(2), Some(3))
        );
        names.set(&rename);
        names.forget(1);
        assert_eq!(
            (names.find(ROOT, name("old")), names.find(ROOT, name("CURRENT"))),
            (None, Some(2))
        );
    }

    #[test]
    fn syncing_a_folder_makes_what_came_before_durable_and_nothing_later() {
        let mut names = Names::new();
        names.add_folder(2);
        names.set(&[(ROOT, name("folder"), Some(2))]);
        names.set(&[(2, name("x"), Some(3))]);
        names.set(&[(ROOT, name("y"), Some(4))]);
        names.sync(2);
        names.forget(0);
        assert_eq!(names.find(ROOT, name("folder")), Some(2));
        assert_eq!((names.find(2, name("x")), names.find(ROOT, name("y"))), (Some(3), None));
    }
}

//! A file's bytes, and how to go back to what was synced.

/// Content as a process sees it, with a way back to what the disk holds.
#[derive(Debug, Default)]
pub(crate) struct File {
    bytes: Vec<u8>,
    unsynced: Vec<Change>,
}

/// One change that is not synced: what to do to undo it, and what it wrote where.
#[derive(Debug)]
struct Change {
    size_before: usize,
    offset: usize,
    before: Vec<u8>,
    written: Written,
}

#[derive(Debug)]
enum Written {
    Bytes(usize),
    Size(usize),
}

/// A change that can be done again.
enum Redo {
    Bytes(usize, Vec<u8>),
    Size(usize),
}

/// What a crash leaves of the changes that were not synced, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    /// None of them.
    Nothing,
    /// Each one, or not, or only so many of its first bytes (less than all).
    Each(Vec<Fate>),
}

/// What a crash makes of one unsynced write.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Lost,
    /// Only so many first bytes; a change of size is done or lost, never torn.
    Torn(usize),
}

impl File {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Unsynced changes: the length of each in bytes, oldest first.
    pub(crate) fn unsynced(&self) -> Vec<usize> {
        let length = |change: &Change| match change.written {
            Written::Bytes(length) => length,
            Written::Size(_) => 0,
        };
        self.unsynced.iter().map(length).collect()
    }

    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        let (size_before, end) = (self.bytes.len(), offset + data.len());
        let before = self.bytes[offset.min(size_before)..end.min(size_before)].to_vec();
        self.unsynced.push(Change {
            size_before,
            offset,
            before,
            written: Written::Bytes(data.len()),
        });
        self.put(offset, data);
    }

    pub(crate) fn set_size(&mut self, size: usize) {
        let size_before = self.bytes.len();
        if size == size_before {
            return;
        }
        let offset = size.min(size_before);
        self.unsynced.push(Change {
            size_before,
            offset,
            before: self.bytes[offset..].to_vec(),
            written: Written::Size(size),
        });
        self.bytes.resize(size, 0);
    }

    /// Everything so far is on the disk.
    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// A crash: the unsynced changes are undone, and those that the disk had taken anyway are done again.
    pub(crate) fn forget(&mut self, kept: &Kept) {
        let mut redos = Vec::new();
        while let Some(change) = self.unsynced.pop() {
            redos.push(match change.written {
                Written::Bytes(length) => Redo::Bytes(
                    change.offset,
                    self.bytes[change.offset..change.offset + length].to_vec(),
                ),
                Written::Size(size) => Redo::Size(size),
            });
            self.bytes.resize(change.size_before, 0);
            self.bytes[change.offset.min(change.size_before)..][..change.before.len()].copy_from_slice(&change.before);
        }
        let Kept::Each(fates) = kept else { return };
        for (redo, fate) in redos.into_iter().rev().zip(fates) {
            match (redo, fate) {
                (_, Fate::Lost) | (Redo::Size(_), Fate::Torn(_)) => {}
                (Redo::Size(size), Fate::Done) => self.bytes.resize(size, 0),
                (Redo::Bytes(offset, data), Fate::Done) => self.put(offset, &data),
                (Redo::Bytes(offset, data), Fate::Torn(length)) => self.put(offset, &data[..*length.min(&data.len())]),
            }
        }
    }

    /// The disk decays: one bit, on the disk and in memory.
    pub(crate) fn flip(&mut self, offset: usize, bit: u8) -> bool {
        match self.bytes.get_mut(offset) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }

    fn put(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if data.is_empty() {
            return;
        }
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        let mut file = File::default();
        file.write(0, b"synced");
        file.sync();
        file.write(6, b" one");
        file.write(0, b"SYN");
        file.set_size(4);
        file.write(4, b"two");
        assert_eq!(file.bytes(), b"SYNctwo");
        file
    }

    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let mut file = file();
        file.forget(&Kept::Nothing);
        assert_eq!(file.bytes(), b"synced");
        assert!(file.unsynced().is_empty());
    }

    #[test]
    fn a_crash_may_leave_the_first_changes_and_tear_the_next() {
        let mut whole = file();
        whole.forget(&Kept::Each(vec![Fate::Done; 4]));
        assert_eq!(whole.bytes(), b"SYNctwo");
        let mut torn = file();
        torn.forget(&Kept::Each(vec![Fate::Done, Fate::Torn(2), Fate::Lost, Fate::Lost]));
        assert_eq!(torn.bytes(), b"SYnced one");
    }

    #[test]
    fn a_crash_may_leave_a_later_change_without_an_earlier_one() {
        let mut file = file();
        file.forget(&Kept::Each(vec![Fate::Lost, Fate::Lost, Fate::Lost, Fate::Done]));
        assert_eq!(file.bytes(), b"synctwo");
        let mut gap = File::default();
        gap.write(0, b"ab");
        gap.write(2, b"cd");
        gap.forget(&Kept::Each(vec![Fate::Lost, Fate::Done]));
        assert_eq!(gap.bytes(), b"\0\0cd", "what was never written reads as zeros");
    }
}

//! The check of RocksDB's `MANIFEST` before RocksDB is let near it.
//!
//! The file `CURRENT` names the `MANIFEST` that counts, and that says which sorted files there are. RocksDB reads it as a log, and
//! there are single bits with which that reading never comes to an end: a record whose type is turned into one for recycled files is
//! refused without being passed over, again and again. A node that hangs as it starts says nothing to anybody. So every record is read
//! here first, and a file that is not what was written is one that is damaged, in words.
//!
//! RocksDB appends to a `MANIFEST` and syncs it before it relies on it, so a crash leaves at most the last record incomplete. That is
//! an end; what is behind it is not missed by whoever finds all files that the records before it name.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::records::{self, At, FIRST, FULL, LAST, MIDDLE};

/// Why RocksDB must not be let near a folder.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Something is not what was written.
    Damaged(String),
    /// The system does not let us look.
    Unreadable(Error),
}

/// Refuses if the `MANIFEST` of the RocksDB folder `dir` is missing, or damaged anywhere but in an incomplete end.
pub(crate) fn check(dir: &Path) -> Result<(), Fault> {
    let current = read(dir, "CURRENT")?;
    let Some(name) = named(&current) else {
        return Err(Fault::Damaged(format!(
            "the file CURRENT holds \"{}\" and names no MANIFEST",
            current.escape_ascii()
        )));
    };
    let bytes = read(dir, name)?;
    verify(&bytes).map_err(|at| {
        Fault::Damaged(format!(
            "the file {name} ({} bytes) has a bad record at byte {at}, which is not a torn end",
            bytes.len()
        ))
    })
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Fault> {
    fs::read(dir.join(name)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::Damaged(format!("the file {name} is missing")),
        kind => Fault::Unreadable(Error::new(kind, format!("{name}: {error}"))),
    })
}

/// The name of the file that counts.
fn named(current: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(current.strip_suffix(b"\n")?).ok()?;
    let number = name.strip_prefix("MANIFEST-")?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(name)
}

/// Where the damage is, if there is any.
fn verify(bytes: &[u8]) -> Result<(), usize> {
    let (mut at, mut begun) = (0, false);
    loop {
        match records::at(bytes, at) {
            At::Record { kind, next, .. } => {
                begun = match (begun, kind) {
                    (false, FULL) | (true, LAST) => false,
                    (false, FIRST) | (true, MIDDLE) => true,
                    // Pieces out of order, or a type that has no place in this file.
                    _ => return Err(at),
                };
                at = next;
            }
            At::Filler(next) => at = next,
            At::End => return Ok(()),
            At::Bad => return Err(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One change in one record, one that begins in one block, fills the next and ends in a third, one in one. Three bytes at the end
    /// of the first block are filler.
    const CHANGES: [(u8, usize); 5] = [(FULL, 90), (FIRST, 32_661), (MIDDLE, 32_761), (LAST, 40), (FULL, 70)];

    fn put(dir: &Path, current: &[u8], manifest: &[u8]) {
        fs::write(dir.join("CURRENT"), current).expect("a writable folder");
        fs::write(dir.join("MANIFEST-000007"), manifest).expect("a writable folder");
    }

    fn fault(dir: &Path) -> String {
        match check(dir) {
            Err(Fault::Damaged(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_file_passes_and_so_does_every_prefix_of_it() {
        let (bytes, _) = records::written(&CHANGES);
        for end in (0..=bytes.len())
            .rev()
            .step_by(97)
            .chain(bytes.len() - 300..bytes.len())
        {
            assert_eq!(verify(&bytes[..end]), Ok(()), "cut at {end}");
        }
        let mut reserved = bytes.clone();
        reserved.resize(bytes.len() + 5000, 0);
        assert_eq!(verify(&reserved), Ok(()));
    }

    #[test]
    fn every_flipped_bit_is_noticed_where_its_record_begins() {
        records::every_flip_is_noticed(&[(FULL, 90), (FIRST, 60), (LAST, 40), (FULL, 70)], verify);
    }

    #[test]
    fn pieces_out_of_order_and_types_of_other_files_are_noticed() {
        for (kinds, at) in [
            (vec![MIDDLE], 0),
            (vec![LAST], 0),
            (vec![FULL, LAST], 1),
            (vec![FIRST, FULL], 1),
            (vec![FIRST, FIRST], 1),
            (vec![FIRST, MIDDLE, LAST, MIDDLE], 3),
            // Of recycled files, of compressed ones, of files with time stamps; and one that nobody knows.
            (vec![FULL, 5], 1),
            (vec![5], 0),
            (vec![8], 0),
            (vec![FULL, 9], 1),
            (vec![FULL, 10], 1),
            (vec![FULL, 255], 1),
        ] {
            let changes: Vec<_> = kinds.iter().map(|kind| (*kind, 20)).collect();
            let (bytes, starts) = records::written(&changes);
            assert_eq!(verify(&bytes), Err(starts[at]), "{kinds:?}");
        }
    }

    #[test]
    fn what_current_says_must_be_the_name_of_a_file_that_is_there() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(fault(dir.path()), "the file CURRENT is missing");
        let (bytes, _) = records::written(&CHANGES);
        put(dir.path(), b"MANIFEST-000007\n", &bytes);
        check(dir.path()).expect("a whole folder");
        for current in [
            &b""[..],
            b"MANIFEST-000007",
            b"MANIFEST-\n",
            b"MANIFEST-00000\x17\n",
            b"../MANIFEST-000007\n",
            b"\xff\n",
        ] {
            put(dir.path(), current, &bytes);
            assert!(fault(dir.path()).contains("names no MANIFEST"), "{current:?}");
        }
        put(dir.path(), b"MANIFEST-000008\n", &bytes);
        assert_eq!(fault(dir.path()), "the file MANIFEST-000008 is missing");
        let mut bad = bytes.clone();
        bad[100] ^= 1;
        put(dir.path(), b"MANIFEST-000007\n", &bad);
        assert_eq!(
            fault(dir.path()),
            format!(
                "the file MANIFEST-000007 ({} bytes) has a bad record at byte 97, which is not a torn end",
                bad.len()
            )
        );
    }
}

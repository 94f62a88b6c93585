//! The newest version of recently used keys, so that a put need not read.

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

/// The numbers of a key's newest version.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) create_revision: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
}

/// Heads of keys, `None` for keys that do not exist, within a bound of memory.
pub(super) struct Heads {
    cache: Cache<Box<[u8]>, Option<Head>, Bytes>,
}

/// Longer keys are rare, and would push out many others.
const LONGEST_KEY: usize = 1024;

#[derive(Clone)]
struct Bytes;

impl Weighter<Box<[u8]>, Option<Head>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, _: &Option<Head>) -> u64 {
        weight(key.len())
    }
}

/// Bytes of memory that a head takes: the key, the entry and its share of the cache's tables.
fn weight(key: usize) -> u64 {
    key as u64 + 112
}

impl Heads {
    /// A cache that takes about so many bytes.
    pub(super) fn new(bytes: usize) -> Heads {
        let typical = weight(24);
        Heads {
            cache: Cache::with_weighter((bytes as u64 / typical) as usize, bytes as u64, Bytes),
        }
    }

    /// The head of a key, if it is known.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<Head>> {
        self.cache.get(key).copied()
    }

    /// Notes what a key's head is now.
    pub(super) fn note(&mut self, key: &[u8], head: Option<Head>) {
        if key.len() > LONGEST_KEY {
            return;
        }
        match self.cache.get_mut(key) {
            Some(mut known) => *known = head,
            None => self.cache.insert(key.into(), head),
        }
    }
}

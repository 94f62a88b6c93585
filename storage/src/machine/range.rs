//! Reading a range: filters, sorting, limits, counting.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::command::{Range, SortOrder, SortTarget};
use super::error::KvError;
use super::reply::{KeyValue, RangeReply};
use super::span::Span;
use super::view::{Found, View};
use crate::tables::{Tables, TablesError};

impl Range {
    /// The revision to read at, where `now` is the newest, and `compacted` the oldest that is kept whole.
    pub(super) fn at(&self, now: i64, compacted: i64) -> Result<i64, KvError> {
        match self.revision {
            ..=0 => Ok(now),
            revision if revision > now => Err(KvError::FutureRevision),
            revision if revision < compacted => Err(KvError::Compacted),
            revision => Ok(revision),
        }
    }

    /// Reads at `revision`.
    pub(super) fn read<T: Tables>(&self, view: &View<'_, T>, revision: i64) -> Result<RangeReply, TablesError> {
        let mut collected = Collected::new(self);
        view.walk(Span::new(&self.key, &self.range_end), revision, &mut |found| {
            collected.take(&found);
            ControlFlow::Continue(())
        })?;
        Ok(collected.finish())
    }

    fn keeps(&self, found: &Found<'_>) -> bool {
        let within = |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
        within(found.mod_revision, self.min_mod_revision, self.max_mod_revision)
            && within(
                found.create_revision,
                self.min_create_revision,
                self.max_create_revision,
            )
    }

    fn in_key_order(&self) -> bool {
        self.sort_target == SortTarget::Key && self.sort_order != SortOrder::Descend
    }

    /// The order of the reply; keys are found in ascending order, and a stable sort keeps it among equals.
    fn order(&self, a: &KeyValue, b: &KeyValue) -> Ordering {
        let ascending = match self.sort_target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if self.sort_order == SortOrder::Descend {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// What was found so far.
struct Collected<'r> {
    range: &'r Range,
    limit: usize,
    kvs: Vec<KeyValue>,
    /// Keys in the range.
    count: i64,
    /// Keys that passed the filters.
    passed: usize,
}

impl<'r> Collected<'r> {
    fn new(range: &'r Range) -> Collected<'r> {
        let limit = usize::try_from(range.limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        Collected {
            range,
            limit,
            kvs: Vec::new(),
            count: 0,
            passed: 0,
        }
    }

    fn take(&mut self, found: &Found<'_>) {
        self.count += 1;
        if self.range.count_only || !self.range.keeps(found) {
            return;
        }
        self.passed += 1;
        if self.range.in_key_order() && self.kvs.len() == self.limit {
            return;
        }
        let with_value = !self.range.keys_only || self.range.sort_target == SortTarget::Value;
        self.kvs.push(found.to_key_value(with_value));
        // A small limit on a large range needs little memory: what cannot be in the reply is dropped on the way.
        if self.kvs.len() >= self.limit.saturating_mul(2).max(1024) {
            self.sort_and_cut();
        }
    }

    fn sort_and_cut(&mut self) {
        if !self.range.in_key_order() {
            self.kvs.sort_by(|a, b| self.range.order(a, b));
        }
        self.kvs.truncate(self.limit);
    }

    fn finish(mut self) -> RangeReply {
        self.sort_and_cut();
        if self.range.keys_only {
            self.kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        let more = self.passed > self.limit;
        RangeReply {
            kvs: self.kvs,
            more,
            count: self.count,
        }
    }
}

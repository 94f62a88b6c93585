//! The keys that a `key` and a `range_end` mean.

/// A set of keys: one key, or every key from one on and before another.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Span<'a> {
    /// One key.
    One(&'a [u8]),
    /// From the first on, before the second.
    Between(&'a [u8], &'a [u8]),
    /// From this one on.
    From(&'a [u8]),
}

impl<'a> Span<'a> {
    /// Reads the two fields of a request: no end means one key, a zero byte means no end.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Span<'a> {
        match range_end {
            [] => Span::One(key),
            [0] => Span::From(key),
            end => Span::Between(key, end),
        }
    }

    /// Whether the key is in it.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Span::One(one) => key == one,
            Span::Between(from, end) => from <= key && key < end,
            Span::From(from) => from <= key,
        }
    }
}

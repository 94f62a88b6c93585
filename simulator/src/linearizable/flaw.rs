//! The search made wrong on purpose: a checker that was never seen to fail is not tested.

/// A way in which a search can be wrong.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Flaw {
    /// An operation may come before one that had ended when it was called.
    IgnoreRealTime,
    /// A reply need not be the right one.
    IgnoreReplies,
    /// What was placed is remembered without the state that was reached.
    ForgetState,
    /// The state that was reached is remembered without what was placed.
    ForgetPlaced,
    /// The first choice that fits is never taken back.
    NeverBacktrack,
    /// Taking back a choice does not restore the state.
    KeepState,
    /// Whatever fits is placed at once, writes too.
    PlaceWritesAtOnce,
    /// A write with an unknown outcome is taken as not done.
    DropUnknown,
    /// A write with an unknown outcome is taken as done.
    DemandUnknown,
    /// A write with an unknown outcome that would do nothing now is given up for good.
    PlaceUnknownAtOnce,
}

#[cfg(test)]
thread_local! {
    static FLAW: std::cell::Cell<Option<Flaw>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread's searches are wrong in this way.
#[cfg(test)]
pub(super) fn set(flaw: Option<Flaw>) {
    FLAW.set(flaw);
}

/// Whether the search is wrong in this way.
#[cfg(test)]
pub(super) fn flawed(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

/// Outside of tests it is not.
#[cfg(not(test))]
pub(super) const fn flawed(_: Flaw) -> bool {
    false
}

//! The smallest piece of a history that has no order: what a person reads when a run has failed.
//!
//! The piece begins at the last moment at which nothing was under way, with the states that were possible then; it ends
//! with the first answer that cannot be explained; and reads that do not matter are left out. Each of these steps keeps the
//! verdict: an order of the whole history would give one of the piece.

use std::collections::BTreeSet;
use std::fmt;

use crate::linearizable::history::Operation;
use crate::linearizable::model::Model;
use crate::linearizable::search::{Outcome, Search, Standing};

/// Operations on one key that have no order, as lines.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Window {
    /// What the key can have held when the piece begins.
    pub before: Vec<String>,
    /// The operations in the order of their calls; the last answer among them is the one that cannot be explained.
    pub lines: Vec<String>,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before: {}", self.before.join(", or "))?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The window of `operations` on one key, which have no order. Each search may take `limit` steps; where they do not
/// suffice, the window is larger than it need be.
pub(super) fn narrow<M: Model>(operations: &[&Operation<M>], limit: u64) -> Window {
    let (starts, piece) = last_piece(operations, limit);
    let cannot = |piece: &[Operation<M>]| {
        starts.iter().all(|start| {
            let all: Vec<_> = start.left.iter().copied().chain(piece).collect();
            Search::new(start.state.clone(), &all).find(&mut limit.clone()) == Outcome::Impossible
        })
    };
    let mut answers: Vec<u64> = piece
        .iter()
        .filter(|op| op.answered.is_some())
        .map(|op| op.returned())
        .collect();
    answers.sort_unstable();
    let first = answers.partition_point(|end| !cannot(&until(&piece, *end)));
    let mut rest = until(&piece, answers.get(first).copied().unwrap_or(u64::MAX));
    let reads: Vec<_> = rest.extract_if(.., |op| M::is_read(&op.op)).collect();
    let mut kept = Vec::new();
    leave_out(&reads, &mut kept, &|reads| {
        let all: Vec<_> = rest.iter().chain(reads).cloned().collect();
        cannot(&all)
    });
    rest.extend(kept);
    // What may still happen from before is part of the piece.
    let left = starts.iter().flat_map(|start| &start.left).map(|op| (*op).clone());
    rest.extend(left);
    rest.sort_by_key(|op| (op.called, op.client));
    let mut lines: Vec<_> = rest.iter().map(line).collect();
    lines.dedup();
    let before: BTreeSet<_> = starts.iter().map(|start| start.state.to_string()).collect();
    Window {
        before: before.into_iter().collect(),
        lines,
    }
}

fn nothing_done<'a, M: Model>() -> Standing<'a, M> {
    Standing {
        state: M::State::default(),
        left: Vec::new(),
    }
}

/// The first piece between two quiet moments that has no order, and how things can have stood before it; all operations
/// from the beginning, if that takes too long to find out.
fn last_piece<'a, M: Model>(operations: &[&'a Operation<M>], limit: u64) -> (Vec<Standing<'a, M>>, Vec<Operation<M>>) {
    let mut starts = vec![nothing_done()];
    for piece in pieces(operations) {
        let mut ends: Vec<Standing<M>> = Vec::new();
        let mut steps = limit;
        for start in &starts {
            let all: Vec<_> = start.left.iter().chain(&piece).copied().collect();
            let Some(found) = Search::new(start.state.clone(), &all).ends(&mut steps) else {
                return (
                    vec![nothing_done()],
                    operations.iter().map(|op| (*op).clone()).collect(),
                );
            };
            for Standing { state, left } in found {
                let known = |end: &Standing<M>| {
                    let same = |(a, b): (&&Operation<M>, &&Operation<M>)| std::ptr::eq(*a, *b);
                    end.state == state && end.left.len() == left.len() && end.left.iter().zip(&left).all(same)
                };
                if !ends.iter().any(known) {
                    ends.push(Standing { state, left });
                }
            }
        }
        if ends.is_empty() {
            return (starts, piece.into_iter().cloned().collect());
        }
        starts = ends;
    }
    unreachable!("operations that have no order have a piece that has none")
}

/// The operations divided at moments at which nothing was under way, but for what never was answered.
fn pieces<'a, M: Model>(operations: &[&'a Operation<M>]) -> Vec<Vec<&'a Operation<M>>> {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|op| op.called);
    let mut pieces: Vec<Vec<&Operation<M>>> = Vec::new();
    let mut busy_until = None;
    for op in sorted {
        if busy_until.is_none_or(|until| until < op.called) {
            pieces.push(Vec::new());
        }
        if op.answered.is_some() {
            busy_until = busy_until.max(Some(op.returned()));
        }
        pieces.last_mut().expect("the first operation opens a piece").push(op);
    }
    pieces
}

/// What had been seen at `end`: later calls are left out, later answers unknown.
fn until<M: Model>(piece: &[Operation<M>], end: u64) -> Vec<Operation<M>> {
    let called = piece.iter().filter(|op| op.called <= end).cloned();
    let seen = called.map(|mut op| {
        op.answered = op.answered.filter(|(at, _)| *at <= end);
        op
    });
    seen.filter(|op| op.answered.is_some() || !M::is_read(&op.op)).collect()
}

/// Adds to `kept` those of `reads` that matter: first all are left out, then halves, then halves of halves.
fn leave_out<M: Model>(
    reads: &[Operation<M>],
    kept: &mut Vec<Operation<M>>,
    cannot: &impl Fn(&[Operation<M>]) -> bool,
) {
    // `kept` holds what matters of earlier parts, and while a first half is judged, all of the second.
    if reads.is_empty() || cannot(kept) {
        return;
    }
    if reads.len() == 1 {
        kept.extend_from_slice(reads);
        return;
    }
    let (first, second) = reads.split_at(reads.len() / 2);
    let before = kept.len();
    kept.extend_from_slice(second);
    leave_out(first, kept, cannot);
    kept.drain(before..before + second.len());
    leave_out(second, kept, cannot);
}

/// One operation as a line: when, who, what.
fn line<M: Model>(operation: &Operation<M>) -> String {
    let Operation { client, op, called, .. } = operation;
    match &operation.answered {
        Some((at, reply)) => format!("{called:>8} .. {at:<8} client {client}: {op} -> {reply}"),
        None => format!("{called:>8} ..          client {client}: {op} -> (unknown)"),
    }
}

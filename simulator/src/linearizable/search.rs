//! Whether the operations on one key have an order: Wing and Gong's search with Lowe's memory.
//!
//! Calls and answers stand in a list by time. A call may be placed next if no answer stands before it: whatever has ended
//! comes first. Placing it takes its call and its answer out of the list; taking the choice back puts them in again where
//! they were, because whatever was taken out later is back by then.

use std::collections::HashSet;

use crate::linearizable::flaw::{Flaw, flawed};
use crate::linearizable::history::Operation;
use crate::linearizable::model::Model;
use crate::linearizable::placed::Placed;

/// What a search found.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Outcome {
    /// There is an order.
    Ordered,
    /// There is none.
    Impossible,
    /// The steps ran out.
    Undecided,
}

/// How things can stand when everything that was answered has its place.
pub(super) struct Standing<'a, M: Model> {
    pub(super) state: M::State,
    /// What may still happen.
    pub(super) left: Vec<&'a Operation<M>>,
}

/// The list's ends.
const HEAD: usize = 0;

#[derive(Copy, Clone)]
enum Mark {
    Head,
    Call(usize),
    Answer,
}

/// A choice that can be taken back.
struct Choice<S> {
    entry: usize,
    before: S,
    /// It changed nothing, so no other choice in its place can do better.
    at_once: bool,
}

/// A search in the operations on one key.
pub(super) struct Search<'a, M: Model> {
    /// Those with an answer first, in the order of their calls.
    operations: Vec<&'a Operation<M>>,
    answered: usize,
    /// Answers still in the list.
    open: usize,
    marks: Vec<Mark>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// For each operation, where its answer stands.
    answers: Vec<Option<usize>>,
    state: M::State,
    placed: Placed,
    choices: Vec<Choice<M::State>>,
    entered: HashSet<(Box<[u64]>, M::State)>,
}

impl<'a, M: Model> Search<'a, M> {
    /// A search from `state` on.
    pub(super) fn new(state: M::State, operations: &[&'a Operation<M>]) -> Search<'a, M> {
        let mut operations = operations.to_vec();
        if flawed(Flaw::DropUnknown) {
            operations.retain(|operation| operation.answered.is_some());
        }
        operations.sort_by_key(|operation| (operation.answered.is_none(), operation.called));
        let answered = operations.partition_point(|operation| operation.answered.is_some());
        // At one moment calls come before answers: what only touches overlaps.
        let calls = operations.iter().enumerate().map(|(at, op)| (op.called, false, at));
        let answers = operations[..answered].iter().enumerate();
        let mut events: Vec<_> = calls.chain(answers.map(|(at, op)| (op.returned(), true, at))).collect();
        events.sort_unstable();
        let mut marks = vec![Mark::Head];
        let mut places = vec![None; operations.len()];
        for (_, is_answer, at) in events {
            if is_answer {
                places[at] = Some(marks.len());
                marks.push(Mark::Answer);
            } else {
                marks.push(Mark::Call(at));
            }
        }
        let len = marks.len();
        Search {
            placed: Placed::none(answered, operations.len() - answered),
            open: answered,
            operations,
            answered,
            next: (0..len).map(|at| (at + 1) % len).collect(),
            previous: (0..len).map(|at| (at + len - 1) % len).collect(),
            marks,
            answers: places,
            state,
            choices: Vec::new(),
            entered: HashSet::new(),
        }
    }

    /// Looks for an order of everything that was answered, with whatever else helps, in at most `steps`, which are counted
    /// down.
    pub(super) fn find(&mut self, steps: &mut u64) -> Outcome {
        self.run(steps, |_| true)
    }

    /// All ways in which things can stand when everything answered has its place; nothing if the steps ran out.
    pub(super) fn ends(&mut self, steps: &mut u64) -> Option<Vec<Standing<'a, M>>> {
        let mut ends = Vec::new();
        let outcome = self.run(steps, |search| {
            let left = (search.answered..search.operations.len())
                .filter(|at| !search.placed.contains(Placed::bit(*at, search.answered)));
            ends.push(Standing {
                state: search.state.clone(),
                left: left.map(|at| search.operations[at]).collect(),
            });
            false
        });
        (outcome == Outcome::Impossible).then_some(ends)
    }

    /// Goes through all orders until `enough` says that one will do.
    fn run(&mut self, steps: &mut u64, mut enough: impl FnMut(&Self) -> bool) -> Outcome {
        let mut entry = self.next[HEAD];
        loop {
            if self.is_complete() {
                if enough(self) {
                    return Outcome::Ordered;
                }
                match self.take_back() {
                    Some(next) => entry = next,
                    None => return Outcome::Impossible,
                }
            }
            entry = match self.marks[entry] {
                Mark::Call(at) => {
                    if *steps == 0 {
                        return Outcome::Undecided;
                    }
                    *steps -= 1;
                    if self.place(entry, at) {
                        self.next[HEAD]
                    } else {
                        self.next[entry]
                    }
                }
                Mark::Answer if flawed(Flaw::IgnoreRealTime) => self.next[entry],
                Mark::Answer | Mark::Head => match self.take_back() {
                    Some(next) => next,
                    None => return Outcome::Impossible,
                },
            };
        }
    }

    fn is_complete(&self) -> bool {
        self.open == 0 && (!flawed(Flaw::DemandUnknown) || self.next[HEAD] == HEAD)
    }

    /// Gives the operation the next place, if it fits and leads to something new.
    fn place(&mut self, entry: usize, at: usize) -> bool {
        let operation = self.operations[at];
        let reply = operation.reply().filter(|_| !flawed(Flaw::IgnoreReplies));
        let Some(after) = M::step(&self.state, &operation.op, reply) else {
            return false;
        };
        let idle = after == self.state;
        if idle && operation.answered.is_none() && !flawed(Flaw::PlaceUnknownAtOnce) && !flawed(Flaw::DemandUnknown) {
            // It may as well have happened later, or never.
            return false;
        }
        let bit = Placed::bit(at, self.answered);
        self.placed.insert(bit);
        // A known operation that changes nothing stands in nobody's way: no order is lost by placing it now.
        let at_once = idle || flawed(Flaw::PlaceWritesAtOnce);
        if !at_once && !self.enter(&after) {
            self.placed.remove(bit);
            return false;
        }
        self.take_out(entry);
        if let Some(answer) = self.answers[at] {
            self.take_out(answer);
            self.open -= 1;
        }
        let before = std::mem::replace(&mut self.state, after);
        self.choices.push(Choice { entry, before, at_once });
        true
    }

    /// Whether this state with these operations placed is new.
    fn enter(&mut self, state: &M::State) -> bool {
        let placed = if flawed(Flaw::ForgetPlaced) {
            Box::default()
        } else {
            self.placed.key()
        };
        let state = if flawed(Flaw::ForgetState) {
            M::State::default()
        } else {
            state.clone()
        };
        self.entered.insert((placed, state))
    }

    /// Takes back the last choice that had an alternative; where to look for it.
    fn take_back(&mut self) -> Option<usize> {
        loop {
            let choice = self.choices.pop().filter(|_| !flawed(Flaw::NeverBacktrack))?;
            let Mark::Call(at) = self.marks[choice.entry] else {
                unreachable!("only calls are chosen")
            };
            if let Some(answer) = self.answers[at] {
                self.put_back(answer);
                self.open += 1;
            }
            self.put_back(choice.entry);
            self.placed.remove(Placed::bit(at, self.answered));
            if !flawed(Flaw::KeepState) {
                self.state = choice.before;
            }
            if !choice.at_once {
                return Some(self.next[choice.entry]);
            }
        }
    }

    fn take_out(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn put_back(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = entry;
        self.previous[next] = entry;
    }
}

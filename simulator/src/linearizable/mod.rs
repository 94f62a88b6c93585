//! Linearizability from the outside: what clients saw, and nothing else.
//!
//! A [`History`] holds what clients asked, what they were told, and when. It is linearizable (Herlihy and Wing, 1990) if
//! every operation can be given one moment between its call and its reply so that the replies are those of a single
//! copy of the data. The property is local: a history is linearizable if and only if each key's part of it is, so keys are
//! judged one by one.
//!
//! For one key the search is Wing and Gong's (1993), as Lowe (2017) made it fast: operations that may come next are tried
//! in the order of their calls, and a pair (operations placed, state reached) is never entered twice. An operation that
//! changes nothing and fits is placed at once: it never hurts. What a data type does is said by a [`Model`]; there is one
//! for registers with transactions ([`register`]) and one for lists ([`list`]), which shows what was done twice or lost.
//!
//! An operation with an unknown outcome returns at infinity: it may take effect at any later moment, or never. Unknown
//! reads say nothing and are left out; so is what was certainly refused. The search is exponential at worst, so it has a
//! limit of steps; a key that exceeds it is [`Undecided`](Verdict::Undecided), which is reported and is not a pass.
//!
//! The witness by slot ([`crate::Property::RealTime`]) judges histories of any size but believes the slots that replies
//! carry. This one believes nobody.
//!
//! | room | what is there |
//! |---|---|
//! | `history` | operations, and how a run records them |
//! | `model`, `register`, `list` | what operations mean |
//! | `search`, `placed` | whether there is an order |
//! | `window` | the smallest piece of a history that has none |
//! | `check` | all keys of a history |
//! | `flaw` | the search made wrong on purpose, for its own tests |
//!
//! What is not here: operations on several keys at once (the key must be the whole state), and revisions, which all keys
//! share; the witness checks those.

mod check;
mod flaw;
mod history;
pub mod list;
mod model;
mod placed;
pub mod register;
mod search;
#[cfg(test)]
mod tests;
mod window;

pub use check::{Report, Verdict, check};
pub use history::{Call, History, Operation};
pub use model::Model;
pub use window::Window;

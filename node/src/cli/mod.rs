//! # Command line: what an operator types
//!
//! One file per subcommand, each with a clap `Args` and a `run`. A command checks everything it can before it changes
//! anything, and says in a sentence what is wrong.

pub mod certs;

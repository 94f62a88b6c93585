//! What a node remembers.

pub mod machine;
pub mod tables;

//! What a node remembers.

pub mod machine;

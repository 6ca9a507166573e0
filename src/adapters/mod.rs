//! The real world, one file per facility, and the pretend one.

pub mod pretend;

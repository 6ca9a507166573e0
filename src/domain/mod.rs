//! What is decided. Pure: no runtime, no clock, no process, no file, no environment, no randomness.
//! Every decision is a function of its arguments, and `now` is one of them.

pub mod calendar;
pub mod notice;
pub mod outcome;
pub mod script;
pub mod time;
pub mod timeline;

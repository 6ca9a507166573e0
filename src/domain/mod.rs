//! What is decided. Pure: no runtime, no clock, no process, no file, no environment, no randomness.
//! Every decision is a function of its arguments, and `now` is one of them.

pub mod alert;
pub mod attempt;
pub mod calendar;
pub mod dependency;
pub mod health;
pub mod lifecycle;
pub mod limits;
pub mod notice;
pub mod operator;
pub mod outcome;
pub mod record;
pub mod reload;
pub mod restart;
pub mod retention;
pub mod script;
pub mod secret;
pub mod status;
pub mod time;
pub mod timeline;
pub mod tree;

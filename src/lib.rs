#![doc = include_str!("../README.md")]
//!
//! # The house
//!
//! Layers are folders. What is decided: [`domain`]. Who decides when: [`actors`]. What touches the world: [`adapters`].
//! One rule carries the design: **decisions are pure functions that take `now`; only adapters touch clocks, processes, files and sockets.**
//!
//! ```text
//! guard ── daemon: Root ─┬─ MarketClock     owns the timeline; the only one who knows wall time
//!                        ├─ ScriptWorker ×N one per script: drives lifecycle::step, owns its attempt and its timers
//!                        └─ Recorder        the single writer of the journal
//! ```
//!
//! [`config`] turns text into domain types, [`ports`] is what the actors ask of the world, [`app`] puts all together, [`cli`] has a file for
//! each verb, [`alerts`] are the channels by which people are told,
//! [`control`] is the API and the client that the verbs use, [`guard`] is the outer process that sees to it that nothing outlives
//! the daemon, and [`testkit`] builds the tree on a pretend world, where a whole day is a test of milliseconds.

pub mod actors;
pub mod adapters;
pub mod alerts;
pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod domain;
pub mod guard;
pub mod ports;
pub mod testkit;

//! Market Hours Orchestrator.
pub mod cli;
pub mod domain;
pub mod ports;

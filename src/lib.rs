//! Market Hours Orchestrator.
pub mod config;
pub mod domain;
pub mod ports;

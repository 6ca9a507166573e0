//! Market Hours Orchestrator.
pub mod domain;
pub mod ports;

//! Market Hours Orchestrator.
pub mod adapters;
pub mod domain;
pub mod guard;
pub mod ports;

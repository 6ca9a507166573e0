//! Market Hours Orchestrator.
pub mod actors;
pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod guard;
pub mod ports;
pub mod testkit;

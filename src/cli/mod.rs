//! The verbs, one file each.

pub mod calendar;
pub mod check;
pub mod init;

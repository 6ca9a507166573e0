//! Configuration: four layers (built-in < file < environment < flags) become domain types, or a list of all faults with their places.
//!
//! The `config` crate merges the layers; each value carries its origin as text (`file:line`, the variable, the flag). A walk over the
//! merged tree then reads every key by the schema of the documentation. Nothing stops at the first fault. Files and the environment
//! are read here, at load, and nowhere later. What is not decided here: whether programs exist and may be executed; that is looked at
//! by `mho check`, and at each start.

mod alert;
mod builtin;
mod calendars;
mod command;
mod dated;
mod fault;
mod file;
mod graph;
mod health;
mod layers;
mod limits;
mod load;
mod node;
mod overrides;
mod places;
mod replace;
mod script;
mod section;
mod settings;
mod sources;
mod traps;
mod values;

pub use alert::Alerts;
pub(crate) use command::script_file;
pub use dated::{OverrideNote, data_end_warnings, horizon_warnings, override_notes, override_warnings};
pub(crate) use fault::nearest;
pub use fault::{Bad, Fault, Origin, Place};
pub use load::{Examined, examine, load};
pub use overrides::digest as overrides_digest;
pub use places::{Places, places};
pub use settings::{Loaded, LogFormat, LogLevel, Orchestrator, Settings};
pub use sources::{Flags, Purpose, SHIPPED, Sources};

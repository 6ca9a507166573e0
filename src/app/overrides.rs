//! The file of overrides for the command line: what a change of it comes to is decided there, how it is written is the adapter's.

pub use crate::adapters::overrides_file::{
    FileError as OverridesFileError, TextError as OverridesTextError, append as append_override,
    edit as edit_overrides, is_same_file, remove as remove_overrides, replace as replace_override,
};

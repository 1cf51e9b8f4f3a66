//! Kernel settings of the calling thread's network namespace.

use crate::error::{Result, at};
use std::fs;
use std::path::PathBuf;

/// Sets each `name = value`; names are paths below `/proc/sys/net`.
pub(crate) fn set_all(settings: &[(&str, &str)]) -> Result<()> {
    settings.iter().try_for_each(|(name, value)| set(name, value))
}

/// Sets one value.
pub(crate) fn set(name: &str, value: &str) -> Result<()> {
    let path = path_of(name);
    fs::write(&path, value).map_err(at("write", &path))
}

/// Reads one value, without the line end.
pub(crate) fn get(name: &str) -> Result<String> {
    let path = path_of(name);
    fs::read_to_string(&path).map(|text| text.trim().to_owned()).map_err(at("read", &path))
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(name)
}

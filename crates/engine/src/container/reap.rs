//! Removing what a lost shim has left: cgroups, and processes that may still be in them.

use crate::cgroup::{Hierarchies, remove_everywhere};
use crate::error::EngineError;

/// First part of every cgroup of ours; nothing else is ever removed.
const OURS: &str = "dormouse-";

/// Kills what is in the cgroup `name` and below, and removes it from every hierarchy. Nothing there
/// is fine.
///
/// # Errors
/// [`EngineError::Namespace`] for a name that is not ours; [`EngineError::Cgroup`] when something
/// is left.
pub fn reap(name: &str) -> Result<(), EngineError> {
    let is_plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !name.starts_with(OURS) || !is_plain {
        return Err(EngineError::Namespace {
            action: format!("remove the cgroup `{name}`: it is none of ours"),
            source: std::io::ErrorKind::InvalidInput.into(),
        });
    }
    remove_everywhere(&Hierarchies::detect()?, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_cgroups_are_removed() {
        for name in ["system.slice", "dormouse-1/../../x", "", "dormouse-1//x", "/dormouse-1"] {
            assert!(reap(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_cgroup_that_is_not_there_is_fine() {
        reap("dormouse-never-made/machine").unwrap();
    }
}

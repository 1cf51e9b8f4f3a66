//! Events of an app's machines.

use super::machine::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened to a machine, and to which.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineEvent {
    /// The machine.
    pub machine_id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

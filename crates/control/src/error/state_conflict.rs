//! Why a request makes no sense in a machine's present state.

use model::admit::Asked;

/// A row of the table "what each call does in each state". Source: docs/states.md, machines-api 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateConflict {
    /// Starting something that starts.
    StillStarting,
    /// Starting or updating while an update is being applied.
    BeingReplaced,
    /// The machine is destroyed.
    Gone,
    /// Restarting something that is on its way elsewhere.
    InTransition,
    /// Destroying something that runs.
    NotStopped,
    /// Asking the program of a machine that does not run.
    NotRunning,
    /// Any other mismatch with a state that passes by itself.
    Passing,
    /// Any other mismatch with a state that stays.
    Lasting,
    /// The host reported something that cannot be: a mistake of ours.
    Report,
}

impl StateConflict {
    /// What is wrong with asking for `asked` in `state` (its API name).
    #[must_use]
    pub fn of(state: &str, asked: Asked) -> Self {
        match (asked, state) {
            (Asked::Start, "starting" | "restarting") => Self::StillStarting,
            (Asked::Start | Asked::Update, "replacing") => Self::BeingReplaced,
            (Asked::Start, _) => Self::wrong(state),
            (Asked::Report, _) => Self::Report,
            (_, "destroyed") => Self::Gone,
            (Asked::Restart, "starting" | "stopping" | "suspending" | "restarting") => {
                Self::InTransition
            }
            (Asked::Destroy, _) => Self::NotStopped,
            (Asked::Guest, _) => Self::NotRunning,
            (Asked::Stop | Asked::Suspend | Asked::Restart | Asked::Update, _) => {
                Self::wrong(state)
            }
        }
    }

    fn wrong(state: &str) -> Self {
        match state {
            "created" | "starting" | "stopping" | "restarting" | "suspending" | "replacing" => {
                Self::Passing
            }
            _ => Self::Lasting,
        }
    }
}

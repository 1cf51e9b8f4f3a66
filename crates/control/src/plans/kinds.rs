//! The kinds of plans: what asks for them, their steps, their ends.

use crate::machine::PlanEnd;
use model::{Effect, State};
use store::PlanKind;

/// The kind of plan that an effect of a step to `state` stands for.
pub(crate) const fn plan_of(effect: &Effect, state: &State) -> Option<PlanKind> {
    match (effect, state) {
        (Effect::Prepare, State::Creating { .. }) => Some(PlanKind::Create),
        (Effect::Prepare, _) => Some(PlanKind::Update),
        (Effect::Remove, _) => Some(PlanKind::Destroy),
        (
            Effect::Launch(_)
            | Effect::Stop { .. }
            | Effect::Kill { .. }
            | Effect::Sleep { .. }
            | Effect::Wake { .. }
            | Effect::NotifyRest { .. }
            | Effect::Release(_)
            | Effect::WakeOwed { .. }
            | Effect::Arm { .. }
            | Effect::Disarm(_),
            _,
        ) => None,
    }
}

/// The steps of a plan, in order.
pub(super) fn steps_of(kind: PlanKind) -> Vec<String> {
    let names: &[&str] = match kind {
        PlanKind::Create => &["image", "disk"],
        PlanKind::Update => &["image", "keep", "disk"],
        PlanKind::Destroy => &["leftovers", "disk", "references"],
        PlanKind::Suspend
        | PlanKind::Checkpoint
        | PlanKind::Fork
        | PlanKind::Import
        | PlanKind::Export => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The kind as one word, for step names.
pub(super) const fn word(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::Create => "create",
        PlanKind::Update => "update",
        PlanKind::Destroy => "destroy",
        PlanKind::Suspend => "suspend",
        PlanKind::Checkpoint => "checkpoint",
        PlanKind::Fork => "fork",
        PlanKind::Import => "import",
        PlanKind::Export => "export",
    }
}

/// What the machine hears when a plan of this kind is done.
pub(super) const fn end_of(kind: PlanKind) -> PlanEnd {
    match kind {
        PlanKind::Destroy => PlanEnd::Removed,
        PlanKind::Create
        | PlanKind::Update
        | PlanKind::Suspend
        | PlanKind::Checkpoint
        | PlanKind::Fork
        | PlanKind::Import
        | PlanKind::Export => PlanEnd::Prepared,
    }
}

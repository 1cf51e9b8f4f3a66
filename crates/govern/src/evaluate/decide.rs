//! Who prevails: wake before rest before nothing, each behind its gates.

use crate::verdict::{Candidate, Lost, Source, Stance};
use model::Depth;
use model::admit::gates::Shut;
use policy::Effect;

/// The gates that are shut now, as far as governance knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shuts {
    /// For a wake that would begin a run.
    pub(crate) wake: Option<Shut>,
    /// For a rest.
    pub(crate) rest: Option<Shut>,
}

/// Decides one thing, and tells everybody else why not they.
///
/// The order is that of the design: safety and hold-down and deny are gates of the model, holds shut
/// the gate for rests, and of the rest a wake comes before a rest. A rest that the machine itself
/// asked for meets no gate here: it is a call, and calls meet the lease alone.
pub(crate) fn decide(mut wanted: Vec<Candidate>, shuts: &Shuts) -> (Stance, Vec<Candidate>) {
    let stance = stance(&wanted, shuts);
    for candidate in &mut wanted {
        candidate.lost = lost(candidate, &stance);
    }
    (stance, wanted)
}

fn stance(wanted: &[Candidate], shuts: &Shuts) -> Stance {
    let live = || wanted.iter().filter(|candidate| !candidate.is_muted);
    if let Some(wake) = live().find(|candidate| candidate.effect == Effect::Wake) {
        let by = wake.source.clone();
        return match &shuts.wake {
            None => Stance::Up { by },
            Some(shut) => Stance::Owed { by, gate: shut.gate, gate_by: shut.by.clone() },
        };
    }
    if let Some((rest, depth)) = deepest(wanted) {
        let by = rest.source.clone();
        let is_own_word = matches!(rest.source, Source::RestUntil(_));
        return match shuts.rest.as_ref().filter(|_| !is_own_word) {
            None => Stance::Down { by, depth },
            Some(shut) => Stance::Kept { by, gate: shut.gate, gate_by: shut.by.clone() },
        };
    }
    let hold = live().find(|candidate| candidate.effect == Effect::Hold);
    hold.map_or(Stance::Stay, |hold| Stance::Held { by: hold.source.clone() })
}

/// The machine's own word, else the deepest rest; of equals the first.
fn deepest(wanted: &[Candidate]) -> Option<(&Candidate, Depth)> {
    let rests = wanted.iter().filter_map(|candidate| Some((candidate, candidate.depth?)));
    let rank = |candidate: &Candidate, depth: Depth| {
        (
            matches!(candidate.source, Source::RestUntil(_)),
            candidate.effect == Effect::Retire,
            depth,
        )
    };
    rests.rev().max_by_key(|(candidate, depth)| rank(candidate, *depth))
}

fn lost(candidate: &Candidate, stance: &Stance) -> Option<Lost> {
    if candidate.is_muted {
        return Some(Lost::Muted);
    }
    let (winner, shut) = match stance {
        Stance::Up { by } | Stance::Down { by, .. } | Stance::Held { by } => (by, None),
        Stance::Owed { by, gate, .. } | Stance::Kept { by, gate, .. } => (by, Some(*gate)),
        Stance::Stay => return None,
    };
    let is_winner = candidate.source == *winner;
    let wants_change = matches!(candidate.effect, Effect::Wake | Effect::Rest | Effect::Retire);
    match shut {
        Some(gate) if is_winner => Some(Lost::Shut(gate)),
        None if is_winner => None,
        _ => wants_change.then(|| Lost::To(winner.clone())),
    }
}

/// The depth that an engine can do: suspend falls to freeze, then to stop. Source: design, section 5.
pub(crate) const fn fitted(wanted: Depth, can_freeze: bool, can_suspend: bool) -> Depth {
    match wanted {
        Depth::Suspend if can_suspend => Depth::Suspend,
        Depth::Freeze | Depth::Suspend if can_freeze => Depth::Freeze,
        Depth::Freeze | Depth::Suspend | Depth::Stop => Depth::Stop,
    }
}

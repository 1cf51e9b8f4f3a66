//! Whether a machine that sleeps is to sleep deeper some day, by a setting of its configuration.

use model::State;
use model::spec::deepen::Deepen;

/// Whether time alone brings it deeper from this state. That is stored with its self, in the step
/// that puts it to sleep: then every start of control has it evaluated.
pub(in crate::machine) fn deepens_later(deepen: Option<Deepen>, state: &State) -> bool {
    let (State::Suspending { depth, .. } | State::Suspended { depth, .. }) = state else {
        return false;
    };
    deepen.is_some_and(|deepen| deepen.steps().any(|(deeper, _)| *depth < deeper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BootId, Depth, DurationMs, Run, RunId, UnixMs};

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    #[track_caller]
    fn check(suspends: bool, stops: bool, depth: Depth, expected: bool) {
        let after = DurationMs::from_secs(60);
        let deepen = Deepen {
            suspend_after: suspends.then_some(after),
            stop_after: stops.then_some(DurationMs::from_secs(120)),
        };
        let boot: BootId = "00000000-0000-4000-8000-000000000000".parse().expect("an id");
        let id = RunId::new(NOW, [1; 10]);
        let run = Run { id, slot: None, boot, accepted_at: NOW, started_at: Some(NOW) };
        let (since, cause) = (NOW, None);
        let state = State::Suspended { run, depth, since, ram_bytes: 0, cause, wake: None };
        assert_eq!(deepens_later(Some(deepen), &state), expected);
        assert!(!deepens_later(None, &state));
        assert!(!deepens_later(Some(deepen), &State::Stopped { since, exit: None }));
    }

    #[test]
    fn only_a_sleep_that_is_not_the_deepest_yet_is_looked_after() {
        check(true, true, Depth::Freeze, true);
        check(true, false, Depth::Freeze, true);
        check(false, true, Depth::Freeze, true);
        check(true, true, Depth::Suspend, true);
        check(true, false, Depth::Suspend, false);
        check(false, false, Depth::Freeze, false);
    }
}

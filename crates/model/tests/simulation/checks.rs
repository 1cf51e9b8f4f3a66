//! What must hold at every moment of every history.

use crate::shell::Item;
use model::{Effect, Event, Machine, Next, State, UnixMs, Want, validate};
use std::mem::discriminant;

/// Longest time, in milliseconds, that a machine may stay in one transient state while its daemon
/// is up and can write.
///
/// The longest plan takes three tries of ten minutes; a kill that does not help is repeated after
/// 10, 20, 40 … seconds, and three in a hundred do not help. Twice that, for clocks that jump.
const TRANSIENT_MAX_MS: u64 = 3_600_000;

/// Longest time that an owed wake may go without being brought to the gates.
///
/// An hour at most; it begins again when the daemon comes back under a clock that went back, and
/// three times in a row is as much bad luck as a history has.
const OWED_MAX_MS: u64 = 4 * 3_600_000;

#[derive(Debug, Default)]
pub(crate) struct Checks {
    last_look: u64,
    /// Time without excuse in this transient state.
    stuck_ms: u64,
    /// Time without excuse since the owed wake was last brought to the gates.
    owed_ms: u64,
    /// A wake was admitted, and nothing has taken it back or fulfilled it.
    wake_is_due: bool,
}

impl Checks {
    /// Time has passed in the state of `machine`; the daemon was able to act, or not.
    pub(crate) fn time_passed(&mut self, elapsed: u64, machine: &Machine, is_able: bool) {
        let passed = elapsed - self.last_look;
        self.last_look = elapsed;
        if machine.state.is_settled() {
            self.stuck_ms = 0;
        } else if is_able {
            self.stuck_ms += passed;
            assert!(self.stuck_ms < TRANSIENT_MAX_MS, "stuck in {machine:?}");
        }
        if machine.owed.is_none() {
            self.owed_ms = 0;
        } else if is_able {
            self.owed_ms += passed;
            assert!(self.owed_ms < OWED_MAX_MS, "a wake is owed and forgotten: {machine:?}");
        }
    }

    /// At each commit.
    pub(crate) fn stored(&mut self, before: &Machine, event: &Event, next: &Next, now: UnixMs) {
        let after = &next.machine;
        assert_eq!(validate(after), Ok(()), "{event:?} at {now:?} in {before:?}");
        assert!(after.revision - before.revision <= 1, "one revision per commit");
        let is_tried = next.effects.iter().any(|effect| matches!(effect, Effect::WakeOwed { .. }));
        if is_tried || matches!(event, Event::Owe { .. }) {
            self.owed_ms = 0;
        }
        if discriminant(&before.state) != discriminant(&after.state) {
            self.stuck_ms = 0;
        }
        match event {
            Event::Want { want: Want::Up, .. } | Event::Restart { .. } | Event::Owe { .. } => {
                self.wake_is_due = true;
            }
            Event::Forgive => self.wake_is_due &= before.state.leads_up(),
            Event::Want { want: Want::Down(_), .. }
            | Event::HoldDown { .. }
            | Event::Destroy { .. }
            | Event::Update { .. } => self.wake_is_due = false,
            _ => {}
        }
        match after.state {
            State::Starting { .. } | State::Started { .. } | State::Failed { .. } => {
                self.wake_is_due = false;
            }
            _ if after.state.is_going_away() => self.wake_is_due = false,
            _ => {}
        }
        let is_remembered = after.state.leads_up() || after.owed.is_some();
        assert!(!self.wake_is_due || is_remembered, "a lost wake: {event:?} led to {after:?}");
    }

    /// When nothing is on its way, the world is as the store says.
    pub(crate) fn settled<'a>(
        &self,
        machine: &Machine,
        is_alive: bool,
        mut items: impl Iterator<Item = &'a Item>,
    ) {
        let is_busy = items.any(|item| matches!(item, Item::Deed(_) | Item::Report { .. }));
        if is_busy || !machine.state.is_settled() {
            return;
        }
        let should_live = machine.state.run().is_some();
        assert_eq!(is_alive, should_live, "the world differs from {machine:?}");
    }
}

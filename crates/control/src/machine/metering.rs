//! What a step changes in the meter: an interval opens when the program runs and closes when the run
//! ended, as its shim wrote it down.

use super::task::Task;
use model::{Event, Exit, RunId, State, UnixMs};
use store::{MachineRecord, MeterInterval, StoreError, Tx};

/// What a step changes in the meter.
#[derive(Clone, Debug)]
pub(super) enum Metering {
    Same,
    Opens(MeterInterval),
    Closes { run: RunId, to: UnixMs, cpu_us: u64 },
}

impl Metering {
    pub(super) fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        match self {
            Self::Same => Ok(()),
            Self::Opens(interval) => tx.open_interval(interval),
            Self::Closes { run, to, cpu_us } => tx.close_interval(run, *to, *cpu_us),
        }
    }
}

impl Task {
    /// What the step from `event` to `after` changes in the meter of a machine of this size. Seconds
    /// end with the run, not when this process hears of it.
    pub(super) fn metering(
        &self,
        event: &Event,
        after: &State,
        sized: &MachineRecord,
        now: UnixMs,
    ) -> Metering {
        let before = &self.record.machine.state;
        let exit = exit_of(event);
        match (is_metered(before), is_metered(after), before.run(), after.run()) {
            (false, true, _, Some(run)) => {
                let is_new_run = matches!(before, State::Starting { .. });
                let from = run.started_at.filter(|_| is_new_run).unwrap_or(now);
                Metering::Opens(self.interval(&run.id, sized, from))
            }
            (true, false, Some(run), _) => Metering::Closes {
                run: run.id.clone(),
                to: exit.map_or(now, |exit| exit.exited_at),
                cpu_us: self.run_cpu_us,
            },
            // It ended before its start was heard of.
            (false, false, Some(run), _) if matches!(before, State::Starting { .. }) => {
                match exit.and_then(|exit| Some((exit.started_at?, exit.exited_at))) {
                    Some((from, to)) => Metering::Opens(MeterInterval {
                        to: Some(to.max(from)),
                        cpu_us: self.run_cpu_us,
                        ..self.interval(&run.id, sized, from)
                    }),
                    None => Metering::Same,
                }
            }
            _ => Metering::Same,
        }
    }

    fn interval(&self, run: &RunId, sized: &MachineRecord, from: UnixMs) -> MeterInterval {
        MeterInterval {
            machine: self.id.clone(),
            app: sized.app.clone(),
            run: run.clone(),
            from,
            to: None,
            cpus: sized.spec.guest.cpus,
            memory_mib: sized.spec.guest.memory_mib,
            cpu_us: 0,
        }
    }
}

const fn exit_of(event: &Event) -> Option<&Exit> {
    match event {
        Event::RunExited { exit, .. } => Some(exit),
        _ => None,
    }
}

/// Whether seconds count in this state. Source: design, section 4, "Metering".
const fn is_metered(state: &State) -> bool {
    match state {
        State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Suspending { .. } => true,
        State::Updating { run, .. } | State::Destroying { run, .. } => run.is_some(),
        State::Creating { .. }
        | State::Starting { .. }
        | State::Stopped { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => false,
    }
}

//! What the services of a machine say about visitors who stay away, or who need fewer machines.

use super::ram;
use govern::view::Autostop;
use model::spec::service;
use model::{Depth, DurationMs, UnixMs};
use store::MachineRecord;

/// Idleness before autostop acts, when the service does not say.
const IDLE_TIMEOUT: DurationMs = DurationMs::from_secs(300);

/// Whether any service puts the machine to rest.
pub(super) fn is_on(record: &MachineRecord) -> bool {
    record.spec.services.iter().any(|service| service.autostop != service::Autostop::Off)
}

/// What the services say together: the most patient one counts, and the shallowest rest. Where the
/// host's RAM is short, nothing that would keep it sleeps with its own. Source: design, section 5, "falls
/// to freeze, then stop".
pub(super) fn of(
    record: &MachineRecord,
    gone_at: Option<UnixMs>,
    surplus_since: Option<UnixMs>,
) -> Option<Autostop> {
    let services = record.spec.services.iter();
    let rests = services.filter_map(|service| {
        let depth = match service.autostop {
            service::Autostop::Off => return None,
            service::Autostop::Stop => Depth::Stop,
            service::Autostop::Suspend => Depth::Suspend,
        };
        Some((service.idle_timeout.unwrap_or(IDLE_TIMEOUT), depth))
    });
    let (after, depth) = rests.reduce(|(after, depth), (a, d)| (after.max(a), depth.min(d)))?;
    let would_keep_ram = depth == Depth::Suspend && !record.spec.engine.can_suspend();
    let depth = if would_keep_ram && ram::is_short() { Depth::Stop } else { depth };
    Some(Autostop { after, depth, gone_at, surplus_since })
}

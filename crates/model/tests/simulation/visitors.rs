//! Who comes by, what they want, and how the gates stand at that moment.

use crate::chance::Chance;
use model::admit::{GateFacts, LeaseHeld};
use model::{Call, Cause, Depth, DurationMs, Machine, PerMille, State, UnixMs, Want};

#[derive(Debug)]
pub(crate) enum Wish {
    Want(Want, Cause),
    Call(Call),
    HoldDown(bool),
    /// Nobody wants it up by governance any more.
    Forgive,
}

pub(crate) fn api() -> Cause {
    Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None }
}

fn pressure() -> Cause {
    let (free, within) = (PerMille(49), DurationMs(200));
    Cause::DiskPressure { free, wrote_bytes: 1 << 30, within }
}

pub(crate) fn wish(chance: &mut Chance) -> Wish {
    let depth = match chance.below(3) {
        0 => Depth::Freeze,
        1 => Depth::Suspend,
        _ => Depth::Stop,
    };
    match chance.below(1_000) {
        0..200 => Wish::Want(Want::Up, api()),
        200..350 => Wish::Want(Want::Up, Cause::knock()),
        350..450 => Wish::Want(Want::Up, Cause::Message),
        450..500 => Wish::Want(Want::Up, Cause::Alarm { alarm: "night".to_owned() }),
        500..700 => Wish::Want(Want::Down(depth), api()),
        700..850 => Wish::Want(Want::Down(depth), Cause::idle()),
        850..855 => Wish::Want(Want::Down(Depth::Freeze), pressure()),
        855..860 => Wish::Want(Want::Up, Cause::DiskRoom { free: PerMille(70) }),
        860..880 => Wish::Want(Want::Down(depth), Cause::Rule { rule: "drained".to_owned() }),
        880..940 => Wish::Call(Call::Restart),
        940..970 => Wish::Call(Call::Update),
        970..980 => Wish::HoldDown(true),
        980..995 => Wish::HoldDown(false),
        995..997 => Wish::Forgive,
        997..999 => Wish::Call(Call::Destroy),
        _ => Wish::Call(Call::ForceDestroy),
    }
}

pub(crate) fn facts(
    chance: &mut Chance,
    now: UnixMs,
    machine: &Machine,
    rested_at: Option<UnixMs>,
) -> GateFacts {
    let started_at = match &machine.state {
        State::Started { run } => run.started_at,
        _ => None,
    };
    let soon = now.plus(DurationMs(chance.around(120_000)));
    GateFacts {
        lease: chance
            .percent(4)
            .then(|| LeaseHeld { owner: "somebody".to_owned(), expires_at: soon }),
        disk_pressure: chance.percent(5).then_some(PerMille(49)),
        no_capacity: chance.percent(3).then(|| "no RAM left".to_owned()),
        deny_wake: chance.percent(5).then(|| "budget".to_owned()),
        deny_rest: chance.percent(5).then(|| "duty".to_owned()),
        hold: chance.percent(10).then(|| "work".to_owned()),
        autostart_off: chance.percent(2),
        rested_at,
        started_at,
        wakes_last_hour: u32::try_from(chance.below(22)).expect("below 22"),
        budget_grows_at: chance.percent(50).then_some(soon),
        breaker_until: chance.percent(3).then_some(soon),
        no_progress_until: chance.percent(3).then_some(soon),
        no_rest_permit: chance.percent(3),
        can_freeze: true,
        can_suspend: false,
    }
}

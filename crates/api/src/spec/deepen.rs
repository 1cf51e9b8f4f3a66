//! When a machine sleeps deeper: from the wire to what the governor works with.

use crate::contract::GoDuration;
use crate::contract::config as wire;
use crate::problem::Problem;
use model::DurationMs;
use model::spec::deepen::{DEEPEN_MAX, DEEPEN_MIN, Deepen};

/// The setting of a configuration; `None` when it asks for nothing.
///
/// # Errors
/// 400 `invalid_deepen` with the path of the field.
pub(super) fn deepen(wire: Option<&wire::Deepen>) -> Result<Option<Deepen>, Problem> {
    let Some(wire) = wire else { return Ok(None) };
    let suspend_after = age("config.deepen.suspend_after", wire.suspend_after)?;
    let stop_after = age("config.deepen.stop_after", wire.stop_after)?;
    if suspend_after.zip(stop_after).is_some_and(|(suspend, stop)| stop <= suspend) {
        let message = "config.deepen.stop_after is not longer than suspend_after";
        return Err(invalid(
            message,
            "both count from the moment it fell asleep; leave one out to skip that depth",
        ));
    }
    let deepen = Deepen { suspend_after, stop_after };
    Ok((deepen != Deepen::default()).then_some(deepen))
}

fn age(place: &str, wish: Option<GoDuration>) -> Result<Option<DurationMs>, Problem> {
    let Some(wish) = wish else { return Ok(None) };
    let after = wish.to_ms();
    if wish.0 < 0 || after < DEEPEN_MIN || DEEPEN_MAX < after {
        let message = format!("{place} {wish} is not between 1s and 8760h");
        return Err(invalid(&message, "write it like `10m` or `168h`, or leave it out for never"));
    }
    Ok(Some(after))
}

fn invalid(message: &str, hint: &str) -> Problem {
    Problem::invalid("invalid_deepen", message).hint(hint)
}

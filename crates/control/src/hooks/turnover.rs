//! How a secret is changed while both sides are at work: the new one counts at once, and the old one
//! until whoever holds it has had time to change over.
//!
//! The same for both directions: what an app sends is signed with every secret that counts, and what
//! is posted to a hook may be signed with any of them.
//!
//! Source: the Standard Webhooks specification 1.0, "Zero downtime secret rotation".

use crate::error::ControlError;
use model::{DurationMs, UnixMs};
use store::OldSecret;

/// How long an old secret still counts unless somebody says otherwise: long enough for a person who
/// reads of it on the next day.
pub const OVERLAP: DurationMs = DurationMs::from_secs(24 * 3600);

/// Longest time for which an old secret may count: one that is never given up was never changed.
pub const OVERLAP_MAX: DurationMs = DurationMs::from_secs(30 * 24 * 3600);

/// Old secrets that may count at once: a change, one that was begun before it was over, and one whose
/// answer never came. With the new one they fit into what a receiver looks at.
pub const OLD_SECRETS_MAX: usize = 3;

/// A secret that was replaced and still counts, without what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// When it counts no more.
    pub until: UnixMs,
}

/// Why a secret cannot be changed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Hindrance {
    /// The overlap is out of range.
    #[error("`overlap` is at most 30 days")]
    TooLong,
    /// Too many changes are under way.
    #[error("{OLD_SECRETS_MAX} old secrets still count")]
    TooMany,
    /// It is not another one.
    #[error("this secret counts already")]
    Same,
}

/// Of `old` those that count at `now`.
pub(crate) fn counting(mut old: Vec<OldSecret>, now: UnixMs) -> Vec<OldSecret> {
    old.retain(|old| now < old.until);
    old
}

/// What is known of them without their secrets.
pub(crate) fn shown(old: &[OldSecret]) -> Vec<Retiring> {
    old.iter().map(|old| Retiring { until: old.until }).collect()
}

/// The old secrets after `new` has taken the place of `current` at `now`. An `overlap` of nothing
/// ends them all: somebody else knows one.
///
/// # Errors
/// [`Hindrance`]; nothing is changed then.
pub(crate) fn turn_over(
    current: Option<String>,
    old: Vec<OldSecret>,
    new: &str,
    overlap: DurationMs,
    now: UnixMs,
) -> Result<Vec<OldSecret>, Hindrance> {
    if overlap > OVERLAP_MAX {
        return Err(Hindrance::TooLong);
    }
    if current.as_deref() == Some(new) {
        return Err(Hindrance::Same);
    }
    if overlap == DurationMs(0) {
        return Ok(Vec::new());
    }
    let mut old = counting(old, now);
    if old.iter().any(|old| old.secret == new) {
        return Err(Hindrance::Same);
    }
    old.extend(current.map(|secret| OldSecret { secret, until: now.plus(overlap) }));
    if old.len() > OLD_SECRETS_MAX {
        return Err(Hindrance::TooMany);
    }
    Ok(old)
}

impl From<Hindrance> for ControlError {
    fn from(why: Hindrance) -> Self {
        let message = why.to_string();
        match why {
            Hindrance::TooLong => Self::Invalid {
                code: "invalid_overlap",
                message,
                hint: "send a length of time such as `24h`; `0s` ends the old secret at once"
                    .to_owned(),
            },
            Hindrance::Same => Self::Invalid {
                code: "same_secret",
                message,
                hint: "send another one, or `{\"generate\": true}`".to_owned(),
            },
            Hindrance::TooMany => Self::Precondition {
                code: "too_many_secrets",
                message,
                hint: "wait until one of them has ended, or end them all with an `overlap` of `0s`",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);
    const HOUR: DurationMs = DurationMs::from_secs(3600);

    fn old(secret: &str, ms_left: u64) -> OldSecret {
        OldSecret { secret: secret.to_owned(), until: UnixMs(NOW.0 + ms_left) }
    }

    #[track_caller]
    fn check(
        current: Option<&str>,
        before: &[OldSecret],
        overlap: DurationMs,
        expected: Result<&[OldSecret], Hindrance>,
    ) {
        let found = turn_over(current.map(str::to_owned), before.to_vec(), "new", overlap, NOW);
        assert_eq!(found, expected.map(<[OldSecret]>::to_vec));
    }

    #[test]
    fn the_one_before_counts_for_the_overlap() {
        check(Some("a"), &[], HOUR, Ok(&[old("a", HOUR.0)]));
        check(None, &[], HOUR, Ok(&[]));
        check(Some("b"), &[old("a", 5)], HOUR, Ok(&[old("a", 5), old("b", HOUR.0)]));
        check(Some("b"), &[old("a", 0)], HOUR, Ok(&[old("b", HOUR.0)]));
    }

    #[test]
    fn nothing_is_left_without_an_overlap() {
        check(Some("b"), &[old("a", 5)], DurationMs(0), Ok(&[]));
    }

    #[test]
    fn no_more_than_a_few_count_at_once() {
        let three = [old("a", 1), old("b", 2), old("c", 3)];
        check(Some("d"), &three, HOUR, Err(Hindrance::TooMany));
        check(Some("d"), &three, DurationMs(0), Ok(&[]));
        check(Some("c"), &three[..2], HOUR, Ok(&[old("a", 1), old("b", 2), old("c", HOUR.0)]));
        check(Some("d"), &[], DurationMs(OVERLAP_MAX.0 + 1), Err(Hindrance::TooLong));
        const { assert!(OLD_SECRETS_MAX < crate::hooks::standard::SIGNATURES_MAX) };
    }

    #[test]
    fn a_secret_is_changed_to_another() {
        check(Some("new"), &[], HOUR, Err(Hindrance::Same));
        check(Some("new"), &[], DurationMs(0), Err(Hindrance::Same));
        check(Some("a"), &[old("new", 5)], HOUR, Err(Hindrance::Same));
        check(Some("a"), &[old("new", 0)], HOUR, Ok(&[old("a", HOUR.0)]));
    }
}

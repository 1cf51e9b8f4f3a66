//! When time alone changes an answer.
//!
//! Only two things move while nobody writes: a comparison of which one side is a clock, and a
//! reading that announces its change. Between two announced changes the clock's side of a
//! comparison only grows or only shrinks, so the order of the two sides changes at most twice, and
//! the moment of each change is found exactly by halving the interval; for a plain clock against a
//! plain number it is guessed first and the guess verified, which is ten times as fast.

use super::evaluate::Scene;
use super::program::ClockComparison;
use crate::limits::TIME_MAX_MS;
use crate::value::{Value, signed_ms, truncated};
use model::UnixMs;
use std::cmp::Ordering;

impl Scene<'_> {
    /// The first moment after `now` at which the answer differs from the one at `now`, if nobody
    /// writes anything; `None` when it never does.
    pub(crate) fn next_crossing(&self, now: UnixMs) -> Option<UnixMs> {
        let now = signed_ms(now);
        if self.program.clocks.is_empty() && self.next_turn(now).is_none() {
            return None;
        }
        let before = self.truth(now);
        let mut at = now;
        for _ in 0..self.changes_max() {
            at = self.next_change(at)?;
            if self.truth(at) != before {
                break;
            }
        }
        u64::try_from(at).ok().map(UnixMs)
    }

    /// More changes than there can be: two for each comparison between two announced ones.
    fn changes_max(&self) -> usize {
        (2 * self.program.clocks.len() + 1) * (self.program.slots.len() + 1)
    }

    /// The first moment after `now` at which a comparison or a reading changes.
    fn next_change(&self, now: i64) -> Option<i64> {
        let turn = self.next_turn(now);
        let end = turn.map_or(signed_ms(UnixMs(TIME_MAX_MS)), |turn| turn - 1);
        let crossings =
            self.program.clocks.iter().filter_map(|clock| self.crossing(clock, now, end));
        crossings.chain(turn).min()
    }

    /// The first moment in `now + 1 ..= end` at which the comparison changes its result.
    fn crossing(&self, clock: &ClockComparison, now: i64, end: i64) -> Option<i64> {
        let result = |order: Option<Ordering>| order.map(|order| clock.comparison.holds(order));
        let before = result(self.order(clock, now));
        let mut at = now;
        loop {
            at = self.order_change(clock, at, end)?;
            if result(self.order(clock, at)) != before {
                return Some(at);
            }
        }
    }

    /// The first moment in `now + 1 ..= end` at which the order of the two sides changes.
    ///
    /// Both sides together take each order during one stretch of time only, so "is as it was" holds
    /// up to a moment and never again.
    fn order_change(&self, clock: &ClockComparison, now: i64, end: i64) -> Option<i64> {
        if now >= end {
            return None;
        }
        let before = self.order(clock, now);
        let is_same = |at: i64| self.order(clock, at) == before;
        if is_same(end) {
            return None;
        }
        let is_first = |at: &i64| (now + 1..=end).contains(at) && !is_same(*at) && is_same(*at - 1);
        if let Some(guess) = self.guesses(clock, now).into_iter().flatten().find(is_first) {
            return Some(guess);
        }
        let (mut same, mut other) = (now, end);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if is_same(middle) {
                same = middle;
            } else {
                other = middle;
            }
        }
        Some(other)
    }

    /// When seconds since some moment reach and pass a number: where the order may change.
    fn guesses(&self, clock: &ClockComparison, now: i64) -> Option<[i64; 2]> {
        let (zero, still) = match (self.zero_of(&clock.left, now), self.zero_of(&clock.right, now))
        {
            (Some(zero), None) => (zero, &clock.right),
            (None, Some(zero)) => (zero, &clock.left),
            _ => return None,
        };
        let seconds = match self.value(still, now).ok()? {
            Value::Int(int) => int,
            Value::Double(double) if double.abs() < 1e15 => truncated(double.floor()),
            _ => return None,
        };
        let reach = |seconds: i64| zero.checked_add(seconds.checked_mul(1000)?);
        Some([reach(seconds)?, reach(seconds.checked_add(1)?)?])
    }

    fn order(&self, clock: &ClockComparison, at: i64) -> Option<Ordering> {
        let left = self.value(&clock.left, at).ok()?;
        let right = self.value(&clock.right, at).ok()?;
        left.order(&right)
    }
}

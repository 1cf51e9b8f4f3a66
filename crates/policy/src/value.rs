//! Values that conditions compute with, their types, and their form in JSON.

use model::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A value of a condition. Copies are cheap: long ones are shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; always finite.
    Double(f64),
    /// A text.
    String(Arc<str>),
    /// A moment, in Unix milliseconds.
    Timestamp(i64),
    /// A length of time, in milliseconds.
    Duration(i64),
    /// A list of values.
    List(Arc<[Value]>),
}

/// A type of a condition's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `double`
    Double,
    /// `string`
    String,
    /// `timestamp`
    Timestamp,
    /// `duration`
    Duration,
    /// `list`, and of what.
    List(Box<Type>),
    /// Known only when it is read: a peer's fact that no `peers` entry describes.
    Dyn,
}

impl Type {
    /// Whether a value of this type may stand where `other` is wanted, as far as one can tell.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            (a, b) => a == b,
        }
    }

    pub(crate) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dyn)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(item) => write!(f, "list of {item}"),
            Self::Dyn => f.write_str("a value of unknown type"),
        }
    }
}

impl Value {
    /// Whether it is of type `ty`. A double that is not finite is of none.
    #[must_use]
    pub fn is_of(&self, ty: &Type) -> bool {
        match (self, ty) {
            (Self::Double(double), Type::Double | Type::Dyn) => double.is_finite(),
            (_, Type::Dyn)
            | (Self::Bool(_), Type::Bool)
            | (Self::Int(_), Type::Int)
            | (Self::String(_), Type::String)
            | (Self::Timestamp(_), Type::Timestamp)
            | (Self::Duration(_), Type::Duration) => true,
            (Self::List(items), Type::List(item)) => items.iter().all(|v| v.is_of(item)),
            _ => false,
        }
    }

    /// The value as it stands in JSON: moments as RFC 3339, lengths of time as `"90s"`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool(b) => Json::from(*b),
            Self::Int(i) => Json::from(*i),
            Self::Double(d) => Json::from(*d),
            Self::String(s) => Json::from(&**s),
            Self::Timestamp(ms) => Json::from(timestamp_text(*ms)),
            Self::Duration(ms) => Json::from(duration_text(*ms)),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
        }
    }

    /// Compares two values as CEL does: numbers of both kinds by their size, texts by their
    /// characters; `None` when the types cannot be compared or have no order.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Double(b)) => Some(order_mixed(*a, *b)),
            (Self::Double(a), Self::Int(b)) => Some(order_mixed(*b, *a).reverse()),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Whether two values are equal; `None` when their types have nothing in common.
    pub(crate) fn equals(&self, other: &Self) -> Option<bool> {
        let (Self::List(a), Self::List(b)) = (self, other) else {
            return self.order(other).map(Ordering::is_eq);
        };
        if a.len() != b.len() {
            return Some(false);
        }
        let pairs = a.iter().zip(b.iter()).map(|(a, b)| a.equals(b));
        pairs.reduce(|so_far, next| Some(so_far? && next?)).unwrap_or(Some(true))
    }
}

/// Orders a whole number against a finite double without rounding either.
fn order_mixed(int: i64, double: f64) -> Ordering {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if double >= TWO_TO_63 {
        return Ordering::Less;
    }
    if double < -TWO_TO_63 {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    int.cmp(&truncated(whole)).then_with(|| {
        let fraction = double - whole;
        0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal)
    })
}

/// The whole part of a double that lies within the range of `i64`.
#[expect(clippy::cast_possible_truncation, reason = "dropping the fraction is the purpose")]
pub(crate) const fn truncated(double: f64) -> i64 {
    double as i64
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => b.fmt(f),
            Self::Int(i) => i.fmt(f),
            Self::Double(d) => write!(f, "{d:?}"),
            Self::String(s) => write!(f, "'{}'", s.escape_debug()),
            Self::Timestamp(ms) => f.write_str(&timestamp_text(*ms)),
            Self::Duration(ms) => f.write_str(&duration_text(*ms)),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<UnixMs> for Value {
    fn from(value: UnixMs) -> Self {
        Self::Timestamp(signed_ms(value))
    }
}

/// A moment as a signed number; the end of time stays the end of time.
pub(crate) fn signed_ms(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Unix milliseconds of an RFC 3339 text.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let is_short = text.len() <= TIMESTAMP_BYTES_MAX;
    is_short.then(|| text.parse::<jiff::Timestamp>().ok()).flatten().map(|t| t.as_millisecond())
}

/// Longest text that is read as a moment: RFC 3339 with nanoseconds, offset and zone has 60.
const TIMESTAMP_BYTES_MAX: usize = 80;

fn timestamp_text(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_string(),
        Err(_) => format!("{ms} ms since 1970"),
    }
}

fn duration_text(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", crate::period::Period(model::DurationMs(ms.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_doubles_are_compared_without_rounding() {
        let big = 9_007_199_254_740_993; // 2^53 + 1, which no double can hold
        let near = 9_007_199_254_740_992.0;
        assert_eq!(Value::Int(big).order(&Value::Double(near)), Some(Ordering::Greater));
        assert_eq!(Value::Int(i64::MAX).order(&Value::Double(9.3e18)), Some(Ordering::Less));
        assert_eq!(Value::Int(i64::MIN).order(&Value::Double(-9.3e18)), Some(Ordering::Greater));
        assert_eq!(Value::Int(-2).order(&Value::Double(-2.5)), Some(Ordering::Greater));
        assert_eq!(Value::Double(2.0).equals(&Value::Int(2)), Some(true));
        assert_eq!(Value::Int(1).equals(&Value::from("1")), None);
    }
}

//! The functions of conditions: their types, and what they compute.

use crate::period::parse_ms;
use crate::reading::Unknown;
use crate::value::{Type, Value, parse_timestamp, truncated};

/// A function. Each is pure and takes time in proportion to its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Duration,
    Timestamp,
    Int,
    Double,
}

/// Every spelling: as written, whether it stands after a point, the function.
pub(crate) const FUNCTIONS: [(&str, bool, Function); 9] = [
    ("size", false, Function::Size),
    ("size", true, Function::Size),
    ("startsWith", true, Function::StartsWith),
    ("endsWith", true, Function::EndsWith),
    ("contains", true, Function::Contains),
    ("duration", false, Function::Duration),
    ("timestamp", false, Function::Timestamp),
    ("int", false, Function::Int),
    ("double", false, Function::Double),
];

/// What CEL has and conditions do not, and what to write instead.
pub(crate) const ABSENT_FUNCTIONS: [(&str, &str); 14] = [
    ("matches", "use startsWith, endsWith or contains"),
    ("all", "there are no loops; keep a count or a flag in a fact"),
    ("exists", "use `value in list`"),
    ("exists_one", "use `value in list`"),
    ("map", "there are no loops; keep what the rule needs in a fact"),
    ("filter", "there are no loops; keep what the rule needs in a fact"),
    ("getHours", "for a time of day, declare a cron alarm and use `due.NAME`"),
    ("getMinutes", "for a time of day, declare a cron alarm and use `due.NAME`"),
    ("getDayOfWeek", "for a day, declare a cron alarm and use `due.NAME`"),
    ("getDate", "for a day, declare a cron alarm and use `due.NAME`"),
    ("getSeconds", "compare lengths of time with duration('…')"),
    ("uint", "there are no unsigned numbers; use int"),
    ("string", "compare the value itself"),
    ("bool", "compare the value itself"),
];

impl Function {
    /// The type of its result; otherwise the types it wants.
    pub(crate) fn check(self, args: &[Type]) -> Result<Type, &'static str> {
        let is_text = |ty: &Type| ty.fits(&Type::String);
        match (self, args) {
            (Self::Size, [of]) if is_text(of) || matches!(of, Type::List(_)) => Ok(Type::Int),
            (Self::StartsWith | Self::EndsWith | Self::Contains, [text, part])
                if is_text(text) && is_text(part) =>
            {
                Ok(Type::Bool)
            }
            (Self::Duration, [text]) if is_text(text) => Ok(Type::Duration),
            (Self::Timestamp, [text]) if is_text(text) => Ok(Type::Timestamp),
            (Self::Int, [of]) if of.is_number() => Ok(Type::Int),
            (Self::Double, [of]) if of.is_number() => Ok(Type::Double),
            (Self::Size, _) => Err("a string or a list"),
            (Self::StartsWith | Self::EndsWith | Self::Contains, _) => Err("two strings"),
            (Self::Duration | Self::Timestamp, _) => Err("a string"),
            (Self::Int | Self::Double, _) => Err("a number"),
        }
    }

    /// Computes its result. Values of other types than [`Function::check`] allowed are a mismatch.
    pub(crate) fn call(self, args: &[Value]) -> Result<Value, Unknown> {
        match (self, args) {
            (Self::Size, [Value::String(text)]) => length(text.chars().count()),
            (Self::Size, [Value::List(items)]) => length(items.len()),
            (Self::StartsWith, [Value::String(text), Value::String(part)]) => {
                Ok(Value::Bool(text.starts_with(&**part)))
            }
            (Self::EndsWith, [Value::String(text), Value::String(part)]) => {
                Ok(Value::Bool(text.ends_with(&**part)))
            }
            (Self::Contains, [Value::String(text), Value::String(part)]) => {
                Ok(Value::Bool(text.contains(&**part)))
            }
            (Self::Duration, [Value::String(text)]) => {
                parse_ms(text).map(Value::Duration).ok_or(Unknown::NotATime)
            }
            (Self::Timestamp, [Value::String(text)]) => {
                parse_timestamp(text).map(Value::Timestamp).ok_or(Unknown::NotATime)
            }
            (Self::Int, [Value::Int(int)]) => Ok(Value::Int(*int)),
            (Self::Int, [Value::Double(double)]) => whole(*double),
            (Self::Double, [Value::Double(double)]) => Ok(Value::Double(*double)),
            (Self::Double, [Value::Int(int)]) => Ok(Value::Double(nearest(*int))),
            _ => Err(Unknown::Mismatch),
        }
    }
}

fn length(n: usize) -> Result<Value, Unknown> {
    i64::try_from(n).map(Value::Int).map_err(|_too_long| Unknown::Overflow)
}

fn whole(double: f64) -> Result<Value, Unknown> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let is_within = double > -TWO_TO_63 && double < TWO_TO_63;
    if is_within { Ok(Value::Int(truncated(double))) } else { Err(Unknown::Overflow) }
}

/// The double nearest to a whole number.
const fn nearest(int: i64) -> f64 {
    int as f64
}

//! The types of facts, and their values in JSON.

use crate::period::parse_ms;
use crate::value::{Type, Value, parse_timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;

/// The type of a fact, as a policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactType {
    /// `true`, `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A number.
    Double,
    /// A text.
    String,
    /// A moment: RFC 3339.
    Timestamp,
    /// A length of time: `"90s"`.
    Duration,
    /// A list of texts.
    List,
    /// Anything; rules cannot read it.
    Json,
}

impl FactType {
    /// The type that a condition sees; `None` when rules cannot read it.
    #[must_use]
    pub fn as_type(self) -> Option<Type> {
        Some(match self {
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::List => Type::List(Box::new(Type::String)),
            Self::Json => return None,
        })
    }

    /// What a JSON value of this type looks like.
    #[must_use]
    pub const fn spelling(self) -> &'static str {
        match self {
            Self::Bool => "`true` or `false`",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::String => "a text",
            Self::Timestamp => "a moment such as \"2026-01-31T09:00:00Z\"",
            Self::Duration => "a length of time such as \"90s\"",
            Self::List => "a list of texts",
            Self::Json => "any JSON value",
        }
    }

    /// Reads a JSON value of this type; `None` when it is of another one, or the type is `json`.
    #[must_use]
    pub fn read(self, json: &Json) -> Option<Value> {
        Some(match self {
            Self::Bool => Value::Bool(json.as_bool()?),
            Self::Int => Value::Int(json.as_i64()?),
            Self::Double => Value::Double(json.as_f64().filter(|d| d.is_finite())?),
            Self::String => Value::from(json.as_str()?),
            Self::Timestamp => Value::Timestamp(parse_timestamp(json.as_str()?)?),
            Self::Duration => Value::Duration(parse_ms(json.as_str()?)?),
            Self::List => {
                let items = json.as_array()?.iter();
                Value::List(items.map(|i| i.as_str().map(Value::from)).collect::<Option<_>>()?)
            }
            Self::Json => return None,
        })
    }
}

impl fmt::Display for FactType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Double => "double",
            Self::String => "string",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::List => "list",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_each_type_is_read_and_written() {
        let cases = [
            (FactType::Bool, "true"),
            (FactType::Int, "-3"),
            (FactType::Double, "0.5"),
            (FactType::String, "\"x\""),
            (FactType::Timestamp, "\"2026-01-31T09:00:00Z\""),
            (FactType::Duration, "\"1m30s\""),
            (FactType::List, "[\"a\",\"b\"]"),
        ];
        for (fact, text) in cases {
            let json: Json = serde_json::from_str(text).expect("JSON");
            let value = fact.read(&json).expect(text);
            assert!(value.is_of(&fact.as_type().expect("a readable type")), "{text}");
            assert_eq!(value.to_json(), json, "{text}");
            assert_eq!(FactType::Bool.read(&json).is_some(), fact == FactType::Bool);
        }
    }
}

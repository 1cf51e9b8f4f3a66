//! Signals by name, as the API writes them, or by number, as some clients do.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A signal that may be sent to a program: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// Why a text is not a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a signal; write it like `SIGTERM`, or as a number from 1 to 64")]
pub struct InvalidSignal {
    text: String,
}

/// First real-time signal that programs may use, as glibc counts: init systems listen to offsets
/// from it (`SIGRTMIN+3` halts systemd).
const SIGRTMIN: i32 = 34;

const NAMES: [(&str, i32); 31] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
];

impl Signal {
    /// SIGKILL.
    pub const KILL: Self = Self(9);

    /// The number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    fn from_number(number: i64) -> Result<Self, InvalidSignal> {
        match i32::try_from(number) {
            Ok(number @ 1..=64) => Ok(Self(number)),
            Ok(_) | Err(_) => Err(InvalidSignal { text: number.to_string() }),
        }
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        if let Ok(number) = text.parse::<i64>() {
            return Self::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let invalid = || InvalidSignal { text: text.chars().take(32).collect() };
        let offset = name.strip_prefix("SIGRTMIN").ok_or_else(invalid)?;
        match offset.strip_prefix('+').map(str::parse::<i32>) {
            None if offset.is_empty() => Ok(Self(SIGRTMIN)),
            Some(Ok(n @ 0..=30)) => Ok(Self(SIGRTMIN + n)),
            None | Some(_) => Err(invalid()),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None if self.0 >= SIGRTMIN => write!(f, "SIGRTMIN+{}", self.0 - SIGRTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Signal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name or number of a signal")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Signal, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Signal, E> {
                Signal::from_number(number).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Signal, E> {
                Signal::from_number(i64::try_from(number).unwrap_or(0)).map_err(E::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Signal {
    fn schema_name() -> Cow<'static, str> {
        "Signal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A signal by its name, or by its number from 1 to 64.",
            "type": ["string", "integer"],
            "examples": ["SIGTERM", "SIGRTMIN+3", 15],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[track_caller]
    fn check(text: &str, number: i32, printed: &str) {
        let signal: Signal = text.parse().expect(text);
        assert_eq!((signal.number(), signal.to_string().as_str()), (number, printed));
    }

    #[test]
    fn signals_have_names_and_numbers() {
        check("SIGTERM", 15, "SIGTERM");
        check("term", 15, "SIGTERM");
        check("9", 9, "SIGKILL");
        check("SIGRTMIN+3", 37, "SIGRTMIN+3");
        check("SIGRTMIN", 34, "SIGRTMIN+0");
        for text in ["", "SIG", "SIGNOPE", "0", "65", "-9", "SIGRTMIN+31", "SIGRTMIN-1"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_takes_name_or_number() {
        assert_eq!(serde_json::from_str::<Signal>("9").expect("number"), Signal::KILL);
        assert_eq!(serde_json::from_str::<Signal>("\"SIGKILL\"").expect("name"), Signal::KILL);
        assert!(serde_json::from_str::<Signal>("[9]").is_err());
    }
}

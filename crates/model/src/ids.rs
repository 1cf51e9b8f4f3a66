//! Names of things, each its own type.

use crate::units::UnixMs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId {
    /// What was expected, as a sentence part: "14 lower-case hex digits".
    pub expected: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { expected: $expected })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Letters, digits, dashes; starts with a letter or digit; 1 to 63 bytes: fits a DNS label.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && text.bytes().all(|b| CROCKFORD.contains(&b))
        && (b'0'..=b'7').contains(&text.as_bytes()[0])
}

text_id!(
    /// A machine of this host: 14 lower-case hex digits, drawn at create, never reused.
    MachineId, "14 lower-case hex digits", |t| t.len() == 14 && is_lower_hex(t)
);
text_id!(
    /// A namespace of machines.
    AppName, "1 to 63 letters, digits or dashes, starting with a letter or digit", is_label
);
text_id!(
    /// A private network; the network of an app is named at its creation.
    NetworkName, "1 to 63 letters, digits or dashes, starting with a letter or digit", is_label
);
text_id!(
    /// One version of a machine's configuration (ULID).
    VersionId, "26 characters of Crockford's base 32", is_ulid
);
text_id!(
    /// One user-visible event of a machine (ULID).
    EventId, "26 characters of Crockford's base 32", is_ulid
);
text_id!(
    /// One run: from a start to the exit that ends it (ULID). Every resource of the run carries it.
    RunId, "26 characters of Crockford's base 32", is_ulid
);
text_id!(
    /// One boot of the host: the kernel's `/proc/sys/kernel/random/boot_id`.
    BootId, "a UUID", |t| t.len() == 36 && t.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
);
text_id!(
    /// This instance, in five lower-case hex digits: short enough for link names.
    InstanceTag, "5 lower-case hex digits", |t| t.len() == 5 && is_lower_hex(t)
);
text_id!(
    /// Digest of content: `sha256:` and 64 lower-case hex digits.
    Digest, "`sha256:` and 64 lower-case hex digits",
    |t| t.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && is_lower_hex(h))
);

impl Digest {
    /// The 64 hex digits, without the algorithm: safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl MachineId {
    /// The id made from 56 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 7]) -> Self {
        Self(hex_of(&bits))
    }
}

impl InstanceTag {
    /// The tag made from 20 random bits (the low 20 of `bits`).
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self(format!("{:05x}", bits & 0xf_ffff))
    }
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn hex_of(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        write!(out, "{b:02x}").expect("writing to a string cannot fail");
        out
    })
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ULID: 48 bits of `now`, 80 bits of `chance`, in Crockford's base 32, so ids sort by time.
fn ulid(now: UnixMs, chance: [u8; 10]) -> String {
    let mut value = u128::from(now.0 & 0xffff_ffff_ffff);
    for byte in chance {
        value = (value << 8) | u128::from(byte);
    }
    (0..26)
        .rev()
        .map(|place| {
            let digit = usize::try_from((value >> (place * 5)) & 31).expect("five bits");
            char::from(CROCKFORD[digit])
        })
        .collect()
}

macro_rules! ulid_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new id from the moment and 80 random bits.
            #[must_use]
            pub fn new(now: UnixMs, chance: [u8; 10]) -> Self {
                Self(ulid(now, chance))
            }
        }
    )*};
}
ulid_id!(VersionId, EventId, RunId);

/// A place for one running container on this host: link, addresses, user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(pub u16);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! Bytes in JSON: read as base64 or as a list of numbers, because there are clients for both, and
//! written as base64. Source: machines-api 1.9.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    /// Their number alone: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 or a list of bytes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                STANDARD.decode(text.trim_ascii()).map(Bytes).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element::<u8>()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Base64, or a list of bytes; answers have base64.",
            "type": ["string", "array"],
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn both_spellings_are_read_and_base64_is_written() {
        let read = |json: &str| serde_json::from_str::<Bytes>(json).ok().map(|bytes| bytes.0);
        assert_eq!(read("\"aGk=\""), Some(b"hi".to_vec()));
        assert_eq!(read("[104, 105]"), Some(b"hi".to_vec()));
        assert_eq!(read("\"\""), Some(Vec::new()));
        for wrong in ["\"a\"", "[256]", "[-1]", "7", "{}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let written = serde_json::to_string(&Bytes(b"hi".to_vec())).expect("text");
        assert_eq!(written, "\"aGk=\"");
        assert_eq!(format!("{:?}", Bytes(b"hi".to_vec())), "Bytes(2)");
    }
}

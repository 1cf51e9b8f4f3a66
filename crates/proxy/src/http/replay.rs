//! `fly-replay`: a program answers "ask that one" instead of an answer.
//!
//! Pure: reads the header or the JSON form. Source: machines-api 4.9. Replays are not cached: the
//! fields for that are read over, so each request asks the program anew.

use model::MachineId;
use serde::Deserialize;
use std::time::Duration;

/// The header's name.
pub(crate) const HEADER: &str = "fly-replay";

/// Type of an answer in the JSON form.
pub(crate) const JSON_TYPE: &str = "application/vnd.fly.replay+json";

/// Most replays of one request. Source: machines-api 4.9.
pub(crate) const REPLAYS_MAX: u32 = 10;

/// Longest JSON form in bytes.
pub(crate) const JSON_MAX_BYTES: usize = 64 * 1024;

/// Where to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Only in these regions, in this order; empty: anywhere.
    pub(crate) regions: Vec<String>,
    /// Only this machine.
    pub(crate) instance: Option<MachineId>,
    /// This machine if it can be had.
    pub(crate) prefer_instance: Option<MachineId>,
    /// Of this app.
    pub(crate) app: Option<String>,
    /// For the one that is asked.
    pub(crate) state: Option<String>,
    /// Not the one that says so.
    pub(crate) is_elsewhere: bool,
    /// How long to try.
    pub(crate) timeout: Option<Duration>,
    /// Whom to ask when that fails.
    pub(crate) fallback: Option<Fallback>,
    /// Changes of the request.
    pub(crate) transform: Transform,
}

/// Whom to ask when a replay fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fallback {
    /// Again the one that ordered it.
    ForceSelf,
    /// Rather that one.
    PreferSelf,
}

/// Changes of the request before it is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Transform {
    /// Another path, with query.
    #[serde(default)]
    pub(crate) path: Option<String>,
    /// Headers to leave out.
    #[serde(default)]
    pub(crate) delete_headers: Vec<String>,
    /// Headers to set.
    #[serde(default)]
    pub(crate) set_headers: Vec<SetHeader>,
}

/// A header to set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SetHeader {
    /// Name.
    pub(crate) name: String,
    /// Value.
    pub(crate) value: String,
}

/// An order that cannot be read, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

/// A field in the JSON form: one text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

/// The JSON form.
#[derive(Deserialize)]
struct Json {
    region: Option<Texts>,
    instance: Option<String>,
    prefer_instance: Option<String>,
    app: Option<String>,
    state: Option<String>,
    elsewhere: Option<serde_json::Value>,
    timeout: Option<String>,
    fallback: Option<String>,
    #[serde(default)]
    transform: Transform,
}

impl Order {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown field, a value that is none, or no field at all.
    pub(crate) fn from_header(text: &str) -> Result<Self, Malformed> {
        let mut order = Self::default();
        let pairs = pairs(text)?;
        if pairs.is_empty() {
            return Err(Malformed("it says nothing".to_owned()));
        }
        for (key, value) in pairs {
            order.set(&key, &value)?;
        }
        Ok(order)
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// As [`Self::from_header`].
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, Malformed> {
        let json: Json =
            serde_json::from_slice(text).map_err(|error| Malformed(error.to_string()))?;
        let mut order = Self { transform: json.transform, state: json.state, ..Self::default() };
        order.regions = match json.region {
            None => Vec::new(),
            Some(Texts::One(text)) => regions(&text),
            Some(Texts::Many(texts)) => regions(&texts.join(",")),
        };
        let elsewhere = json.elsewhere.map(|value| match value {
            serde_json::Value::String(text) => text,
            value => value.to_string(),
        });
        let fields = [
            ("instance", json.instance),
            ("prefer_instance", json.prefer_instance),
            ("app", json.app),
            ("elsewhere", elsewhere),
            ("timeout", json.timeout),
            ("fallback", json.fallback),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                order.set(key, &value)?;
            }
        }
        Ok(order)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Malformed> {
        let malformed = || Malformed(format!("`{key}` is not `{}`", cut(value)));
        match key {
            "region" => self.regions = regions(value),
            "instance" => self.instance = Some(value.parse().map_err(|_no_id| malformed())?),
            "prefer_instance" => {
                self.prefer_instance = Some(value.parse().map_err(|_no_id| malformed())?);
            }
            "app" if !value.is_empty() => self.app = Some(value.to_owned()),
            "state" => self.state = Some(value.to_owned()),
            "elsewhere" => self.is_elsewhere = value.parse().map_err(|_no_bool| malformed())?,
            "timeout" => self.timeout = Some(parse_duration(value).ok_or_else(malformed)?),
            "fallback" => {
                self.fallback = Some(match value {
                    "force_self" => Fallback::ForceSelf,
                    "prefer_self" => Fallback::PreferSelf,
                    _ => return Err(malformed()),
                });
            }
            "app" => return Err(malformed()),
            _ => return Err(Malformed(format!("`{}` is no field", cut(key)))),
        }
        Ok(())
    }
}

/// As much of foreign text as an error quotes.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// `a,b`; `any` is as good as none.
fn regions(text: &str) -> Vec<String> {
    let all = text.split(',').map(str::trim).filter(|region| !region.is_empty());
    let all: Vec<String> = all.map(str::to_owned).collect();
    if all.iter().any(|region| region == "any") { Vec::new() } else { all }
}

const FIELDS: [&str; 8] =
    ["region", "instance", "prefer_instance", "app", "state", "elsewhere", "timeout", "fallback"];

/// The pairs of a header: `;` between them, or `,` where what follows is a field of its own.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Malformed> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (separator, part) in parts(text)? {
        let field = part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        match (field, pairs.last_mut()) {
            (Some((key, value)), _) if separator == ';' || FIELDS.contains(&key) => {
                pairs.push((key.to_ascii_lowercase(), unquote(value)));
            }
            (_, Some((_, value))) if separator == ',' => {
                value.push(',');
                value.push_str(&unquote(part.trim()));
            }
            _ if part.trim().is_empty() => {}
            _ => return Err(Malformed(format!("`{}` is not `key=value`", cut(part)))),
        }
    }
    Ok(pairs)
}

/// The parts between separators that are not quoted, each with the separator before it.
fn parts(text: &str) -> Result<Vec<(char, &str)>, Malformed> {
    let (mut parts, mut separator, mut begin) = (Vec::new(), ';', 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' | ',' if !is_quoted => {
                parts.push((separator, &text[begin..at]));
                (separator, begin) = (c, at + 1);
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err(Malformed("a quote has no end".to_owned()));
    }
    parts.push((separator, &text[begin..]));
    Ok(parts)
}

fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut is_escaped = false;
    for c in inner.chars() {
        is_escaped = c == '\\' && !is_escaped;
        if !is_escaped {
            text.push(c);
        }
    }
    text
}

/// `10s`, `800ms`, `1m`; a number alone is none.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..end].parse().ok()?;
    match &text[end..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

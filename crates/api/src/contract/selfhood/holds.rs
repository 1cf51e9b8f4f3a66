//! Holds and alarms.

use super::{Moment, Span};
use ::policy::document::{AlarmText, Missed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Body of `PUT self/holds/{name}`. Putting one that is there renews it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldPut {
    /// How long from now: at most an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// Another name for `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Why; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that keeps a machine awake for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// When it ends by itself.
    pub expires_at: Moment,
    /// Why.
    pub reason: String,
    /// Who put it.
    pub writer: String,
    /// When.
    pub at: Moment,
}

/// Answer to `GET self/holds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holds {
    /// The machine's revision.
    pub revision: u64,
    /// The holds that last, by name.
    pub holds: BTreeMap<String, Hold>,
}

/// Body of `PUT self/alarms/{name}`: one of `at`, `every`, `cron`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmPut {
    /// Once, at this moment: RFC 3339 with an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again, this far apart, counted from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Minute, hour, day of month, month, day of week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of `cron`; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// What becomes of firings that nobody was there for; `once` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<AlarmMissed>,
}

/// What becomes of missed firings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmMissed {
    /// They are forgotten.
    Skip,
    /// However many there were, it fires once.
    #[default]
    Once,
    /// It fires for each.
    All,
}

impl From<AlarmPut> for AlarmText {
    fn from(put: AlarmPut) -> Self {
        let missed = match put.missed.unwrap_or_default() {
            AlarmMissed::Skip => Missed::Skip,
            AlarmMissed::Once => Missed::Once,
            AlarmMissed::All => Missed::All,
        };
        Self { at: put.at, every: put.every.map(|span| span.0), cron: put.cron, tz: put.tz, missed }
    }
}

impl From<&AlarmText> for AlarmPut {
    fn from(text: &AlarmText) -> Self {
        let missed = match text.missed {
            Missed::Skip => AlarmMissed::Skip,
            Missed::Once => AlarmMissed::Once,
            Missed::All => AlarmMissed::All,
        };
        Self {
            at: text.at.clone(),
            every: text.every.map(Span),
            cron: text.cron.clone(),
            tz: text.tz.clone(),
            missed: Some(missed),
        }
    }
}

/// An alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Once, at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again, this far apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Minute, hour, day of month, month, day of week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// What becomes of missed firings.
    #[serde(default)]
    pub missed: AlarmMissed,
    /// `policy`, or who set it.
    pub origin: String,
    /// When it was set.
    pub set_at: Moment,
    /// When it fires next; absent when it never does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Moment>,
    /// It has fired and was not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DueAlarm>,
}

/// An alarm that has fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DueAlarm {
    /// Since when it is due.
    pub since: Moment,
    /// The moment that was meant.
    pub meant_for: Moment,
    /// Firings that wait for an ack.
    pub count: u32,
}

/// Answer to `GET self/alarms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarms {
    /// The machine's revision.
    pub revision: u64,
    /// The alarms, by name; those of its policy too.
    pub alarms: BTreeMap<String, Alarm>,
}

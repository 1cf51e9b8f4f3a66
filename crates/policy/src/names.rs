//! The names that a condition may use: one table.
//!
//! A condition knows no other words. What stands in the table is a promise to every policy ever
//! written, so a row is added, never changed.

use crate::document::{Effect, Facts, Peers};
use crate::fact_type::FactType;
use crate::text::did_you_mean;
use crate::value::{Type, Value};
use std::fmt;
use std::sync::Arc;

/// Something whose value a condition needs: what [`crate::Values`] is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A name of the table: what the platform knows about the machine.
    Platform(Platform),
    /// `memory.KEY`: a fact of the machine.
    Memory(Arc<str>),
    /// `due.NAME`: the alarm has fired and was not acknowledged.
    Due(Arc<str>),
    /// `peer.NAME.FACT`: a fact of another machine of the same network.
    PeerFact {
        /// The peer's name.
        peer: Arc<str>,
        /// The key of the fact.
        fact: Arc<str>,
    },
    /// `peer.NAME.state`: as `machine.state`, of the peer.
    PeerState(Arc<str>),
    /// `peer.NAME.age_s`: seconds since the peer's last `beat`; known once the peer exists.
    PeerAge(Arc<str>),
    /// `old`: the value that a write replaces. Guards only.
    Old,
    /// `new`: the value to be written. Guards only.
    New,
    /// `writer`: who writes, as in `writers`. Guards only.
    Writer,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(name) => f.write_str(name.row().text),
            Self::Memory(key) => write!(f, "memory.{key}"),
            Self::Due(alarm) => write!(f, "due.{alarm}"),
            Self::PeerFact { peer, fact } => write!(f, "peer.{peer}.{fact}"),
            Self::PeerState(peer) => write!(f, "peer.{peer}.state"),
            Self::PeerAge(peer) => write!(f, "peer.{peer}.age_s"),
            Self::Old => f.write_str("old"),
            Self::New => f.write_str("new"),
            Self::Writer => f.write_str("writer"),
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The name as written.
    pub text: &'static str,
    /// Its type.
    pub ty: Type,
    /// It grows by itself while time passes, so it may only be compared.
    pub is_clock: bool,
    /// The effects whose rules may use it; `None`: all.
    pub only_for: Option<&'static [Effect]>,
    /// All the values it can have, where they are few words.
    pub values: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

macro_rules! platform_names {
    ($($(#[$only:ident])? $variant:ident $text:literal $ty:ident $kind:ident $meaning:literal)*) => {
        /// A name that the platform fills in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Platform {$(
            #[doc = concat!("`", $text, "`: ", $meaning)]
            $variant,
        )*}

        impl Platform {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its row of the table.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {$(
                    Self::$variant => {
                        const ROW: Row = Row {
                            text: $text,
                            ty: Type::$ty,
                            is_clock: is_clock!($kind),
                            only_for: only_for!($($only)?),
                            values: values!($kind),
                            meaning: $meaning,
                        };
                        &ROW
                    }
                )*}
            }
        }
    };
}

macro_rules! is_clock {
    (clock) => {
        true
    };
    ($other:ident) => {
        false
    };
}

macro_rules! values {
    (state) => {
        MACHINE_STATES
    };
    ($other:ident) => {
        &[]
    };
}

macro_rules! only_for {
    () => {
        None
    };
    (deny_wake) => {
        Some(&[Effect::DenyWake])
    };
}

/// The words of `machine.state`: those of the API.
pub const MACHINE_STATES: &[&str] = &[
    "created",
    "starting",
    "started",
    "stopping",
    "stopped",
    "restarting",
    "suspending",
    "suspended",
    "replacing",
    "failed",
    "destroying",
    "destroyed",
];

platform_names! {
    Now "now" Timestamp clock "the moment of the evaluation"
    Objective "intent.objective" String level "what the machine is for, as its owner says"
    Phase "intent.phase" String level "what it is busy with, as it says itself"
    Done "intent.done" Bool level "its objective is reached"
    InboxDepth "inbox.depth" Int level "messages that wait for an ack"
    InboxOldest "inbox.oldest_s" Int clock "seconds the oldest of them has waited; 0 without any"
    Holds "holds" Int level "live holds"
    LastExit "signal.last_exit" Int level "exit code of the last run, 128 + n for signal n"
    Oom "signal.oom" Bool level "the last run ended for want of RAM"
    WakeFailures "signal.wake_failures" Int level "wakes in a row that did not reach `started`"
    WakesWithoutProgress "signal.wakes_without_progress" Int level
        "wakes in a row that ended without ack, fact or request"
    ResumedCold "signal.resumed_cold" Bool level "the last resume had to start from nothing"
    StartedDay "usage.started_s_day" Int clock "seconds up since midnight UTC"
    StartedMonth "usage.started_s_month" Int clock "seconds up since the first of the month UTC"
    CpuDay "usage.cpu_s_day" Double level "seconds of CPU since midnight UTC"
    CpuMonth "usage.cpu_s_month" Double level "seconds of CPU since the first of the month UTC"
    WakesDay "usage.wakes_day" Int level "governed wakes since midnight UTC"
    WakesMonth "usage.wakes_month" Int level "governed wakes since the first of the month UTC"
    State "machine.state" String state "its state, in the words of the API"
    Idle "machine.idle_s" Int clock "seconds without any activity; 0 while there is some or it is down"
    Uptime "machine.uptime_s" Int clock "seconds since its program started; 0 while it is down"
    Rest "machine.rest_s" Int clock "seconds since it went to rest; 0 while it is up"
    Inflight "machine.inflight" Int level "requests under way"
    ConnsIn "machine.conns_in" Int level "inbound connections"
    ConnsOut "machine.conns_out" Int level "outbound connections with bytes in the last minute"
    NetIdle "machine.net_idle_s" Int clock "seconds without a byte on its link"
    Cpu "machine.cpu_1m" Double level "CPUs in use, mean of the last minute: 0.02 is 2 % of one"
    #[deny_wake] RequestHost "request.host" String level
        "host of the request that would wake it; empty when no request does"
    #[deny_wake] RequestPath "request.path" String level "its path; empty when no request does"
    #[deny_wake] RequestMethod "request.method" String level "its method; empty when no request does"
    AppRunning "app.running" Int level "machines of the app that are up"
}

impl Platform {
    /// What it is when nobody knows: only requests have such a value, as most wakes have none.
    #[must_use]
    pub fn when_absent(self) -> Option<Value> {
        let is_request =
            matches!(self, Self::RequestHost | Self::RequestPath | Self::RequestMethod);
        is_request.then(|| Value::from(""))
    }
}

/// Where a condition stands: decides which names it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a rule of this effect.
    Rule(Effect),
    /// In a machine's own `rest until`.
    RestUntil,
    /// In the guard of a fact.
    Guard {
        /// The type of the fact.
        ty: FactType,
        /// Its value must not be shown.
        is_secret: bool,
    },
}

/// The names that exist at one place of one policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vocabulary<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) peers: &'a Peers,
    pub(crate) place: Place,
}

/// A name that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: Name,
    pub(crate) ty: Type,
    pub(crate) is_clock: bool,
    pub(crate) is_secret: bool,
    /// What it is when it is missing.
    pub(crate) default: Option<Value>,
    /// All values it can have, where they are few words.
    pub(crate) values: Vec<Value>,
}

/// Why there is no such name here.
#[derive(Debug)]
pub(crate) struct NotFound {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl NotFound {
    fn new(message: String, hint: Option<String>) -> Self {
        Self { message, hint }
    }
}

impl Vocabulary<'_> {
    /// Looks up a dotted name such as `memory.progress`.
    pub(crate) fn find(&self, path: &str) -> Result<Found, NotFound> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        match head {
            "memory" if !rest.is_empty() => self.fact(rest),
            "due" if !rest.is_empty() && !self.is_guard() => Ok(due(rest)),
            "peer" if !rest.is_empty() && !self.is_guard() => self.peer(rest),
            _ => self.special(path).or_else(|| self.platform(path)).unwrap_or_else(|| {
                let hint = did_you_mean(path, self.known().iter().map(String::as_str));
                let hint = hint.or_else(|| self.group_hint(head));
                Err(NotFound::new(format!("there is no name `{path}` here"), hint))
            }),
        }
    }

    const fn is_guard(&self) -> bool {
        matches!(self.place, Place::Guard { .. })
    }

    fn fact(&self, key: &str) -> Result<Found, NotFound> {
        if key == "scratch" || key.starts_with("scratch.") {
            let hint = "declare the fact under `facts`; `scratch.*` has no schema";
            return Err(NotFound::new(
                format!("rules cannot read `memory.{key}`"),
                Some(hint.to_owned()),
            ));
        }
        let Some(schema) = self.facts.get(key) else {
            let hint = did_you_mean(key, self.facts.keys().map(String::as_str))
                .unwrap_or_else(|| "declare it under `facts`".to_owned());
            return Err(NotFound::new(format!("no fact `{key}` is declared"), Some(hint)));
        };
        let Some(ty) = schema.ty.as_type() else {
            let hint = "declare what the rule needs as a fact of its own type";
            return Err(NotFound::new(
                format!("`memory.{key}` is of type `json`, which rules cannot read"),
                Some(hint.to_owned()),
            ));
        };
        let read = |json: &serde_json::Value| schema.ty.read(json);
        Ok(Found {
            name: Name::Memory(key.into()),
            ty,
            is_clock: false,
            is_secret: schema.secret,
            default: schema.default.as_ref().and_then(read),
            values: schema.one_of.iter().flatten().filter_map(read).collect(),
        })
    }

    fn peer(&self, rest: &str) -> Result<Found, NotFound> {
        let Some((peer, fact)) = rest.split_once('.') else {
            let hint = format!("write `peer.{rest}.state`, `.age_s` or `.` and one of its facts");
            return Err(NotFound::new(format!("`peer.{rest}` is a machine, no value"), Some(hint)));
        };
        if !self.peers.is_empty() && !self.peers.contains_key(peer) {
            let hint = did_you_mean(peer, self.peers.keys().map(String::as_str));
            return Err(NotFound::new(format!("`peers` has no `{peer}`"), hint));
        }
        let (name, ty, is_clock) = match fact {
            "age_s" => (Name::PeerAge(peer.into()), Type::Int, true),
            "state" => (Name::PeerState(peer.into()), Type::String, false),
            _ => {
                let name = Name::PeerFact { peer: peer.into(), fact: fact.into() };
                (name, self.peer_fact_type(peer, fact)?, false)
            }
        };
        let states = if fact == "state" { MACHINE_STATES } else { &[] };
        let values = states.iter().map(|s| Value::from(*s)).collect();
        Ok(Found { name, ty, is_clock, is_secret: false, default: None, values })
    }

    fn peer_fact_type(&self, peer: &str, fact: &str) -> Result<Type, NotFound> {
        let declared = self.peers.get(peer).map(|p| &p.facts).filter(|facts| !facts.is_empty());
        let Some(facts) = declared else { return Ok(Type::Dyn) };
        facts.get(fact).and_then(|ty| ty.as_type()).ok_or_else(|| {
            let others = facts.keys().map(String::as_str).chain(["age_s", "state"]);
            let hint = did_you_mean(fact, others);
            NotFound::new(format!("`peers` gives `{peer}` no readable fact `{fact}`"), hint)
        })
    }

    fn special(&self, path: &str) -> Option<Result<Found, NotFound>> {
        let Place::Guard { ty, is_secret } = self.place else { return None };
        let name = match path {
            "old" => Name::Old,
            "new" => Name::New,
            "writer" => return Some(Ok(plain(Name::Writer, Type::String))),
            _ => return None,
        };
        let message = format!("`{path}` is of type `json`, which guards cannot read");
        let ty = ty.as_type().ok_or_else(|| NotFound::new(message, None));
        Some(ty.map(|ty| Found { is_secret, ..plain(name, ty) }))
    }

    fn platform(&self, path: &str) -> Option<Result<Found, NotFound>> {
        let name = Platform::ALL.iter().find(|name| name.row().text == path)?;
        let row = name.row();
        if !self.allows(*name) {
            let message = match self.place {
                Place::Guard { .. } => format!("a guard cannot use `{path}`"),
                Place::Rule(_) | Place::RestUntil => {
                    format!("only a `deny_wake` rule can use `{path}`")
                }
            };
            return Some(Err(NotFound::new(message, None)));
        }
        Some(Ok(Found {
            default: name.when_absent(),
            is_clock: row.is_clock,
            values: row.values.iter().map(|s| Value::from(*s)).collect(),
            ..plain(Name::Platform(*name), row.ty.clone())
        }))
    }

    /// A guard sees the machine's own words and the time; rules see everything but others' effects.
    fn allows(&self, name: Platform) -> bool {
        let row = name.row();
        match self.place {
            Place::Rule(effect) => row.only_for.is_none_or(|only| only.contains(&effect)),
            Place::RestUntil => row.only_for.is_none(),
            Place::Guard { .. } => row.text.starts_with("intent.") || name == Platform::Now,
        }
    }

    fn known(&self) -> Vec<String> {
        let platform = Platform::ALL.iter().filter(|name| self.allows(**name));
        let facts = self.facts.keys().map(|key| format!("memory.{key}"));
        platform.map(|name| name.row().text.to_owned()).chain(facts).collect()
    }

    /// The names that begin with the same word, or the first words there are.
    fn group_hint(&self, head: &str) -> Option<String> {
        if self.facts.contains_key(head) {
            return Some(format!("write `memory.{head}`"));
        }
        let known = self.known();
        let prefix = format!("{head}.");
        let group: Vec<_> = known.iter().filter(|name| name.starts_with(&prefix)).collect();
        let words: Vec<_> = group.iter().map(|name| format!("`{name}`")).collect();
        (!words.is_empty()).then(|| format!("there are {}", words.join(", ")))
    }
}

fn plain(name: Name, ty: Type) -> Found {
    Found { name, ty, is_clock: false, is_secret: false, default: None, values: Vec::new() }
}

fn due(alarm: &str) -> Found {
    plain(Name::Due(alarm.into()), Type::Bool)
}

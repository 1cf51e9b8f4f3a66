//! The names of conditions, read from the record and the view.

use crate::calendar::Calendar;
use crate::selfhood::Selfhood;
use crate::view::{Idle, View};
use model::UnixMs;
use policy::{Absence, FactType, Level, Name, Platform, Policy, Reading, Value, Values};
use serde_json::Value as Json;

const MISSING: Reading = Reading::absent(Absence::Missing);

/// What the record alone can answer: enough for guards.
#[derive(Clone, Copy, Debug)]
pub struct SelfValues<'a> {
    /// The record.
    pub selfhood: &'a Selfhood,
    /// Its policy.
    pub policy: &'a Policy,
    /// The moment.
    pub now: UnixMs,
}

/// Everything a rule can read.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The record.
    pub own: SelfValues<'a>,
    /// What the host sees.
    pub view: &'a View<'a>,
}

impl Values for SelfValues<'_> {
    fn read(&self, name: &Name) -> Reading {
        match name {
            Name::Memory(key) => self.fact(key),
            Name::Due(alarm) => self.due(alarm),
            Name::Platform(name) => self.platform(*name),
            Name::PeerFact { .. }
            | Name::PeerState(_)
            | Name::PeerAge(_)
            | Name::Old
            | Name::New
            | Name::Writer => MISSING,
        }
    }
}

impl SelfValues<'_> {
    fn fact(&self, key: &str) -> Reading {
        let Some(fact) = self.selfhood.facts.get(key) else { return MISSING };
        let ty = self.policy.fact(key).map(|schema| schema.ty);
        expiring(value_of(&fact.value, ty), fact.expires_at, self.now)
    }

    fn due(&self, alarm: &str) -> Reading {
        let Some(alarm) = self.selfhood.alarms.get(alarm) else { return MISSING };
        let reading = Reading::known(alarm.due.is_some());
        match alarm.next {
            Some(next) if alarm.due.is_none() => reading.then(next, Level::Known(true.into())),
            Some(_) | None => reading,
        }
    }

    fn holds(&self) -> Reading {
        let ends: Vec<UnixMs> = self.selfhood.holds.values().map(|hold| hold.expires_at).collect();
        let n_live_at = |at: UnixMs| ends.iter().filter(|end| at < **end).count();
        let live = ends.iter().filter(|end| self.now < **end);
        let reading = count(n_live_at(self.now));
        match live.min() {
            Some(end) => {
                let Level::Known(after) = count(n_live_at(*end)).level else { return reading };
                reading.then(*end, Level::Known(after))
            }
            None => reading,
        }
    }

    fn platform(&self, name: Platform) -> Reading {
        let Selfhood { intent, inbox, signals, usage, .. } = self.selfhood;
        match name {
            Platform::Objective => Reading::known(&*intent.objective),
            Platform::Phase => Reading::known(&*intent.phase),
            Platform::Done => Reading::known(intent.done),
            Platform::InboxDepth => number(inbox.depth),
            Platform::InboxOldest => match inbox.oldest {
                Some(oldest) => Reading::since(oldest.at),
                None => number(0_u32),
            },
            Platform::Holds => self.holds(),
            Platform::LastExit => signals.last_exit.map_or(MISSING, number),
            Platform::Oom => Reading::known(signals.oom),
            Platform::WakeFailures => number(signals.wake_failures),
            Platform::WakesWithoutProgress => number(signals.wakes_without_progress),
            Platform::ResumedCold => Reading::known(signals.resumed_cold),
            Platform::StartedDay => usage.started(Calendar::Day, self.now),
            Platform::StartedMonth => usage.started(Calendar::Month, self.now),
            Platform::CpuDay => self.tally(Calendar::Day, |tally| cpu_seconds(tally.cpu_ms)),
            Platform::CpuMonth => self.tally(Calendar::Month, |tally| cpu_seconds(tally.cpu_ms)),
            Platform::WakesDay => self.tally(Calendar::Day, |tally| i64::from(tally.wakes).into()),
            Platform::WakesMonth => {
                self.tally(Calendar::Month, |tally| i64::from(tally.wakes).into())
            }
            Platform::Now
            | Platform::State
            | Platform::Idle
            | Platform::Uptime
            | Platform::Rest
            | Platform::Inflight
            | Platform::ConnsIn
            | Platform::ConnsOut
            | Platform::NetIdle
            | Platform::Cpu
            | Platform::RequestHost
            | Platform::RequestPath
            | Platform::RequestMethod
            | Platform::AppRunning => MISSING,
        }
    }

    fn tally(&self, calendar: Calendar, value: fn(crate::selfhood::Tally) -> Value) -> Reading {
        let usage = &self.selfhood.usage;
        let empty = value(crate::selfhood::Tally::default());
        Reading::known(value(usage.tally(calendar, self.now)))
            .then(calendar.next(self.now), Level::Known(empty))
    }
}

impl Values for Snapshot<'_> {
    fn read(&self, name: &Name) -> Reading {
        match name {
            Name::PeerFact { peer, fact } => self.peer_fact(peer, fact),
            Name::PeerState(peer) => {
                self.peer(peer).map_or(NO_PEER, |peer| Reading::known(peer.state))
            }
            Name::PeerAge(peer) => {
                self.peer(peer).map_or(NO_PEER, |peer| Reading::since(peer.beat_at))
            }
            Name::Platform(name) => self.host(*name).unwrap_or_else(|| self.own.platform(*name)),
            Name::Memory(_) | Name::Due(_) | Name::Old | Name::New | Name::Writer => {
                self.own.read(name)
            }
        }
    }
}

const NO_PEER: Reading = Reading::absent(Absence::NoPeer);

impl Snapshot<'_> {
    /// `None`: not a name that the host answers.
    fn host(&self, name: Platform) -> Option<Reading> {
        let view = self.view;
        let is_up = view.is_up();
        let level = |value: Option<u32>| match value {
            _ if !is_up => number(0_u32),
            Some(value) => number(value),
            None => MISSING,
        };
        let clock = |since: Option<UnixMs>, counts: bool| match since {
            _ if !counts => number(0_u32),
            Some(since) => Reading::since(since),
            None => MISSING,
        };
        Some(match name {
            Platform::State => Reading::known(view.machine.state.api_name()),
            Platform::Idle => match view.idle {
                Some(Idle::Busy) => number(0_u32),
                Some(Idle::Since(since)) => clock(Some(since), is_up),
                None => clock(None, is_up),
            },
            Platform::Uptime => clock(view.started_at, is_up),
            Platform::Rest => clock(view.rested_at, view.is_resting()),
            Platform::Inflight => level(view.inflight),
            Platform::ConnsIn => level(view.conns_in),
            Platform::ConnsOut => level(view.conns_out),
            Platform::NetIdle => clock(view.net_idle_since, is_up),
            Platform::Cpu => match view.cpu_1m {
                _ if !is_up => Reading::known(Value::Double(0.0)),
                Some(cpu) if cpu.is_finite() => Reading::known(Value::Double(cpu)),
                Some(_) | None => MISSING,
            },
            Platform::RequestHost => view.request.map_or(MISSING, |r| Reading::known(r.host)),
            Platform::RequestPath => view.request.map_or(MISSING, |r| Reading::known(r.path)),
            Platform::RequestMethod => view.request.map_or(MISSING, |r| Reading::known(r.method)),
            Platform::AppRunning => view.app_running.map_or(MISSING, number),
            _ => return None,
        })
    }

    fn peer(&self, name: &str) -> Option<crate::view::Peer<'_>> {
        let described = self.own.policy.document().peers.get(name);
        let machine = described.and_then(|peer| peer.machine.as_deref()).unwrap_or(name);
        self.view.peers.peer(machine)
    }

    fn peer_fact(&self, peer: &str, key: &str) -> Reading {
        let Some(found) = self.peer(peer) else { return NO_PEER };
        let Some((json, expires_at)) = found.facts.fact(key) else { return MISSING };
        let described = self.own.policy.document().peers.get(peer);
        let ty = described.and_then(|peer| peer.facts.get(key)).copied();
        expiring(value_of(json, ty), expires_at, self.own.now)
    }
}

/// A value that counts until `end`.
fn expiring(value: Value, end: Option<UnixMs>, now: UnixMs) -> Reading {
    let expired = Level::Absent(Absence::Expired);
    match end {
        Some(end) if end <= now => expired.into(),
        Some(end) => Reading::known(value).then(end, expired),
        None => Reading::known(value),
    }
}

/// A fact's value as its type says. One that does not fit comes as what it is, so that the condition
/// finds it to be of the wrong type, or, where no type is declared, takes it as it comes.
fn value_of(json: &Json, ty: Option<FactType>) -> Value {
    ty.and_then(|ty| ty.read(json)).unwrap_or_else(|| plain_value(json))
}

fn plain_value(json: &Json) -> Value {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(double)) if double.is_finite() => Value::Double(double),
            (None, _) => unreadable(),
        },
        Json::String(text) => Value::from(&**text),
        Json::Array(items) => {
            let texts: Option<Vec<Value>> =
                items.iter().map(|item| item.as_str().map(Value::from)).collect();
            texts.map_or_else(unreadable, |texts| Value::List(texts.into()))
        }
        Json::Null | Json::Object(_) => unreadable(),
    }
}

/// A value of a type that no name has.
fn unreadable() -> Value {
    Value::List([Value::List([].into())].into())
}

fn number(value: impl Into<i64>) -> Reading {
    Reading::known(value.into())
}

fn count(n: usize) -> Reading {
    Reading::known(i64::try_from(n).unwrap_or(i64::MAX))
}

fn cpu_seconds(ms: u64) -> Value {
    let seconds = u32::try_from(ms / 1000).unwrap_or(u32::MAX);
    let rest = u32::try_from(ms % 1000).unwrap_or(0);
    Value::Double(f64::from(seconds) + f64::from(rest) / 1000.0)
}

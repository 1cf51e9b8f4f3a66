//! Who keeps a machine awake.
//!
//! Only what counts is told: visitors keep a machine awake if its services or its rules look at
//! visitors, an outbound connection if its rules look at that, and so on. A machine that nothing
//! would put to rest is kept awake by nobody; that is told in so many words.

use super::{Scene, one_line};
use crate::calendar::clock_text;
use crate::verdict::{Candidate, Source, Stance};
use model::UnixMs;
use model::admit::Gate;
use policy::{Effect, Name, Platform};
use serde::Serialize;

/// CPUs in use from which on a machine is busy. Source: design, section 6.
const CPU_BUSY: f64 = 0.02;

/// Somebody or something that keeps a machine awake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keeper {
    /// Stable word: `requests`, `connections`, `exec`, `outbound`, `direct`, `cpu`, `hold`, `rule`,
    /// `alarm`, `message`, `self`, `min_run`, `min_machines_running`, `lease`, `nothing`.
    pub by: &'static str,
    /// How many, where it is something that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Name of the hold, rule or alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMs>,
    /// In words.
    pub text: String,
}

/// What the rules that put a machine to rest read of its activity.
#[derive(Clone, Copy, Debug, Default)]
struct Interest {
    visitors: bool,
    idle: bool,
    outbound: bool,
    cpu: bool,
}

impl Scene<'_> {
    /// Who keeps it awake; empty while it is not up.
    pub(super) fn keepers(&self) -> Vec<Keeper> {
        if !self.view.is_up() {
            return Vec::new();
        }
        let interest = self.interest();
        let mut keepers = self.activity(interest);
        keepers.extend(self.holds());
        keepers.extend(self.verdict.candidates.iter().filter_map(|c| self.candidate_keeps(c)));
        keepers.extend(self.shut_gate());
        if keepers.is_empty() && !self.may_rest() {
            keepers.push(keeper("nothing", "no service and no rule puts it to rest".to_owned()));
        }
        keepers
    }

    /// Whether anything could ever put it to rest.
    fn may_rest(&self) -> bool {
        let rests = |effect| matches!(effect, Effect::Rest | Effect::Retire);
        self.view.autostop.is_some()
            || self.policy.rules().iter().any(|rule| rests(rule.effect))
            || self.next_self().rest.is_some()
    }

    fn interest(&self) -> Interest {
        let rules = self.policy.rules().iter();
        let rests = rules.filter(|rule| matches!(rule.effect, Effect::Rest | Effect::Retire));
        let names = rests.flat_map(|rule| rule.when.names());
        let autostop = self.view.autostop.is_some();
        let start = Interest { visitors: autostop, ..Interest::default() };
        names.fold(start, |interest, name| match name {
            Name::Platform(Platform::Idle) => Interest { idle: true, ..interest },
            Name::Platform(Platform::Inflight | Platform::ConnsIn) => {
                Interest { visitors: true, ..interest }
            }
            Name::Platform(Platform::ConnsOut) => Interest { outbound: true, ..interest },
            Name::Platform(Platform::Cpu) => Interest { cpu: true, ..interest },
            _ => interest,
        })
    }

    fn activity(&self, interest: Interest) -> Vec<Keeper> {
        let view = self.view;
        let Interest { visitors, idle, outbound, cpu } = interest;
        let execs = Some(view.n_sessions).filter(|_| idle || view.autostop.is_some());
        let counted = [
            ("requests", view.inflight.filter(|_| visitors || idle), "request under way"),
            ("connections", view.conns_in.filter(|_| visitors || idle), "connection of visitors"),
            ("exec", execs, "command run by exec"),
            ("outbound", view.conns_out.filter(|_| outbound || idle), "outbound connection"),
            ("direct", view.conns_direct.filter(|_| idle), "connection of another machine"),
        ];
        let counted = counted.into_iter().filter_map(|(by, n, what)| {
            let n = n.filter(|n| *n > 0)?;
            Some(Keeper { n: Some(n), ..keeper(by, many(n, what)) })
        });
        let used = view.cpu_1m.filter(|used| (idle || cpu) && *used >= CPU_BUSY);
        let cpu = used.map(|used| keeper("cpu", format!("{used} CPUs in use")));
        counted.chain(cpu).collect()
    }

    fn holds(&self) -> Vec<Keeper> {
        let holds = self.next_self().holds.iter();
        let told = holds.map(|(name, hold)| {
            let reason = if hold.reason.is_empty() { "" } else { &*format!(" ({})", hold.reason) };
            let until = clock_text(hold.expires_at, self.now, None);
            Keeper {
                name: Some(name.clone()),
                until: Some(hold.expires_at),
                ..keeper("hold", format!("hold `{name}`{reason} until {until}"))
            }
        });
        told.collect()
    }

    /// Who wants it up, or no rest. Holds are told apart.
    fn candidate_keeps(&self, candidate: &Candidate) -> Option<Keeper> {
        let keeps = matches!(candidate.effect, Effect::Hold | Effect::Wake | Effect::DenyRest);
        if !keeps || candidate.is_muted {
            return None;
        }
        let (by, name) = match &candidate.source {
            Source::Rule(id) => ("rule", Some(id.clone())),
            Source::Alarm(name) => ("alarm", Some(name.clone())),
            Source::Message => ("message", None),
            Source::RestUntil(_) => ("self", None),
            Source::Hold(_) | Source::Autostop(_) | Source::Excess(_) | Source::Age(_) => {
                return None;
            }
        };
        Some(Keeper { name, ..keeper(by, self.told(&candidate.source)) })
    }

    /// A gate that alone stops a rest that is wanted.
    fn shut_gate(&self) -> Option<Keeper> {
        let Stance::Kept { gate, gate_by, .. } = &self.verdict.stance else { return None };
        let by = match gate {
            Gate::MinRun => "min_run",
            Gate::RestPermit => "min_machines_running",
            Gate::Lease => "lease",
            // Told as what they are.
            _ => return None,
        };
        Some(keeper(by, self.gate(*gate, gate_by.as_deref())))
    }
}

fn keeper(by: &'static str, text: String) -> Keeper {
    Keeper { by, n: None, name: None, until: None, text: one_line(&text) }
}

/// "1 request under way", "2 requests under way".
fn many(n: u32, what: &str) -> String {
    match (n, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("outbound", rest))) => format!("{n} outbound {rest}s"),
        (_, Some((noun, rest))) => format!("{n} {noun}s {rest}"),
        (_, None) => format!("{n} {what}s"),
    }
}

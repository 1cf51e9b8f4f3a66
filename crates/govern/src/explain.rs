//! Why a machine is as it is, in a sentence, and what comes next.
//!
//! * `words`: decisions in words. `keepers`: who keeps it awake.

mod keepers;
mod words;

pub use keepers::Keeper;
pub use words::wish_words;

use crate::calendar::{clock_text, span_text};
use crate::evaluate::evaluate;
use crate::selfhood::{RestPhase, Selfhood};
use crate::values::{SelfValues, Snapshot};
use crate::verdict::{Candidate, Lost, Source, Stance, Tri, Verdict};
use crate::view::View;
use model::admit::Gate;
use model::state::HoldDown;
use model::{Cause, Depth, State, UnixMs};
use policy::{Effect, Policy};
use serde::Serialize;
use words::now_text;

/// Why a machine is as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The whole of it in one sentence.
    pub sentence: String,
    /// What it rests on, the more important first.
    pub because: Vec<String>,
    /// What comes next by time alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextThing>,
    /// Why it was last woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub woken: Option<String>,
    /// Who keeps it awake, while it is up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awake: Vec<Keeper>,
}

/// What comes next by time alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextThing {
    /// What.
    pub what: String,
    /// When.
    pub at: UnixMs,
}

/// Explains a machine at `now`: from its record and what the host sees, evaluated afresh.
#[must_use]
pub fn explain(selfhood: &Selfhood, policy: &Policy, view: &View<'_>, now: UnixMs) -> Explanation {
    let verdict = evaluate(selfhood, policy, view, now);
    let scene = Scene { policy, view, now, verdict: &verdict };
    let next = scene.next();
    let why = scene.why();
    let gap = if why.starts_with(';') { "" } else { " " };
    let mut sentence = format!("{}{gap}{why}", scene.being());
    if let Some(next) = &next {
        sentence += &format!("; next: {}", next.what);
    }
    let because = scene.because().iter().map(|line| one_line(line)).collect();
    let (woken, awake) = (scene.woken(), scene.keepers());
    Explanation { sentence: one_line(&sentence), because, woken, next, awake }
}

/// Reasons are other people's texts: nothing in them may move a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Wake rules that a sentence names: one that names all is none.
const WAKES_TOLD_MAX: usize = 2;

struct Scene<'a> {
    policy: &'a Policy,
    view: &'a View<'a>,
    now: UnixMs,
    verdict: &'a Verdict,
}

impl Scene<'_> {
    fn being(&self) -> &'static str {
        match &self.view.machine.state {
            State::Started { .. } => "awake",
            State::Resting { .. } => "awake, about to rest,",
            State::Suspended { wake: None, .. } | State::Stopped { .. }
                if self.is_called_down() =>
            {
                self.view.machine.state.api_name()
            }
            State::Suspended { wake: None, depth: Depth::Freeze, .. } => "asleep (frozen)",
            State::Suspended { wake: None, .. } => "asleep (suspended)",
            State::Stopped { .. } => "asleep",
            state => state.api_name(),
        }
    }

    /// It is down because somebody called for that, and for no other reason.
    fn is_called_down(&self) -> bool {
        let rested = self.next_self().rested.as_ref();
        rested.is_some_and(|rested| matches!(rested.cause, Cause::Api { .. }))
            && self.hold_down().is_none()
            && self.own_word().is_none()
            && !matches!(self.verdict.stance, Stance::Up { .. } | Stance::Owed { .. })
    }

    fn hold_down(&self) -> Option<&HoldDown> {
        self.view.machine.hold_down.as_ref().filter(|hold| hold.is_active(self.now))
    }

    fn next_self(&self) -> &Selfhood {
        &self.verdict.next
    }

    fn since(&self, at: UnixMs) -> String {
        format!("since {}", clock_text(at, self.now, None))
    }

    /// The part of the sentence after what it is.
    fn why(&self) -> String {
        let is_up = self.view.is_up();
        match &self.verdict.stance {
            Stance::Owed { by, gate, gate_by } => format!(
                "although {} wants it up: {}",
                self.told(by),
                self.gate(*gate, gate_by.as_deref())
            ),
            Stance::Up { by } if is_up => format!("because {} wants it up", self.told(by)),
            Stance::Up { by } => format!("and to be woken: {} wants it up", self.told(by)),
            Stance::Down { by, .. } if is_up => format!("and to rest: {} says so", self.told(by)),
            Stance::Kept { gate, gate_by, .. } if is_up => {
                format!("because {}", self.gate(*gate, gate_by.as_deref()))
            }
            Stance::Held { by } if is_up => format!("because {} keeps it so", self.told(by)),
            _ if is_up => "because nothing wants it to rest".to_owned(),
            _ => match self.hold_down() {
                Some(hold) => format!("because it is held down: {}", hold.reason),
                None => self.own_word().unwrap_or_else(|| self.down_by()),
            },
        }
    }

    /// "by its own word since 02:13 until `inbox.depth > 0` (now 0)"
    fn own_word(&self) -> Option<String> {
        let rest = self.next_self().rest.as_ref()?;
        let RestPhase::Resting { since } = rest.phase else { return None };
        let until = rest.until.as_ref().map(|text| format!(" until `{text}`{}", self.reads(text)));
        let or = if until.is_some() { " or" } else { " until" };
        let at = rest.at.map(|at| format!("{or} {}", clock_text(at, self.now, None)));
        Some(format!(
            "by its own word {}{}{}",
            self.since(since),
            until.unwrap_or_default(),
            at.unwrap_or_default()
        ))
    }

    /// The values that the condition of a rest reads now.
    fn reads(&self, text: &str) -> String {
        let Ok(condition) = self.policy.compile_rest_until(text) else { return String::new() };
        let own = SelfValues { selfhood: self.next_self(), policy: self.policy, now: self.now };
        now_text(&condition.evaluate(&Snapshot { own, view: self.view }, self.now))
    }

    /// "by rule `idle` since 02:13", and what would bring it up.
    fn down_by(&self) -> String {
        let deepened = self.deepened();
        // Whoever comes deeper by age has slept before: what is told is when that rest began.
        let rested = self.next_self().rested.as_ref();
        let by_age = |cause: &Cause| deepened.is_some() || matches!(cause, Cause::Age { .. });
        let began = rested.filter(|rested| by_age(&rested.cause)).map(|rested| rested.at);
        let since = began.or(self.view.rested_at);
        let since = since.map(|at| format!(" {}", self.since(at))).unwrap_or_default();
        let by = match (&self.next_self().rested, &self.verdict.stance) {
            (Some(rested), _) => format!("by {}", rested.cause.words()),
            (None, Stance::Down { by, .. } | Stance::Kept { by, .. }) => {
                format!("by {}", self.told(by))
            }
            (None, _) => self.ended().unwrap_or_default(),
        };
        let deeper = deepened.map(|cause| format!(", on disk by {}", cause.words()));
        let being = format!("{by}{since}{}", deeper.unwrap_or_default()).trim_start().to_owned();
        let waits = self.waits_for();
        if waits.is_empty() { being } else { format!("{being}; {waits}") }
    }

    /// Its age has put it on disk, after somebody else had put it to sleep.
    fn deepened(&self) -> Option<&Cause> {
        match &self.view.machine.state {
            State::Suspended { cause: Some(cause @ Cause::Age { .. }), .. } => Some(cause),
            _ => None,
        }
    }

    /// Its program came to an end that nobody had asked for.
    fn ended(&self) -> Option<String> {
        let State::Stopped { exit: Some(exit), .. } = &self.view.machine.state else { return None };
        (!exit.requested_stop)
            .then(|| format!("because its program ended with {}", exit.shell_code()))
    }

    /// What would bring it up, besides alarms.
    fn waits_for(&self) -> String {
        let wakes = self.policy.rules().iter().filter(|rule| rule.effect == Effect::Wake);
        let rules: Vec<String> = wakes
            .take(WAKES_TOLD_MAX)
            .map(|rule| format!("rule `{}`{}", rule.id, self.condition(&rule.id)))
            .collect();
        if rules.is_empty() && self.next_self().alarms.is_empty() {
            return "nothing wakes it but a call or a request".to_owned();
        }
        if rules.is_empty() { String::new() } else { format!("waits for {}", rules.join(" or ")) }
    }

    fn told(&self, source: &Source) -> String {
        match source {
            Source::RestUntil(_) => "its own word".to_owned(),
            Source::Rule(id) => format!("rule `{id}`{}", self.condition(id)),
            Source::Hold(name) => {
                let hold = self.next_self().holds.get(name);
                let reason = hold.filter(|hold| !hold.reason.is_empty());
                reason
                    .map_or_else(|| source.to_string(), |h| format!("hold `{name}` ({})", h.reason))
            }
            Source::Alarm(_)
            | Source::Message
            | Source::Autostop(_)
            | Source::Excess(_)
            | Source::Age(_) => source.to_string(),
        }
    }

    /// " (`inbox.depth >= 10`, now 12)"
    fn condition(&self, id: &str) -> String {
        let Some(rule) = self.policy.rules().iter().find(|rule| &*rule.id == id) else {
            return String::new();
        };
        let own = SelfValues { selfhood: self.next_self(), policy: self.policy, now: self.now };
        let outcome = rule.when.evaluate(&Snapshot { own, view: self.view }, self.now);
        format!(": `{}`{}", rule.when.text(), now_text(&outcome))
    }

    fn gate(&self, gate: Gate, by: Option<&str>) -> String {
        let ledger = &self.next_self().ledger;
        let until = |at: Option<UnixMs>| {
            at.map(|at| format!(" until {}", clock_text(at, self.now, None))).unwrap_or_default()
        };
        match (gate, by) {
            (Gate::Deny, Some(rule)) => format!("rule `{rule}` denies it{}", self.condition(rule)),
            (Gate::Hold, Some(by)) => format!("{by} keeps it awake"),
            (Gate::HoldDown, _) => {
                let hold = self.view.machine.hold_down.as_ref();
                format!("it is held down: {}", hold.map_or("", |hold| &hold.reason))
            }
            (Gate::MinRest, _) => "it has only just come to rest".to_owned(),
            (Gate::MinRun, _) => "it has only just started".to_owned(),
            (Gate::WakeBudget, _) => format!(
                "its wakes of this hour are used up{}",
                until(ledger.budget_grows_at(self.now))
            ),
            (Gate::Breaker, _) => format!(
                "its circuit breaker is open after {} failed wakes{}",
                self.next_self().signals.wake_failures,
                until(ledger.breaker_until(self.now))
            ),
            (Gate::Progress, _) => format!(
                "its last {} wakes came to nothing, so it waits{}",
                self.next_self().signals.wakes_without_progress,
                until(ledger.no_progress_until(self.now))
            ),
            (Gate::Lease, _) => "somebody holds its lease".to_owned(),
            (Gate::Capacity, _) => "the host has no room".to_owned(),
            (Gate::Autostart, _) => "`autostart` is off".to_owned(),
            (Gate::RestPermit, _) => "its app needs it".to_owned(),
            (Gate::DiskPressure, _) => "the host's disk is nearly full".to_owned(),
            (Gate::Deny | Gate::Hold, None) => "something keeps it so".to_owned(),
        }
    }

    fn because(&self) -> Vec<String> {
        let candidates = self.verdict.candidates.iter().map(|c| self.candidate(c));
        let unknown = self
            .verdict
            .results
            .iter()
            .filter(|result| result.when == Tri::Unknown || result.until == Some(Tri::Unknown));
        let unknown =
            unknown.map(|r| format!("rule `{}` is unknown{}", r.rule, self.condition(&r.rule)));
        let holds = self.next_self().holds.iter();
        let holds = holds.map(|(name, hold)| {
            format!("hold `{name}` until {}", clock_text(hold.expires_at, self.now, None))
        });
        candidates.chain(unknown).chain(holds).collect()
    }

    fn candidate(&self, candidate: &Candidate) -> String {
        let what = match candidate.effect {
            Effect::Wake => "wants it up",
            Effect::Rest | Effect::Retire => "wants it to rest",
            Effect::Hold => "keeps it awake",
            Effect::DenyWake => "denies wakes",
            Effect::DenyRest => "denies rests",
            Effect::Notify => "notifies",
        };
        let lost = match &candidate.lost {
            None => String::new(),
            Some(Lost::Muted) => ", silenced by a stop".to_owned(),
            Some(Lost::To(winner)) => format!(", after {winner}"),
            Some(Lost::Shut(gate)) => format!(", but {}", self.gate(*gate, None)),
        };
        format!("{} {what}{lost}", self.told(&candidate.source))
    }

    fn woken(&self) -> Option<String> {
        let wake = self.next_self().wake.as_ref()?;
        let why = wake.cause.words();
        let cold = if wake.cold { ", cold" } else { "" };
        Some(format!("by {why} at {}{cold}", clock_text(wake.at, self.now, None)))
    }

    /// What its age does at this moment, if it does anything.
    fn deepens_at(&self, at: UnixMs) -> Option<&'static str> {
        let began = self.next_self().rested.as_ref().map(|rested| rested.at);
        let dues = self.view.dues(began);
        let due = dues.iter().find(|due| due.at == at && matches!(due.source, Source::Age(_)))?;
        Some(match due.depth {
            Depth::Stop => "stopped by its setting `deepen`",
            Depth::Freeze | Depth::Suspend => "to disk by its setting `deepen`",
        })
    }

    /// The next alarm or greater depth when that is what comes first, else the moment of the next look.
    fn next(&self) -> Option<NextThing> {
        let at = self.verdict.next_at?;
        let alarms = self.next_self().alarms.iter();
        let first = alarms.filter_map(|(name, a)| Some((a.next?, name, a))).min_by_key(|a| a.0);
        let in_text = |at: UnixMs| span_text(at.since(self.now));
        Some(match first.filter(|(next, ..)| *next <= at) {
            Some((next, name, alarm)) => NextThing {
                what: format!(
                    "alarm `{name}` {} in {}",
                    clock_text(next, self.now, alarm.text.tz.as_deref()),
                    in_text(next)
                ),
                at: next,
            },
            None => {
                let what = self.deepens_at(at).unwrap_or("looked at again");
                let (clock, wait) = (clock_text(at, self.now, None), in_text(at));
                NextThing { what: format!("{what} {clock} in {wait}"), at }
            }
        })
    }
}

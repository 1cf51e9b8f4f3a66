//! A host in miniature: the model, the record, and time that only tests move.
//!
//! After every evaluation it checks what must always hold: evaluated again it says the same, until
//! `next_at` time changes nothing, every decision replays.

use govern::selfhood::Inbox;
use govern::view::{Idle, NoPeers, Peer};
use govern::write::{Message, MessageRow, Reply, Seen};
use govern::{
    Ground, Peers, Replay, Report, RowOp, Rows, Selfhood, Stance, TraceEntry, Verdict, View, Write,
    WriteRefused, Writer, apply, evaluate, no_policy, replay,
};
use model::event::StopOrder;
use model::spec::deepen::Deepen;
use model::spec::{RestartMode, RestartPolicy};
use model::{
    Admission, BootId, Cause, Depth, DurationMs, Effect, Event, Exit, GateFacts, Machine, Run,
    RunId, RunSeed, SlotId, State, TimerKind, UnixMs, Want, admit, step, timers,
};
use policy::Policy;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// 2026-02-27T21:00:00Z: three hours before a midnight, and a month's end nearby.
pub(crate) const NOW: UnixMs = UnixMs(1_772_226_000_000);

pub(crate) const DUTY: &str = include_str!("../../../policy/tests/policy/worked/duty-monitor.json");
pub(crate) const QUEUE: &str =
    include_str!("../../../policy/tests/policy/worked/queue-worker.json");
pub(crate) const NIGHTLY: &str =
    include_str!("../../../policy/tests/policy/worked/nightly-job.json");
pub(crate) const AGENT: &str =
    include_str!("../../../policy/tests/policy/worked/waiting-agent.json");
pub(crate) const STANDBY: &str = include_str!("../../../policy/tests/policy/worked/standby.json");

/// Chance, from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Message rows in RAM.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemRows {
    pub(crate) rows: BTreeMap<u64, MessageRow>,
    pub(crate) seen: BTreeMap<String, Seen>,
    pub(crate) dead: Vec<u64>,
}

impl Rows for MemRows {
    fn after(&self, seq: u64) -> Option<MessageRow> {
        self.rows.range(seq + 1..).next().map(|(_, row)| row.clone())
    }
    fn message(&self, seq: u64) -> Option<MessageRow> {
        self.rows.get(&seq).cloned()
    }
    fn seen(&self, key: &str) -> Option<Seen> {
        self.seen.get(key).copied()
    }
}

impl MemRows {
    fn carry_out(&mut self, op: &RowOp) {
        match op {
            RowOp::PutMessage { row, .. } => {
                if let Some(key) = row.key() {
                    self.seen.insert(key, Seen { seq: row.seq, forget_at: None });
                }
                self.rows.insert(row.seq, row.clone());
            }
            RowOp::MarkDelivered { seq, deliveries, hidden_until } => {
                let row = self.rows.get_mut(seq).expect("a delivered message waits");
                row.deliveries = *deliveries;
                row.hidden_until = *hidden_until;
            }
            RowOp::RemoveMessage { seq, forget_at } => self.remove(*seq, *forget_at),
            RowOp::BuryMessage { seq, forget_at, .. } => {
                self.remove(*seq, *forget_at);
                self.dead.push(*seq);
            }
            RowOp::ForgetIds { before } => {
                self.seen.retain(|_, seen| seen.forget_at.is_none_or(|at| *before < at));
            }
            RowOp::PutPolicy { .. } => {}
        }
    }

    fn remove(&mut self, seq: u64, forget_at: UnixMs) {
        let row = self.rows.remove(&seq).expect("an acknowledged message waited");
        if let Some(key) = row.key() {
            self.seen.insert(key, Seen { seq, forget_at: Some(forget_at) });
        }
    }
}

/// Other machines, as a test sets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemPeers(pub(crate) BTreeMap<String, (UnixMs, Selfhood)>);

impl Peers for MemPeers {
    fn peer(&self, name: &str) -> Option<Peer<'_>> {
        let (beat_at, facts) = self.0.get(name)?;
        Some(Peer { state: "started", beat_at: *beat_at, facts })
    }
}

/// One machine and its host.
#[derive(Clone, Debug)]
pub(crate) struct Shell {
    pub(crate) now: UnixMs,
    pub(crate) machine: Machine,
    pub(crate) selfhood: Selfhood,
    pub(crate) policy: Policy,
    pub(crate) rows: MemRows,
    pub(crate) trace: Vec<TraceEntry>,
    pub(crate) peers: MemPeers,
    pub(crate) idle_since: Option<UnixMs>,
    pub(crate) restart: RestartMode,
    pub(crate) deepen: Option<Deepen>,
    pub(crate) can_suspend: bool,
    pub(crate) fails_to_start: bool,
    pub(crate) next_at: Option<UnixMs>,
    pub(crate) chance: Chance,
    pub(crate) checks: bool,
    started_at: Option<UnixMs>,
    rested_at: Option<UnixMs>,
    pending: Vec<(UnixMs, Event)>,
    n_runs: u8,
    pub(crate) n_starts: u32,
    pub(crate) notified: Vec<String>,
}

const ORDER: StopOrder = StopOrder { signal: 2, timeout: DurationMs(5_000) };

pub(crate) fn boot() -> BootId {
    "00000000-0000-4000-8000-000000000001".parse().unwrap()
}

impl Shell {
    /// A stopped machine with this policy.
    pub(crate) fn new(policy: &str) -> Self {
        let created = model::create(false, NOW).machine;
        let mut shell = Self {
            now: NOW,
            machine: created,
            selfhood: Selfhood::default(),
            policy: no_policy(),
            rows: MemRows::default(),
            trace: Vec::new(),
            peers: MemPeers::default(),
            idle_since: None,
            restart: RestartMode::No,
            deepen: None,
            can_suspend: true,
            fails_to_start: false,
            next_at: None,
            chance: Chance(1),
            checks: true,
            started_at: None,
            rested_at: None,
            pending: Vec::new(),
            n_runs: 0,
            n_starts: 0,
            notified: Vec::new(),
        };
        let seed = shell.seed();
        shell.step(&Event::Prepared { seed });
        shell.rested_at = None;
        shell.write(policy_write(policy), &Writer::Owner).unwrap();
        shell
    }

    /// The same, up since a moment.
    pub(crate) fn up(policy: &str) -> Self {
        let mut shell = Self::new(policy);
        shell.call(Want::Up);
        shell.pass_s(1);
        assert!(shell.is_up(), "{:?}", shell.machine.state);
        shell
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            started_at: self.started_at,
            rested_at: self.rested_at,
            can_freeze: true,
            can_suspend: self.can_suspend,
            deepen: self.deepen,
            idle: Some(self.idle_since.map_or(Idle::Busy, Idle::Since)),
            app_running: Some(1),
            peers: &self.peers,
            ..View::of(&self.machine)
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.machine.state, State::Started { .. } | State::Resting { .. })
    }

    pub(crate) fn later(&self, s: u64) -> UnixMs {
        self.now.plus(DurationMs::from_secs(s))
    }

    /// Writes, and evaluates if that matters.
    pub(crate) fn write(&mut self, write: Write, writer: &Writer) -> Result<Reply, WriteRefused> {
        let reply = self.store(&write, writer)?;
        self.evaluate();
        Ok(reply)
    }

    fn store(&mut self, write: &Write, writer: &Writer) -> Result<Reply, WriteRefused> {
        let ground = Ground {
            selfhood: &self.selfhood,
            policy: &self.policy,
            rows: &self.rows,
            inbox_room: u64::MAX,
            now: self.now,
        };
        let applied = apply(&ground, write, writer)?;
        self.selfhood = applied.next;
        if let Some(entry) = applied.entry {
            self.trace.push(self.selfhood.record(entry, self.now, &boot()));
        }
        applied.ops.iter().for_each(|op| self.rows.carry_out(op));
        if let Some(policy) = applied.policy {
            self.policy = policy;
        }
        if let Some(event) = applied.event {
            self.step(&event);
        }
        Ok(applied.reply)
    }

    pub(crate) fn own(&mut self, write: Write) -> Reply {
        self.write(write, &Writer::Machine).unwrap()
    }

    pub(crate) fn fact(&mut self, key: &str, value: impl Into<Json>, writer: &Writer) {
        self.write(fact(key, value), writer).unwrap();
    }

    /// Posts a message.
    pub(crate) fn post(&mut self, wake: bool) {
        self.try_post(wake).unwrap();
    }

    /// Posts a message; a full inbox refuses.
    pub(crate) fn try_post(&mut self, wake: bool) -> Result<Reply, WriteRefused> {
        let message = Message { body: "hello".to_owned(), wake, ..Message::default() };
        self.write(Write::Post(message), &Writer::Owner)
    }

    /// Takes and acknowledges everything.
    pub(crate) fn work(&mut self) {
        let Reply::Taken { seqs, .. } = self.own(Write::Take { max: 100 }) else { panic!() };
        self.own(Write::Ack { seqs });
    }

    /// A call of the API.
    pub(crate) fn call(&mut self, want: Want) {
        let cause = Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None };
        self.want(want, &cause);
        self.evaluate();
    }

    fn want(&mut self, want: Want, cause: &Cause) {
        let gates = evaluate(&self.selfhood, &self.policy, &self.view(), self.now).gates;
        let facts = GateFacts { ..gates };
        match admit(&self.machine, &facts, want, cause, self.now) {
            Admission::Go => {
                let is_call = matches!(cause, Cause::Api { .. });
                match want {
                    Want::Up => {
                        self.report(Report::Woken { cause: cause.clone() });
                        self.n_starts += 1;
                    }
                    Want::Down(_) if is_call => {
                        self.store(&Write::Stop, &Writer::Owner).unwrap();
                    }
                    Want::Down(_) => {}
                }
                let seed = self.seed();
                let is_asleep = matches!(self.machine.state, State::Suspended { .. });
                let ends_sleep = is_asleep && want == Want::Down(Depth::Stop);
                if matches!(want, Want::Down(_)) && self.is_up() || ends_sleep {
                    self.report(Report::Resting { cause: Some(cause.clone()) });
                }
                self.step(&Event::Want { want, cause: cause.clone(), seed, stop: ORDER });
            }
            Admission::Owed { not_before, .. } => {
                self.step(&Event::Owe { cause: cause.clone(), not_before });
            }
            Admission::Already | Admission::Refused(_) => {}
        }
    }

    fn report(&mut self, report: Report) {
        self.store(&Write::Report(report), &Writer::Platform).unwrap();
    }

    fn seed(&mut self) -> RunSeed {
        self.n_runs = self.n_runs.wrapping_add(1);
        let run = RunId::new(self.now, [self.n_runs; 10]);
        RunSeed { run, slot: Some(SlotId(1)), boot: boot() }
    }

    fn step(&mut self, event: &Event) {
        let Ok(next) = step(&self.machine, event, self.now) else { return };
        let was_up = self.is_up();
        self.machine = next.machine;
        if self.is_up() && !was_up {
            let at = self.machine.state.run().and_then(|run| run.started_at).unwrap_or(self.now);
            self.started_at = Some(at);
            self.idle_since = Some(self.now);
            self.report(Report::Up { at: self.now, cold: false });
        }
        let (now, is_up) = (self.now, self.is_up());
        match event {
            Event::RunFailed { .. } => self.came_to_rest(Report::WakeFailed),
            Event::RunExited { exit, .. } => {
                self.came_to_rest(Report::Exited { exit: exit.clone(), served: false });
            }
            Event::Slept { .. } if !is_up => {
                self.came_to_rest(Report::Rested { at: now, served: false });
            }
            _ => {}
        }
        for effect in next.effects {
            self.carry_out(&effect);
        }
    }

    fn came_to_rest(&mut self, report: Report) {
        self.rested_at = Some(self.now);
        if !matches!(self.machine.state, State::Suspended { .. }) {
            self.started_at = None;
        }
        self.report(report);
    }

    fn carry_out(&mut self, effect: &Effect) {
        let soon = self.now.plus(DurationMs(5 + self.chance.below(40)));
        let event = match effect {
            Effect::Launch(Run { id, .. }) if self.fails_to_start => Event::RunFailed {
                run: id.clone(),
                code: "test".to_owned(),
                message: "as told".to_owned(),
                is_transient: false,
                seed: self.seed(),
            },
            Effect::Launch(run) => Event::RunStarted { run: run.id.clone(), at: soon },
            Effect::Stop { run, .. } | Effect::Kill { run } => self.exited(run, Some(0), true),
            Effect::Sleep { run, depth } => {
                Event::Slept { run: run.clone(), depth: *depth, ram_bytes: 0 }
            }
            Effect::Wake { run, .. } => Event::Woke { run: run.id.clone() },
            Effect::WakeOwed { cause } => return self.want(Want::Up, cause),
            _ => return,
        };
        self.pending.push((soon, event));
    }

    fn exited(&mut self, run: &RunId, code: Option<i32>, requested_stop: bool) -> Event {
        let seed = self.seed();
        let exit = Exit { code, requested_stop, ..Exit::unseen(self.started_at, self.now) };
        let policy = RestartPolicy { mode: self.restart, max_retries: 10 };
        Event::RunExited { run: run.clone(), exit, policy, auto_destroy: false, seed }
    }

    /// The program ends by itself.
    pub(crate) fn exit(&mut self, code: i32) {
        if let Some(run) = self.machine.state.run().cloned().filter(|_| self.is_up()) {
            let event = self.exited(&run.id, Some(code), false);
            self.step(&event);
            self.evaluate();
        }
    }

    /// The host's program is killed and comes back: what was under way is taken up from the store.
    pub(crate) fn crash(&mut self) {
        let text = self.selfhood.to_text();
        self.selfhood = Selfhood::read(&text).unwrap();
        // What a shim saw meanwhile is told; what was not yet done is done again.
        self.pending.retain(|(_, event)| matches!(event, Event::RunExited { .. }));
        for effect in model::resume(&self.machine) {
            self.carry_out(&effect);
        }
        self.evaluate();
    }

    /// The wall clock is set.
    pub(crate) fn set_clock(&mut self, to: UnixMs) {
        let from = self.now;
        let moved = |at: UnixMs| UnixMs((at.0 + to.0).saturating_sub(from.0));
        self.now = to;
        for (at, _) in &mut self.pending {
            *at = moved(*at);
        }
        self.evaluate();
    }

    /// Evaluates until nothing more follows at this moment.
    pub(crate) fn evaluate(&mut self) -> Verdict {
        for _ in 0..8 {
            let verdict = self.evaluate_once();
            if !verdict.veto && verdict.wish.is_none() {
                return verdict;
            }
            let before = self.machine.clone();
            if let Some((want, cause)) = &verdict.wish {
                self.want(*want, cause);
            } else {
                self.step(&Event::Vetoed);
                self.report(Report::Vetoed);
            }
            if self.machine == before {
                return verdict;
            }
        }
        panic!("no end at {:?}: {:?}", self.now, self.trace.last());
    }

    fn evaluate_once(&mut self) -> Verdict {
        let verdict = evaluate(&self.selfhood, &self.policy, &self.view(), self.now);
        self.selfhood = verdict.next.clone();
        self.next_at = verdict.next_at;
        self.notified.extend(verdict.notify.iter().map(|n| n.rule.clone()));
        if self.checks {
            self.check(&verdict);
        }
        if let Some(entry) = verdict.entry.clone() {
            let entry = self.selfhood.record(entry, self.now, &boot());
            if self.checks {
                let found = replay(&entry, &self.policy);
                assert!(matches!(found, Replay::Agrees { .. }), "{found:?}: {entry:#?}");
            }
            self.trace.push(entry);
        }
        verdict
    }

    /// Evaluated again it says the same, and before `next_at` time changes nothing.
    fn check(&mut self, verdict: &Verdict) {
        let again = evaluate(&verdict.next, &self.policy, &self.view(), self.now);
        assert_eq!(again.entry, None, "the second time at {:?}", self.now);
        assert_eq!(again.next, verdict.next);
        assert_eq!((&again.stance, &again.wish), (&verdict.stance, &verdict.wish));
        assert_eq!(again.next_at, verdict.next_at);
        let end = verdict.next_at.unwrap_or(self.later(100 * 24 * 3600)).0;
        for at in [end - 1, self.now.0 + self.chance.below(end - self.now.0)] {
            let early = evaluate(&verdict.next, &self.policy, &self.view(), UnixMs(at));
            assert_eq!(early.entry, None, "{} ms before {end}", end - at);
            assert_eq!(early.next, verdict.next, "{} ms before {end}", end - at);
            assert_eq!((&early.stance, &early.wish), (&verdict.stance, &verdict.wish));
        }
    }

    /// Time passes.
    pub(crate) fn pass_s(&mut self, s: u64) {
        self.pass_to(self.later(s));
    }

    pub(crate) fn pass_to(&mut self, end: UnixMs) {
        for _ in 0..1_000_000 {
            let timer = timers(&self.machine).into_iter().min_by_key(|(_, at)| *at);
            let pending = self.pending.iter().map(|(at, _)| *at).min();
            let next = [timer.map(|(_, at)| at), pending, self.next_at];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.one_thing(timer);
            self.evaluate();
        }
        panic!("no end: {:?}", self.machine.state);
    }

    fn one_thing(&mut self, timer: Option<(TimerKind, UnixMs)>) {
        let now = self.now;
        if let Some(at) = self.pending.iter().position(|(at, _)| *at <= now) {
            let (_, event) = self.pending.remove(at);
            self.step(&event);
        } else if let Some((kind, _)) = timer.filter(|(_, at)| *at <= now) {
            let seed = self.seed();
            self.step(&Event::Timer { kind, seed, stop: ORDER });
        }
    }

    /// What was decided last.
    pub(crate) fn stance(&self) -> Stance {
        self.selfhood.decision.as_ref().map_or(Stance::Stay, |decision| decision.stance.clone())
    }

    pub(crate) fn explain(&self) -> String {
        govern::explain(&self.selfhood, &self.policy, &self.view(), self.now).sentence
    }

    /// The index and the rows of the inbox say the same.
    pub(crate) fn check_inbox(&self) {
        let Inbox { depth, bytes, wakes, oldest, .. } = self.selfhood.inbox;
        let rows = &self.rows.rows;
        assert_eq!(usize::try_from(depth).unwrap(), rows.len());
        assert_eq!(bytes, rows.values().map(|row| row.bytes).sum::<u64>());
        assert_eq!(usize::try_from(wakes).unwrap(), rows.values().filter(|row| row.wake).count());
        assert_eq!(oldest.map(|oldest| oldest.seq), rows.keys().next().copied());
    }
}

pub(crate) fn fact(key: &str, value: impl Into<Json>) -> Write {
    Write::Memory { patch: [(key.to_owned(), value.into())].into(), if_match: None }
}

pub(crate) fn policy_write(text: &str) -> Write {
    Write::Policy { text: text.to_owned(), hash: None, if_match: None }
}

pub(crate) fn rest_until(until: &str, mode: Depth) -> Write {
    Write::RestUntil { mode, until: Some(until.to_owned()), at: None, note: String::new() }
}

/// A stopped machine of which nothing is known.
pub(crate) fn stopped() -> Machine {
    Shell::new("{}").machine
}

#[test]
fn a_machine_without_anything_is_left_alone() {
    let machine = stopped();
    let view = View { peers: &NoPeers, ..View::of(&machine) };
    let verdict = evaluate(&Selfhood::default(), &no_policy(), &view, NOW);
    assert_eq!(verdict.stance, Stance::Stay);
    assert!(!verdict.is_changed && verdict.entry.is_none() && verdict.next_at.is_none());
}

//! The loop of a machine's task.

use super::streams::{Streams, ToStream};
use super::timers::Timers;
use super::{Command, PlanEnd, Reply, VersionChange};
use crate::capacity::Reservation;
use crate::error::ControlError;
use crate::facade::{ExecStream, StopOverride, Wanted};
use crate::inner::{Inner, new_run_id};
use crate::orders;
use crate::shim::{Link, LinkEvent};
use guest_proto::ToGuest;
use guest_proto::message::{Answer, ExecOrders, Question};
use model::admit::calls::Call;
use model::admit::{Asked, LeaseHeld};
use model::event::StopOrder;
use model::spec::EngineKind;
use model::{
    Admission, Cause, DurationMs, Event, GateFacts, MachineId, Refused, RunSeed, State, TimerKind,
    UnixMs, Want, admit, admit_call,
};
use shim_proto::ToShim;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::{MachineRecord, StoreError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

/// A task stays this long after its last work: a machine that is started and stopped in turn does
/// not read its record anew each time.
const LINGER: Duration = Duration::from_secs(1);

/// Wait before an event is offered to the store again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Wait before a start that found no slot is tried again.
const SLOT_RETRY: DurationMs = DurationMs(1_000);

/// Wait before a machine that comes back after a reboot of the host asks again whether it is its
/// turn.
const RETURN_RETRY: DurationMs = DurationMs(50);

/// The task of one machine.
pub(super) struct Task {
    pub(super) inner: Arc<Inner>,
    pub(super) id: MachineId,
    pub(super) record: MachineRecord,
    pub(super) link: Option<Link>,
    pub(super) child: Option<std::process::Child>,
    pub(super) slot: Option<net::Slot>,
    pub(super) reservation: Option<Reservation>,
    pub(super) streams: Streams,
    pub(super) timers: Timers,
    pub(super) pending: VecDeque<Event>,
    pub(super) waiting_up: Vec<Waiting>,
    pub(super) asks: HashMap<u64, Reply<Answer>>,
    pub(super) usages: HashMap<u64, Reply<shim_proto::message::Usage>>,
    pub(super) next_question: u64,
    pub(super) timings: Vec<(String, u32)>,
    pub(super) last_failure: Option<(String, String)>,
    pub(super) launching: Option<model::RunId>,
    pub(super) launch_error: Option<ControlError>,
    pub(super) run_cpu_us: u64,
    retry_at: Option<Instant>,
    /// It was up when the host went down and waits for its turn to come back.
    pub(super) is_returning: bool,
    pub(super) return_permit: Option<OwnedSemaphorePermit>,
}

/// Somebody who waits for the machine to be up.
pub(super) struct Waiting {
    pub(super) previous_state: String,
    pub(super) reply: Reply<Wanted>,
}

/// Runs the task of the machine until it has nothing to do.
pub(super) async fn run(inner: Arc<Inner>, id: MachineId, mut inbox: mpsc::Receiver<Command>) {
    let record = match inner.store.read(|reader| reader.machine(&id)) {
        Ok(Some(record)) => record,
        Ok(None) => {
            retire(&inner, &id, &mut inbox);
            return;
        }
        Err(error) => {
            tracing::error!(machine = %id, %error, "its record cannot be read");
            retire(&inner, &id, &mut inbox);
            return;
        }
    };
    let (outgoing, mut from_pumps) = mpsc::unbounded_channel();
    let mut task = Task::new(inner, record, outgoing);
    loop {
        if task.may_apply() {
            task.handle_pending().await;
        }
        let is_idle = task.is_idle();
        let deadline = task.timers.next();
        let retry_at = task.retry_at;
        tokio::select! {
            command = inbox.recv() => match command {
                Some(command) => task.obey(command).await,
                None => return,
            },
            event = next_of(&mut task.link) => task.hear(event).await,
            Some(order) = from_pumps.recv() => task.send_stream(order),
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                task.fire_timers();
            }
            () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
            () = tokio::time::sleep(LINGER), if is_idle => {
                if retire(&task.inner, &task.id, &mut inbox) {
                    task.give_unused_slot_back();
                    return;
                }
            }
        }
    }
}

/// Takes the task out of the table, unless a command has arrived; true when it is out.
fn retire(inner: &Inner, id: &MachineId, inbox: &mut mpsc::Receiver<Command>) -> bool {
    let mut tasks = inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
    if !inbox.is_empty() {
        return false;
    }
    tasks.remove(id);
    true
}

async fn next_of(link: &mut Option<Link>) -> LinkEvent {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

impl Task {
    fn new(
        inner: Arc<Inner>,
        record: MachineRecord,
        outgoing: mpsc::UnboundedSender<ToStream>,
    ) -> Self {
        let timers = Timers::of(&record.machine, model::clock::now());
        Self {
            inner,
            id: record.id.clone(),
            record,
            link: None,
            child: None,
            slot: None,
            reservation: None,
            streams: Streams::new(outgoing),
            timers,
            pending: VecDeque::new(),
            waiting_up: Vec::new(),
            asks: HashMap::new(),
            usages: HashMap::new(),
            next_question: 0,
            timings: Vec::new(),
            last_failure: None,
            launching: None,
            launch_error: None,
            run_cpu_us: 0,
            retry_at: None,
            is_returning: false,
            return_permit: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.link.is_none()
            && self.pending.is_empty()
            && self.waiting_up.is_empty()
            && self.timers.is_empty()
            && self.record.machine.state.is_settled()
    }

    pub(super) fn state(&self) -> &State {
        &self.record.machine.state
    }

    /// Applies what has piled up, one event after the other. What the store cannot take now, a full
    /// disk mostly, is tried again: the world does not tell its news twice.
    pub(super) async fn handle_pending(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            match self.apply(event.clone()).await {
                Ok(()) => {}
                Err(ControlError::Store(error)) if error.is_transient() => {
                    tracing::error!(machine = %self.id, %error, "an event waits for the store");
                    self.refuse_waiting(&error);
                    if matches!(self.state(), State::Destroying { .. }) {
                        self.make_room();
                    }
                    self.pending.push_front(event);
                    self.retry_at = Some(Instant::now() + STORE_RETRY);
                    return;
                }
                Err(error) => {
                    tracing::debug!(machine = %self.id, %error, "an event came too late");
                }
            }
        }
        self.retry_at = None;
        if !matches!(self.state(), State::Starting { .. }) {
            self.return_permit = None;
        }
        self.answer_waiting();
    }

    /// Whether what has piled up may be applied now.
    fn may_apply(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Want { want, cause, stop, reply } => self.want(want, cause, stop, reply).await,
            Command::Restart { cause, stop, reply } => self.restart(cause, stop, reply).await,
            Command::Destroy { cause, force, reply } => {
                let answer = self.destroy(&cause, force).await;
                answer_to(reply, answer);
            }
            Command::Update { cause, change, reply } => {
                let answer = self.update(&cause, *change).await;
                answer_to(reply, answer);
            }
            Command::Signal { signal, cause, reply } => {
                let answer = self.signal(signal, &cause);
                answer_to(reply, answer);
            }
            Command::Ask { question, reply } => self.ask(question, reply),
            Command::Usage { reply } => self.usage(reply),
            Command::Exec { orders, cause, reply } => {
                let answer = self.exec(orders, &cause);
                answer_to(reply, answer);
            }
            Command::PlanEnded(end) => self.plan_ended(end),
            Command::Reread => self.reread(),
            Command::Adopt { reply } => {
                self.adopt().await;
                // Recovery may have given up waiting; the adoption is done all the same.
                reply.send(()).unwrap_or_default();
            }
        }
    }

    async fn want(&mut self, want: Want, cause: Cause, stop: StopOverride, reply: Reply<Wanted>) {
        let previous_state = self.state().api_name().to_owned();
        let now = model::clock::now();
        match self.admit(want, &cause, now) {
            Err(error) => answer_to(reply, Err(error)),
            Ok(false) if want == Want::Up => {
                self.waiting_up.push(Waiting { previous_state, reply });
            }
            Ok(false) => {
                let state = previous_state.clone();
                answer_to(reply, Ok(Wanted { previous_state, state, timings: Vec::new() }));
            }
            // Without room its disk would be damaged, and the outcome could not be stored.
            Ok(true) if want == Want::Up && self.is_disk_full() => {
                answer_to(reply, Err(ControlError::Store(StoreError::DiskFull)));
            }
            Ok(true) => {
                let event = match self.seed(want == Want::Up) {
                    Ok(seed) => Event::Want { want, cause, seed, stop: self.stop_order(stop) },
                    Err(error) => return answer_to(reply, Err(error)),
                };
                self.timings.clear();
                let applied = self.apply(event).await;
                match applied {
                    Err(error) => answer_to(reply, Err(error)),
                    Ok(()) if want == Want::Up => {
                        self.waiting_up.push(Waiting { previous_state, reply });
                    }
                    Ok(()) => {
                        let state = self.state().api_name().to_owned();
                        answer_to(reply, Ok(Wanted { previous_state, state, timings: Vec::new() }));
                    }
                }
            }
        }
    }

    /// Brings an owed wake to the gates again.
    pub(super) fn wake_owed(&mut self, cause: Cause) {
        let now = model::clock::now();
        let seed = match self.admit(Want::Up, &cause, now) {
            Ok(true) => self.seed(true),
            Ok(false) | Err(_) => return,
        };
        match seed {
            Ok(seed) => {
                let stop = self.stop_order(StopOverride::default());
                self.pending.push_back(Event::Want { want: Want::Up, cause, seed, stop });
            }
            Err(error) => tracing::warn!(machine = %self.id, %error, "an owed wake has no slot"),
        }
    }

    async fn restart(&mut self, cause: Cause, stop: StopOverride, reply: Reply<Wanted>) {
        let previous_state = self.state().api_name().to_owned();
        let now = model::clock::now();
        let allowed = self.allow(Call::Restart, &cause, now).map(drop);
        let applied = match allowed.and_then(|()| self.seed(true)) {
            Ok(seed) => {
                let stop = self.stop_order(stop);
                self.apply(Event::Restart { cause, seed, stop }).await
            }
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => self.waiting_up.push(Waiting { previous_state, reply }),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    async fn destroy(&mut self, cause: &Cause, force: bool) -> Result<(), ControlError> {
        let call = if force { Call::ForceDestroy } else { Call::Destroy };
        if !self.allow(call, cause, model::clock::now())? {
            return Ok(());
        }
        self.make_room();
        match self.apply(Event::Destroy { force }).await {
            Err(ControlError::Store(StoreError::DiskFull)) => {
                disk::ballast::release(&self.inner.config.data_dir)?;
                self.apply(Event::Destroy { force }).await
            }
            other => other,
        }
    }

    /// Whether the data file system has no room; one that cannot be asked is not in the way.
    fn is_disk_full(&self) -> bool {
        disk::is_full(&self.inner.config.data_dir).unwrap_or(false)
    }

    /// Gives the ballast back when there is no room: it is kept for this, what frees space must
    /// always find some. One commit that goes through says nothing about the next.
    fn make_room(&self) {
        if let Err(error) = disk::ballast::release_if_full(&self.inner.config.data_dir) {
            tracing::warn!(machine = %self.id, %error, "the ballast is not given back");
        }
    }

    async fn update(
        &mut self,
        cause: &Cause,
        change: VersionChange,
    ) -> Result<MachineRecord, ControlError> {
        self.allow(Call::Update, cause, model::clock::now())?;
        let stop = self.stop_order(StopOverride::default());
        self.apply_update(Event::Update { launch: change.launch, stop }, change.record).await?;
        Ok(self.record.clone())
    }

    fn signal(&mut self, signal: i32, cause: &Cause) -> Result<(), ControlError> {
        self.allow(Call::Guest, cause, model::clock::now())?;
        self.send(&ToShim::Guest(ToGuest::Signal { signal }))
    }

    fn ask(&mut self, question: Question, reply: Reply<Answer>) {
        let id = self.next_question;
        self.next_question += 1;
        match self.send(&ToShim::Guest(ToGuest::Ask { id, question })) {
            Ok(()) => drop(self.asks.insert(id, reply)),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    fn usage(&mut self, reply: Reply<shim_proto::message::Usage>) {
        let id = self.next_question;
        self.next_question += 1;
        match self.send(&ToShim::Usage { id }) {
            Ok(()) => drop(self.usages.insert(id, reply)),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    fn exec(&mut self, orders: ExecOrders, cause: &Cause) -> Result<ExecStream, ControlError> {
        self.allow(Call::Guest, cause, model::clock::now())?;
        let Some((stream, attached)) = self.streams.open_exec() else {
            return Err(ControlError::TooManyStreams { n_running: self.streams.n_exec() });
        };
        if let Err(error) = self.send(&ToShim::Guest(ToGuest::Exec { stream, exec: orders })) {
            self.streams.forget(stream);
            return Err(error);
        }
        Ok(attached)
    }

    fn plan_ended(&mut self, end: PlanEnd) {
        let event = match end {
            PlanEnd::Removed => Event::Removed,
            PlanEnd::PrepareFailed { code, message } => Event::PrepareFailed { code, message },
            PlanEnd::Prepared => match self.seed(self.launches_when_prepared()) {
                Ok(seed) => Event::Prepared { seed },
                Err(error) => {
                    Event::PrepareFailed { code: "no_slot".to_owned(), message: error.to_string() }
                }
            },
        };
        self.reread();
        self.pending.push_back(event);
    }

    fn launches_when_prepared(&self) -> bool {
        matches!(
            self.state(),
            State::Creating { launch: true, .. } | State::Updating { launch: true, .. }
        )
    }

    /// Reads what others may have changed in the record; the state is ours alone.
    fn reread(&mut self) {
        match self.inner.store.read(|reader| reader.machine(&self.id)) {
            Ok(Some(record)) => self.record = record,
            Ok(None) => {}
            Err(error) => tracing::error!(machine = %self.id, %error, "cannot read the record"),
        }
    }

    /// Whether there is something to do for this wish; an error when a gate says no. A wake that is
    /// owed is remembered, and refused for now.
    fn admit(&mut self, want: Want, cause: &Cause, now: UnixMs) -> Result<bool, ControlError> {
        let facts = self.facts(want, cause, now);
        match admit(&self.record.machine, &facts, want, cause, now) {
            Admission::Owed { gate, not_before } => {
                self.pending.push_back(Event::Owe { cause: cause.clone(), not_before });
                Err(ControlError::Refused(Refused::KeptAwake {
                    gate,
                    by: None,
                    not_before: Some(not_before),
                }))
            }
            other => is_go(other),
        }
    }

    /// As [`Task::admit`], for calls that are more than up and down.
    fn allow(&self, call: Call, cause: &Cause, now: UnixMs) -> Result<bool, ControlError> {
        let facts = GateFacts { lease: self.foreign_lease(cause, now), ..GateFacts::default() };
        is_go(admit_call(&self.record.machine, &facts, call, cause, now))
    }

    /// What the gates look at. Reserves room when the machine may go up.
    fn facts(&mut self, want: Want, cause: &Cause, now: UnixMs) -> GateFacts {
        let no_capacity = if want == Want::Up && self.reservation.is_none() {
            match self.inner.capacity.reserve(self.record.spec.guest) {
                Ok(reservation) => {
                    self.reservation = Some(reservation);
                    None
                }
                Err(why) => Some(why),
            }
        } else {
            None
        };
        GateFacts {
            lease: self.foreign_lease(cause, now),
            no_capacity,
            can_freeze: true,
            can_suspend: false,
            ..GateFacts::default()
        }
    }

    fn foreign_lease(&self, cause: &Cause, now: UnixMs) -> Option<LeaseHeld> {
        let lease = self.record.lease.as_ref().filter(|lease| lease.expires_at > now)?;
        match cause {
            Cause::Api { holds_lease: true, .. } => None,
            _ => Some(LeaseHeld { owner: lease.owner.clone(), expires_at: lease.expires_at }),
        }
    }

    /// Chance and facts for a run; takes a slot when a run may begin.
    pub(super) fn seed(&mut self, may_begin: bool) -> Result<RunSeed, ControlError> {
        let needs_slot =
            may_begin && self.record.spec.engine == EngineKind::Container && self.slot.is_none();
        if needs_slot {
            self.slot = Some(self.inner.slots.take()?);
        }
        Ok(RunSeed {
            run: new_run_id(model::clock::now()),
            slot: self.slot.as_ref().map(net::Slot::id),
            boot: self.inner.config.boot.clone(),
        })
    }

    pub(super) fn stop_order(&self, stop: StopOverride) -> StopOrder {
        StopOrder {
            signal: stop.signal.unwrap_or_else(|| orders::stop_signal(&self.record)),
            timeout: stop.timeout.unwrap_or(self.record.spec.stop.timeout),
        }
    }

    /// Sends to the shim; an error when the machine does not run.
    pub(super) fn send(&mut self, message: &ToShim) -> Result<(), ControlError> {
        let not_running = || {
            ControlError::Refused(Refused::State {
                state: self.record.machine.state.api_name(),
                asked: Asked::Guest,
            })
        };
        let Some(link) = self.link.as_mut() else { return Err(not_running()) };
        link.send(message).map_err(|error| ControlError::Shim {
            message: format!("the machine's shim cannot be reached: {error}"),
        })
    }

    fn fire_timers(&mut self) {
        for kind in self.timers.take_due() {
            if !self.may_return(kind) {
                self.timers.put_off(kind, RETURN_RETRY);
                continue;
            }
            let may_begin = matches!(kind, TimerKind::Backoff | TimerKind::Owed);
            match self.seed(may_begin) {
                Ok(seed) => {
                    let stop = self.stop_order(StopOverride::default());
                    self.pending.push_back(Event::Timer { kind, seed, stop });
                }
                Err(error) => {
                    tracing::warn!(machine = %self.id, %error, "no slot for a start; trying again");
                    self.timers.put_off(kind, SLOT_RETRY);
                }
            }
        }
    }

    /// After a reboot of the host machines come back a few at a time; false while it is not this
    /// one's turn.
    fn may_return(&mut self, kind: TimerKind) -> bool {
        if kind != TimerKind::Backoff || !self.is_returning {
            return true;
        }
        match Arc::clone(&self.inner.returns).try_acquire_owned() {
            Ok(permit) => {
                self.return_permit = Some(permit);
                self.is_returning = false;
                true
            }
            Err(_) => false,
        }
    }

    /// Tells those who wait for the machine what the store says: nobody knows how long it will.
    fn refuse_waiting(&mut self, error: &StoreError) {
        for waiting in self.waiting_up.drain(..) {
            answer_to(waiting.reply, Err(ControlError::Store(error.clone())));
        }
    }

    /// Answers those who wait for the machine to be up, once that is decided.
    fn answer_waiting(&mut self) {
        if self.waiting_up.is_empty() {
            return;
        }
        let outcome: Result<(), ()> = match self.state() {
            State::Started { .. } | State::Resting { .. } => Ok(()),
            State::Stopped { .. }
            | State::Failed { .. }
            | State::Backoff { .. }
            | State::Destroying { .. }
            | State::Destroyed { .. } => Err(()),
            State::Creating { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Suspending { .. }
            | State::Suspended { .. }
            | State::Updating { .. } => return,
        };
        let state = self.state().api_name();
        for waiting in self.waiting_up.drain(..) {
            let answer = match (&outcome, &self.last_failure) {
                (Ok(()), _) => Ok(Wanted {
                    previous_state: waiting.previous_state,
                    state: state.to_owned(),
                    timings: self.timings.clone(),
                }),
                (Err(()), Some((code, message))) => {
                    Err(ControlError::StartFailed { code: code.clone(), message: message.clone() })
                }
                (Err(()), None) => Ok(Wanted {
                    previous_state: waiting.previous_state,
                    state: state.to_owned(),
                    timings: self.timings.clone(),
                }),
            };
            answer_to(waiting.reply, answer);
        }
    }
}

/// Whether there is something to do.
fn is_go(admission: Admission) -> Result<bool, ControlError> {
    match admission {
        Admission::Go => Ok(true),
        Admission::Already => Ok(false),
        Admission::Refused(refused) => Err(ControlError::Refused(refused)),
        Admission::Owed { gate, not_before } => Err(ControlError::Refused(Refused::KeptAwake {
            gate,
            by: None,
            not_before: Some(not_before),
        })),
    }
}

/// Answers; whoever asked may have left, which is no news.
pub(super) fn answer_to<T>(reply: Reply<T>, answer: Result<T, ControlError>) {
    drop(reply.send(answer));
}

//! The loop of a machine's task: commands (`requests`), its shim (`shim_news`), its timers, and what
//! has piled up of events.

use super::streams::{Streams, ToStream};
use super::timers::Timers;
use super::timings::Timings;
use super::{Command, Reply};
use crate::capacity::Reservation;
use crate::error::ControlError;
use crate::facade::{StopOverride, Wanted};
use crate::inner::Inner;
use crate::shim::{Link, LinkEvent};
use guest_proto::message::Answer;
use model::{DurationMs, Event, MachineId, State, TimerKind};
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
    pub(super) timings: Timings,
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
            timings: Timings::default(),
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
        self.settle_reservation();
        self.answer_waiting();
    }

    /// Whether what has piled up may be applied now.
    fn may_apply(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
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
                    timings: self.timings.all(),
                }),
                (Err(()), Some((code, message))) => {
                    Err(ControlError::StartFailed { code: code.clone(), message: message.clone() })
                }
                (Err(()), None) => Ok(Wanted {
                    previous_state: waiting.previous_state,
                    state: state.to_owned(),
                    timings: self.timings.all(),
                }),
            };
            answer_to(waiting.reply, answer);
        }
    }
}

/// Answers; whoever asked may have left, which is no news.
pub(super) fn answer_to<T>(reply: Reply<T>, answer: Result<T, ControlError>) {
    drop(reply.send(answer));
}

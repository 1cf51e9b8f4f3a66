//! The loop of a machine's task: commands (`requests`), its shim (`shim_news`), its timers, and what
//! has piled up of events.

use super::answers::Waiting;
use super::place::Place;
use super::selfhood::{CpuMeter, Flood, Notices, Own, Parting};
use super::streams::{Streams, ToStream};
use super::thaw::Thaws;
use super::timers::Timers;
use super::timings::Timings;
use super::{Command, Reply};
use crate::capacity::Reservation;
use crate::error::ControlError;
use crate::facade::StopOverride;
use crate::governor::Turn;
use crate::inner::{Inner, STORE_RETRY};
use crate::shim::{Link, LinkEvent};
use guest_proto::message::Answer;
use model::{DurationMs, Event, MachineId, State, TimerKind, UnixMs};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::MachineRecord;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A task stays this long after its last work: a machine that is started and stopped in turn does
/// not read its record anew each time.
const LINGER: Duration = Duration::from_secs(1);

/// Wait before a record that could not be read is read again.
const READ_RETRY: DurationMs = DurationMs::from_secs(1);

/// Wait before a start or a wake that found no slot is tried again.
pub(super) const SLOT_RETRY: DurationMs = DurationMs::from_secs(1);

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
    /// The shim of a launch that was called off.
    pub(super) abandoned: Option<JoinHandle<std::io::Result<std::process::ExitStatus>>>,
    pub(super) place: Option<Place>,
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
    pub(super) thaws: Thaws,
    pub(super) run_cpu_us: u64,
    pub(super) cpu: CpuMeter,
    /// Its self, once something needed it.
    pub(super) own: Option<Own>,
    /// Something may follow from its self.
    pub(super) must_evaluate: bool,
    /// As above, in a moment.
    evaluate_at: Option<Instant>,
    /// When the first entry of its trace was made, once something needed that.
    pub(super) trace_first_at: Option<UnixMs>,
    /// The RAM of its last run was lost while it slept.
    pub(super) is_cold: bool,
    /// It has come back from disk, where its RAM still lies.
    pub(super) has_old_ram: bool,
    /// Shims that were lost on the way back from disk that is under way.
    pub(super) n_lost_on_way_back: u8,
    pub(super) flood: Flood,
    pub(super) peer_flood: Flood,
    pub(super) notices: Notices,
    /// How far it has parted from its visitors.
    pub(super) parting: Parting,
    /// Its turn to be woken by its governance, until it is up.
    pub(super) turn: Option<Turn>,
    /// Commands that run in it, as the governor knows.
    n_sessions: u32,
    /// It has done more than evaluate: then it may soon be needed again.
    lingers: bool,
    retry_at: Option<Instant>,
    /// It was up when the host went down and waits for its turn to come back.
    pub(super) is_returning: bool,
    pub(super) return_permit: Option<OwnedSemaphorePermit>,
}

/// Runs the task of the machine until it has nothing to do.
pub(super) async fn run(inner: Arc<Inner>, id: MachineId, mut inbox: mpsc::Receiver<Command>) {
    let record = match inner.store.read(|reader| reader.machine(&id)) {
        Ok(Some(record)) => record,
        Ok(None) => return leave(&inner, &id, None),
        Err(error) => {
            tracing::error!(machine = %id, %error, "its record cannot be read");
            let now = model::clock::now();
            return leave(&inner, &id, error.is_transient().then(|| now.plus(READ_RETRY)));
        }
    };
    let (outgoing, mut from_pumps) = mpsc::unbounded_channel();
    inner.governor.stands(&record);
    let mut task = Task::new(inner, record, outgoing);
    loop {
        task.go_on().await;
        let is_idle = task.is_idle();
        let linger = if task.lingers { LINGER } else { Duration::ZERO };
        let deadline = task.timers.next();
        let retry_at = task.retry_at;
        let ask_cpu_at = task.cpu.ask_at();
        let evaluate_at = task.evaluate_at;
        tokio::select! {
            command = inbox.recv() => match command {
                Some(command) => {
                    task.lingers |= !matches!(command, Command::Evaluate);
                    task.obey(command).await;
                }
                None => return,
            },
            event = next_of(&mut task.link) => task.hear(event).await,
            Some(order) = from_pumps.recv() => task.send_stream(order),
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                task.fire_timers();
            }
            () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
            () = tokio::time::sleep_until(ask_cpu_at.unwrap_or_else(Instant::now)), if ask_cpu_at.is_some() => {
                task.ask_cpu();
            }
            () = tokio::time::sleep_until(evaluate_at.unwrap_or_else(Instant::now)), if evaluate_at.is_some() => {
                task.evaluate_at = None;
                task.must_evaluate = true;
            }
            () = tokio::time::sleep(linger), if is_idle => {
                if retire(&task.inner, &task.id, &mut inbox) {
                    task.give_unused_place_back();
                    return;
                }
            }
        }
    }
}

/// Takes the task out of the table with all that it was told: nothing can be done without a record.
/// The machine is looked at again at `again_at`.
fn leave(inner: &Inner, id: &MachineId, again_at: Option<UnixMs>) {
    inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    inner.governor.set_next(id, again_at);
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
            abandoned: None,
            place: None,
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
            thaws: Thaws::default(),
            run_cpu_us: 0,
            cpu: CpuMeter::default(),
            own: None,
            must_evaluate: false,
            evaluate_at: None,
            trace_first_at: None,
            is_cold: false,
            has_old_ram: false,
            n_lost_on_way_back: 0,
            flood: Flood::default(),
            peer_flood: Flood::default(),
            notices: Notices::default(),
            parting: Parting::default(),
            turn: None,
            n_sessions: 0,
            lingers: false,
            retry_at: None,
            is_returning: false,
            return_permit: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.link.is_none()
            && self.pending.is_empty()
            && !self.must_evaluate
            && self.evaluate_at.is_none()
            && self.waiting_up.is_empty()
            && self.timers.is_empty()
            && self.record.machine.state.is_settled()
    }

    pub(super) fn state(&self) -> &State {
        &self.record.machine.state
    }

    /// Does what has piled up, as far as the store takes it: events, answers, then the evaluation that
    /// they call for. During a start that waits until the program runs.
    async fn go_on(&mut self) {
        if !self.may_apply() {
            return;
        }
        // A rest that was told is looked at once more before it happens.
        if self.must_evaluate && matches!(self.state(), State::Resting { .. }) {
            self.evaluate().await;
        }
        self.handle_pending().await;
        if self.cpu.has_news() {
            self.count_cpu().await;
        }
        self.tell_sessions();
        while self.must_evaluate && self.may_apply() && !self.is_starting() {
            self.evaluate().await;
            if self.may_apply() {
                self.handle_pending().await;
            }
        }
    }

    /// Tells how many commands run in the machine, when that is news.
    fn tell_sessions(&mut self) {
        let n_sessions = u32::try_from(self.streams.n_exec()).unwrap_or(u32::MAX);
        if n_sessions != self.n_sessions {
            self.n_sessions = n_sessions;
            self.inner.governor.busy(&self.id, n_sessions);
        }
    }

    /// Whether a start is under way.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.state(), State::Starting { .. })
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
                    self.retry_later();
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
        self.settle_place();
        self.answer_waiting();
        self.drop_old_ram().await;
    }

    /// The store is tried again in a moment.
    pub(super) fn retry_later(&mut self) {
        self.retry_at = Some(Instant::now() + STORE_RETRY);
    }

    /// What follows from its self follows after `wait`, not at once.
    pub(super) fn evaluate_after(&mut self, wait: Duration) {
        self.must_evaluate = false;
        self.evaluate_at = Some(Instant::now() + wait);
    }

    /// Whether what has piled up may be applied now.
    fn may_apply(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }

    fn fire_timers(&mut self) {
        for kind in self.timers.take_due() {
            self.must_evaluate |= kind == TimerKind::Rest;
            if !self.may_return(kind) {
                self.timers.put_off(kind, RETURN_RETRY);
                continue;
            }
            match self.seed(kind == TimerKind::Backoff) {
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
}

//! A visitor wants a machine that is not up: through the one door, and then until its port listens.
//!
//! The wait for the port ends with the run that was woken, whatever ended it: who knocked is told
//! what became of the machine, and never waits for what cannot come.

use super::records;
use crate::control::Control;
use crate::error::ControlError;
use crate::facade::{StopOverride, Wanted};
use crate::watch::Waiter;
use guest_proto::message::{Answer, ListenSocket, Question};
use model::cause::KnockRequest;
use model::spec::service::Transport;
use model::{Cause, DurationMs, Exit, MachineId, Refused, RunId, State, Want};
use proxy_proto::MachineRoute;
use proxy_proto::message::{KnockOutcome, KnockTiming, RefusalScope};
use proxy_proto::route::RouteState;
use std::time::{Duration, Instant};
use store::MachineRecord;

/// Longest wait for a port to listen: what a visitor is held at most.
const LISTEN_MAX: Duration = Duration::from_secs(60);

/// First pause between two looks at the datagram ports of a machine, whose init reports only those
/// of streams; doubles.
const LOOK_FIRST: Duration = Duration::from_millis(2);

/// Longest of these pauses.
const LOOK_LAST: Duration = Duration::from_millis(100);

/// When somebody may try again who was refused for a reason that nobody knows the end of.
const RETRY_AFTER: DurationMs = DurationMs::from_secs(1);

/// When a visitor is asked for again whose machine is between two states.
const ASK_AGAIN: DurationMs = DurationMs(100);

/// When somebody may try again who was refused until a person changes something.
const RETRY_LATE: DurationMs = DurationMs::from_secs(60);

/// Why a machine that was woken is not to be had.
#[derive(Debug)]
enum Missed {
    /// It could not be woken, or not be asked.
    Refused(ControlError),
    /// Its program ended.
    Died(Option<Exit>),
    /// Somebody put it to rest again.
    PutToRest,
    /// It is gone, or on its way.
    Destroyed,
    /// The program runs, and does not listen.
    NeverListened,
}

impl From<ControlError> for Missed {
    fn from(error: ControlError) -> Self {
        Self::Refused(error)
    }
}

/// Lets the visitor in, or says why not.
pub(super) async fn answer(
    control: &Control,
    machine: &MachineId,
    internal_port: u16,
    request: Option<KnockRequest>,
) -> KnockOutcome {
    let decision = words_of_wake(request.as_ref(), internal_port);
    let cause = Cause::Knock { internal_port: Some(internal_port), request };
    let answer = tokio::time::timeout(LISTEN_MAX, let_in(control, machine, internal_port, cause));
    match answer.await.unwrap_or(Err(Missed::NeverListened)) {
        Ok((route, timing)) => KnockOutcome::Ready { route: Box::new(route), decision, timing },
        Err(Missed::Refused(error)) if is_on_its_way(control, machine, &error) => later(&error),
        Err(missed) => missed.outcome(internal_port),
    }
}

async fn let_in(
    control: &Control,
    machine: &MachineId,
    internal_port: u16,
    cause: Cause,
) -> Result<(MachineRoute, KnockTiming), Missed> {
    // From before it is wanted, so that no change is missed.
    let mut changes = control.inner.watchers.subscribe(machine);
    let wanted = control.want(machine, Want::Up, cause, StopOverride::default()).await?;
    let began = Instant::now();
    let record = stored(control, machine)?;
    let run = run_of(&record)?;
    tokio::select! {
        listening = listening(control, &record, internal_port) => match listening {
            Ok(()) => {}
            // What cannot be asked may be over, which says more than that it cannot be asked.
            Err(missed) => return Err(still(control, machine, &run).err().unwrap_or(missed)),
        },
        missed = over(control, machine, &run, &mut changes) => return Err(missed),
    }
    still(control, machine, &run)?;
    let mut timing = timing_of(&wanted);
    timing.listen_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let route = records::of_machine(control, machine)?.ok_or(Missed::Destroyed)?;
    Ok((route, timing))
}

/// Returns when the run is over.
async fn over(control: &Control, machine: &MachineId, run: &RunId, changes: &mut Waiter) -> Missed {
    loop {
        if let Err(missed) = still(control, machine, run) {
            return missed;
        }
        changes.changed().await;
    }
}

/// Nothing, while the machine is up in this run.
fn still(control: &Control, machine: &MachineId, run: &RunId) -> Result<(), Missed> {
    let now = run_of(&stored(control, machine)?)?;
    if now == *run { Ok(()) } else { Err(Missed::Died(None)) }
}

fn stored(control: &Control, machine: &MachineId) -> Result<MachineRecord, Missed> {
    match control.machine(None, machine) {
        Err(ControlError::NotFound { .. }) => Err(Missed::Destroyed),
        found => Ok(found?),
    }
}

/// The run in which the machine is up, or what became of it.
fn run_of(record: &MachineRecord) -> Result<RunId, Missed> {
    match &record.machine.state {
        State::Started { run } | State::Resting { run, .. } => Ok(run.id.clone()),
        // By its restart policy: its run has ended.
        State::Starting { .. } => Err(Missed::Died(None)),
        State::Backoff { exit, .. } => Err(Missed::Died(Some(exit.clone()))),
        State::Stopped { exit: Some(exit), .. } if !exit.requested_stop => {
            Err(Missed::Died(Some(exit.clone())))
        }
        State::Stopped { .. }
        | State::Stopping { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Creating { .. }
        | State::Updating { .. } => Err(Missed::PutToRest),
        State::Failed { code, message, .. } => Err(Missed::Refused(ControlError::StartFailed {
            code: code.clone(),
            message: message.clone(),
        })),
        State::Destroying { .. } | State::Destroyed { .. } => Err(Missed::Destroyed),
    }
}

/// Returns when the port listens.
async fn listening(
    control: &Control,
    record: &MachineRecord,
    internal_port: u16,
) -> Result<(), Missed> {
    let mut at_port = record.spec.services.iter().filter(|s| s.internal_port == internal_port);
    if at_port.clone().next().is_some() && at_port.all(|s| s.protocol == Transport::Udp) {
        return takes_datagrams(control, &record.id, internal_port).await;
    }
    let timeout_ms = u32::try_from(LISTEN_MAX.as_millis()).unwrap_or(u32::MAX);
    let question = Question::WaitListening { port: internal_port, timeout_ms };
    match control.question_within(&record.id, question, LISTEN_MAX).await? {
        Answer::Listening { sockets } if has_port(&sockets, "tcp", internal_port) => Ok(()),
        Answer::Listening { .. } | Answer::Processes { .. } | Answer::Done => {
            Err(Missed::NeverListened)
        }
        Answer::Failed { message } => Err(Missed::Refused(ControlError::Shim { message })),
    }
}

/// Returns when the program takes datagrams at the port.
async fn takes_datagrams(
    control: &Control,
    machine: &MachineId,
    internal_port: u16,
) -> Result<(), Missed> {
    let mut pause = LOOK_FIRST;
    loop {
        let question = control.question_within(machine, Question::Listening, LISTEN_MAX);
        if let Answer::Listening { sockets } = question.await?
            && has_port(&sockets, "udp", internal_port)
        {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

fn has_port(sockets: &[ListenSocket], proto: &str, port: u16) -> bool {
    sockets.iter().any(|socket| {
        let found = socket.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        socket.proto == proto && found == Some(port)
    })
}

impl Missed {
    fn outcome(&self, internal_port: u16) -> KnockOutcome {
        match self {
            Self::Refused(error) => refusal(error),
            Self::Died(exit) => turned(
                RefusalScope::Wake,
                "died_waking",
                format!("the program ended before it listened{}", words_of_exit(exit.as_ref())),
                "`dormouse machine logs` says why it ends",
            ),
            Self::PutToRest => turned(
                RefusalScope::Wake,
                "stopped_waking",
                "the machine was put to rest again while it woke".to_owned(),
                "`dormouse machine show` says by whom",
            ),
            Self::Destroyed => turned(
                RefusalScope::Machine,
                "machine_destroyed",
                "the machine was destroyed while it woke".to_owned(),
                "another machine of the app may answer the next request",
            ),
            Self::NeverListened => turned(
                RefusalScope::Machine,
                "port_not_listening",
                format!("the program runs and does not listen on port {internal_port}"),
                "let it listen on 0.0.0.0 or [::], and compare `internal_port`",
            ),
        }
    }
}

fn turned(scope: RefusalScope, code: &str, message: String, hint: &str) -> KnockOutcome {
    KnockOutcome::Refused {
        code: code.to_owned(),
        message,
        hint: Some(hint.to_owned()),
        retry_after: Some(RETRY_AFTER),
        scope,
    }
}

/// How it ended, as far as that is known, to be put behind a sentence.
fn words_of_exit(exit: Option<&Exit>) -> String {
    match exit {
        Some(Exit { oom_killed: true, .. }) => ": it ran out of RAM".to_owned(),
        Some(Exit { signal: Some(signal), .. }) => format!(": signal {signal} killed it"),
        Some(Exit { code: Some(code), .. }) => format!(", with exit code {code}"),
        _ => String::new(),
    }
}

fn words_of_wake(request: Option<&KnockRequest>, internal_port: u16) -> String {
    match request {
        Some(request) => format!("wake; by=request; method={}", request.method),
        None => format!("wake; by=connection; port={internal_port}"),
    }
}

/// The parts of a start that every wake tells; nothing when it was up already.
fn timing_of(wanted: &Wanted) -> KnockTiming {
    let part = |name: &str| {
        let found = wanted.timings.iter().find(|(part, _)| part == name);
        found.map_or(0, |(_, us)| u64::from(*us))
    };
    if matches!(wanted.previous_state.as_str(), "started") {
        return KnockTiming::default();
    }
    KnockTiming {
        admission_us: part("admission"),
        commit_us: part("commit"),
        net_us: part("net"),
        disk_us: part("disk"),
        engine_us: part("engine"),
        listen_us: 0,
    }
}

fn refusal(error: &ControlError) -> KnockOutcome {
    let error = error.root();
    let advice = error.advice();
    let now = model::clock::now();
    let left = |until: model::UnixMs| DurationMs(until.0.saturating_sub(now.0).max(1));
    let (retry_after, scope) = match error {
        ControlError::Refused(Refused::Lease(lease)) => {
            (left(lease.expires_at), RefusalScope::Moment)
        }
        ControlError::Refused(Refused::KeptAwake { not_before: Some(at), .. }) => {
            (left(*at), RefusalScope::Machine)
        }
        _ if advice.is_retryable => (RETRY_AFTER, RefusalScope::Machine),
        _ => (RETRY_LATE, RefusalScope::Machine),
    };
    KnockOutcome::Refused {
        code: advice.code.to_owned(),
        message: words_of(error),
        hint: Some(advice.hint.to_owned()),
        retry_after: Some(retry_after),
        scope,
    }
}

/// Whether it is refused for a state that will soon be another, as while it is updated.
fn is_on_its_way(control: &Control, machine: &MachineId, error: &ControlError) -> bool {
    matches!(error.root(), ControlError::Refused(Refused::State { .. }))
        && records::of_machine(control, machine)
            .is_ok_and(|route| route.is_some_and(|route| route.state == RouteState::Moving))
}

/// The visitor is held, and asks again at once.
fn later(error: &ControlError) -> KnockOutcome {
    KnockOutcome::Refused {
        code: error.root().advice().code.to_owned(),
        message: words_of(error.root()),
        hint: None,
        retry_after: Some(ASK_AGAIN),
        scope: RefusalScope::Moment,
    }
}

/// Why, in a sentence that says no more than a stranger may know: no names of owners or hosts.
fn words_of(error: &ControlError) -> String {
    match error {
        ControlError::Refused(refused) => match refused {
            Refused::Lease(_) => "the machine is leased to somebody".to_owned(),
            Refused::HeldDown { .. } => "the machine is held down by its owner".to_owned(),
            Refused::Denied { rule } => format!("the machine's rule `{rule}` denies the wake"),
            Refused::AutostartOff => "the machine is not started by visitors".to_owned(),
            Refused::Capacity(_) => "the host has no room for the machine now".to_owned(),
            Refused::DiskPressure { .. } => "the host's disk is nearly full".to_owned(),
            Refused::KeptAwake { gate, .. } => format!("the gate {gate:?} is shut"),
            Refused::State { .. } | Refused::Unsupported { .. } | Refused::StaleRun => {
                "the machine cannot be started in its present state".to_owned()
            }
        },
        other => other.to_string(),
    }
}

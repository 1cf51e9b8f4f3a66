//! Start, stop, suspend, restart, signal; cordon.

use super::body::JsonBody;
use super::extract::{Operate, OperateSelf};
use super::query::{Params, wrong};
use super::{Answer, reply, selfhood};
use crate::contract::selfhood::DECISION_HEADER;
use crate::contract::signal::Signal;
use crate::contract::{SignalRequest, Started, StopRequest};
use crate::problem::Problem;
use crate::spec::stop_timeout;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use control::{Control, ControlError, StopOverride, Wanted};
use model::{Depth, MachineId, Want};

/// `POST …/start`: answers when the program runs, or could not be started.
pub(super) async fn start(State(control): State<Control>, Operate(on): Operate) -> Answer {
    let id = &on.record.id;
    let wanted = control.want(id, Want::Up, on.cause, StopOverride::default()).await;
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return Ok(not_started(&control, id, &error)),
    };
    let body = Started { previous_state: wanted.previous_state.clone(), ..Started::default() };
    timed(reply::ok(&body), &wanted)
}

/// The refusal of a start, with what the governor has decided about the machine.
fn not_started(control: &Control, id: &MachineId, error: &ControlError) -> Response {
    let mut response = Problem::from_control(error, Some(id)).into_response();
    let record = control.self_record(id).ok();
    let decision = record.and_then(|record| record.selfhood.decision);
    if let Some(decision) = decision {
        let line = selfhood::decision(&decision.stance, Some(decision.at)).line;
        let plain = line.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
        let value = HeaderValue::try_from(plain.collect::<String>()).expect("printable ASCII");
        response.headers_mut().insert(HeaderName::from_static(DECISION_HEADER), value);
    }
    response
}

/// Adds where the time went as `Server-Timing`, in milliseconds.
fn timed(answer: Answer, wanted: &Wanted) -> Answer {
    let mut response = answer?;
    let parts: Vec<_> = wanted
        .timings
        .iter()
        .map(|(part, us)| format!("{part};dur={}.{:03}", us / 1000, us % 1000))
        .collect();
    // A part whose name is no token would spoil the whole header: then there is none.
    if let (false, Ok(value)) = (parts.is_empty(), HeaderValue::try_from(parts.join(", "))) {
        response.headers_mut().insert(HeaderName::from_static("server-timing"), value);
    }
    Ok(response)
}

/// `POST …/stop`.
pub(super) async fn stop(
    State(control): State<Control>,
    OperateSelf(on): OperateSelf,
    body: JsonBody,
) -> Answer {
    let wish: StopRequest = body.to()?;
    let stop = StopOverride {
        signal: wish.signal.map(Signal::number),
        timeout: wish.timeout.map(stop_timeout).transpose()?.flatten(),
    };
    let id = &on.record.id;
    let wanted = control
        .want(id, Want::Down(Depth::Stop), on.cause, stop)
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    timed(reply::done(), &wanted)
}

/// `POST …/suspend?depth=`: as deep as the engine can with its RAM kept, unless `depth` says how.
pub(super) async fn suspend(
    State(control): State<Control>,
    OperateSelf(on): OperateSelf,
    params: Params,
) -> Answer {
    let depth = match params.text("depth") {
        None if on.record.spec.engine.can_suspend() => Depth::Suspend,
        None | Some("freeze") => Depth::Freeze,
        Some("suspend") => Depth::Suspend,
        Some(other) => return Err(wrong("depth", other, "freeze or suspend")),
    };
    let id = &on.record.id;
    let wanted = control
        .want(id, Want::Down(depth), on.cause, StopOverride::default())
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    timed(reply::done(), &wanted)
}

/// `POST …/restart?timeout=&signal=&force_stop=`.
pub(super) async fn restart(
    State(control): State<Control>,
    OperateSelf(on): OperateSelf,
    params: Params,
) -> Answer {
    let signal = params.parsed::<Signal>("signal")?;
    let timeout = params.seconds("timeout")?.map(stop_timeout).transpose()?.flatten();
    let signal = if params.flag("force_stop")? { Some(Signal::KILL) } else { signal };
    let stop = StopOverride { signal: signal.map(Signal::number), timeout };
    let id = &on.record.id;
    let wanted = control
        .restart(id, on.cause, stop)
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    timed(reply::done(), &wanted)
}

/// `POST …/signal`.
pub(super) async fn signal(
    State(control): State<Control>,
    Operate(on): Operate,
    body: JsonBody,
) -> Answer {
    let wish: SignalRequest = body.to()?;
    let id = &on.record.id;
    control
        .signal(id, on.cause, wish.signal.number())
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::done()
}

/// `POST …/cordon`.
pub(super) async fn cordon(control: State<Control>, on: Operate) -> Answer {
    set_cordoned(control, on, true).await
}

/// `POST …/uncordon`.
pub(super) async fn uncordon(control: State<Control>, on: Operate) -> Answer {
    set_cordoned(control, on, false).await
}

async fn set_cordoned(
    State(control): State<Control>,
    Operate(on): Operate,
    is_cordoned: bool,
) -> Answer {
    let id = &on.record.id;
    control
        .set_cordoned(id, on.cause, is_cordoned)
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::done()
}

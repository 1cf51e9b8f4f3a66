//! Calls that belong together, waits that are longer than one call, and a daemon that is away.

use crate::failure::Failure;
use crate::http::Call;
use crate::show::Show;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest wait of one call: what the host allows a request to take.
const POLL_MAX: Duration = Duration::from_secs(60);

/// How long a daemon may be away: a new build takes a second to begin, a crash a tenth of it.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// Pause before the daemon is asked again; its stand-in says `Retry-After: 1`.
const AWAY_STEP: Duration = Duration::from_millis(500);

/// Something for the host to do.
#[derive(Debug)]
pub struct Errand {
    task: Task,
    show: Show,
}

#[derive(Debug)]
enum Task {
    /// One call.
    One(Call),
    /// Several, each with the name of its answer.
    Several(Vec<(&'static str, Call)>),
    /// Messages: how many, and how long to wait for the first.
    Take { max: u32, wait: Duration },
    /// Notices of rests: how long to wait for the first; all that come without a limit.
    Notice { wait: Option<Duration>, goes_on: bool },
}

impl Errand {
    /// One call.
    #[must_use]
    pub const fn new(call: Call, show: Show) -> Self {
        Self { task: Task::One(call), show }
    }

    /// Several calls, each with the name of its answer.
    #[must_use]
    pub fn several<const N: usize>(calls: [(&'static str, Call); N], show: Show) -> Self {
        Self { task: Task::Several(calls.into()), show }
    }

    /// Delivery of messages.
    #[must_use]
    pub const fn take(max: u32, wait: Duration) -> Self {
        Self { task: Task::Take { max, wait }, show: Show::Messages }
    }

    /// The next notice of a rest.
    #[must_use]
    pub const fn notice(wait: Option<Duration>) -> Self {
        Self { task: Task::Notice { wait, goes_on: false }, show: Show::Notice }
    }

    /// Each notice of a rest.
    #[must_use]
    pub const fn notices() -> Self {
        Self { task: Task::Notice { wait: None, goes_on: true }, show: Show::Notice }
    }

    /// The calls that it begins with, those of waits left out.
    #[cfg(test)]
    pub(crate) fn calls(&self) -> Vec<&Call> {
        match &self.task {
            Task::One(call) => vec![call],
            Task::Several(calls) => calls.iter().map(|(_, call)| call).collect(),
            Task::Take { .. } | Task::Notice { .. } => Vec::new(),
        }
    }

    /// Makes the calls and hands each answer to `say`, as a text without its last line end.
    ///
    /// # Errors
    /// [`Failure`] of a call or of `say`.
    pub fn run(
        &self,
        socket: &Path,
        is_json: bool,
        say: &mut dyn FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut tell = |answer: &Value| {
            if is_json { say(&answer.to_string()) } else { say(&self.show.text(answer)?) }
        };
        match &self.task {
            Task::One(call) => tell(&patiently(call, socket)?),
            Task::Several(calls) => {
                let answer = |(name, call): &(&str, Call)| {
                    patiently(call, socket).map(|answer| ((*name).to_owned(), answer))
                };
                let answers: Map<_, _> = calls.iter().map(answer).collect::<Result<_, _>>()?;
                tell(&Value::Object(answers))
            }
            Task::Take { max, wait } => {
                let take = |slice| take(*max, slice);
                let is_empty = |taken: &Value| {
                    taken["messages"].as_array().is_none_or(|messages| messages.is_empty())
                };
                tell(&wait_for(socket, Some(*wait), take, is_empty)?)
            }
            Task::Notice { wait, goes_on } => loop {
                let is_none = |reply: &Value| reply["notice"].is_null();
                tell(&wait_for(socket, *wait, notices, is_none)?)?;
                if !goes_on {
                    return Ok(());
                }
            },
        }
    }
}

fn take(max: u32, wait: Duration) -> Call {
    let body = json!({ "max": max, "timeout": wait.as_secs() });
    Call::new("POST", "/v1/self/inbox/take").with(body).once().waiting(wait)
}

fn notices(wait: Duration) -> Call {
    Call::new("GET", format!("/v1/self/notices?timeout={}", wait.as_secs())).waiting(wait)
}

/// Calls until something has come or `wait` is over; without it, for ever.
fn wait_for(
    socket: &Path,
    wait: Option<Duration>,
    call: impl Fn(Duration) -> Call,
    is_nothing: impl Fn(&Value) -> bool,
) -> Result<Value, Failure> {
    let began = Instant::now();
    loop {
        let left = wait.map(|wait| wait.saturating_sub(began.elapsed()));
        let slice = left.map_or(POLL_MAX, |left| left.min(POLL_MAX));
        // Whole seconds, rounded up: a wait of 0.4 s must not become a run of calls without one.
        let slice = Duration::from_secs(slice.as_millis().div_ceil(1000).try_into().unwrap_or(60));
        let answer = patiently(&call(slice), socket)?;
        let is_over = left.is_some_and(|left| left <= slice);
        if is_over || !is_nothing(&answer) {
            return Ok(answer);
        }
    }
}

/// Makes a call, again and again while the daemon is away, if that can do no harm.
fn patiently(call: &Call, socket: &Path) -> Result<Value, Failure> {
    let began = Instant::now();
    loop {
        match call.make(socket) {
            Err(failure) if failure.is_away() && call.may_repeat && began.elapsed() < AWAY_MAX => {
                sleep(AWAY_STEP);
            }
            done => return done,
        }
    }
}

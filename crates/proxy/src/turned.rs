//! Why a visitor gets no machine, in words, codes and a status.

use proxy_proto::KnockOutcome;
use std::time::Duration;

/// Why a visitor gets no machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// Status of the answer.
    pub(crate) status: u16,
    /// Stable word.
    pub(crate) code: String,
    /// Fly's code for its kind. Source: machines-api 4.10.
    pub(crate) fly_code: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// When it may be worth trying again.
    pub(crate) retry_after: Option<Duration>,
    /// Words for the decision header.
    pub(crate) decision: Option<String>,
}

/// The code of a machine that ended under its visitor.
const GONE: &str = "machine_gone";

/// Soon: what is in the way ends by itself.
const SOON: Duration = Duration::from_secs(1);

/// Later: what is in the way takes a while.
const LATER: Duration = Duration::from_secs(5);

impl Turned {
    fn new(status: u16, code: &str, fly_code: &'static str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status, code, fly_code, message, ..Self::default() }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    const fn again(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Whether the machine ended under the visitor, so that another may be asked for at once.
    pub(crate) fn is_gone(&self) -> bool {
        self.code == GONE
    }

    /// Nobody has this name, or nobody serves the port under it.
    pub(crate) fn no_app(port: u16) -> Self {
        let message = format!("no app is served on port {port} under this name");
        Self::new(404, "app_not_routed", "PM06", message)
            .hint("`dormouse proxy routes` lists names and ports; each app is `<app>.localhost`")
    }

    /// The machine that was asked for by its id is not of this app, or not there.
    pub(crate) fn no_such_machine() -> Self {
        Self::new(404, "machine_not_routed", "PR02", "the machine that was asked for is not there")
    }

    /// All that run fail their checks.
    pub(crate) fn unhealthy() -> Self {
        let message = "no machine passes its checks";
        Self::new(503, "no_healthy_machine", "PR01", message)
            .hint("`dormouse machine show` says which check fails")
            .again(LATER)
    }

    /// None runs and none may be woken.
    pub(crate) fn nobody() -> Self {
        let message = "no machine runs, and none may be started by a visitor";
        Self::new(503, "no_machine", "PR03", message)
            .hint("start a machine, or leave `autostart` of the service on")
            .again(LATER)
    }

    /// Nobody hears knocks.
    pub(crate) fn control_unavailable() -> Self {
        let message = "the machine sleeps, and the daemon that could wake it is away";
        Self::new(503, "control_unavailable", "PM01", message)
            .hint("machines that run are served; the daemon comes back by itself")
            .again(SOON)
    }

    /// Too many are held already.
    pub(crate) fn hold_full() -> Self {
        let message = "too many visitors wait for a machine";
        Self::new(503, "hold_full", "PR04", message).again(SOON)
    }

    /// Its time ended while it was held for a wake.
    pub(crate) fn wake_timeout() -> Self {
        let message = "the machine was not ready in time";
        Self::new(503, "wake_timeout", "PM03", message)
            .hint("look at its log: does the program listen on the service's `internal_port`?")
            .again(LATER)
    }

    /// Its time ended while all machines were at their hard limit, or their checks not yet passed.
    pub(crate) fn overloaded() -> Self {
        let message = "all machines have as much to do as they may";
        Self::new(503, "overloaded", "PR04", message)
            .hint("raise `hard_limit`, or add machines")
            .again(SOON)
    }

    /// It was destroyed while it woke.
    pub(crate) fn destroyed() -> Self {
        let message = "the machine was destroyed while it woke";
        Self::new(503, "machine_destroyed", "PR02", message)
            .hint("another machine of the app may answer the next request")
            .again(SOON)
    }

    /// It died each time it was woken.
    pub(crate) fn wake_failed(n_knocks: u32) -> Self {
        let message = format!("the machine ended {n_knocks} times before it could answer");
        Self::new(503, "wake_failed", "PM07", message)
            .hint("`dormouse machine logs` says why it ends")
            .again(LATER)
    }

    /// The machine's run has ended: another may be asked for.
    pub(crate) fn gone() -> Self {
        Self::new(503, GONE, "PU03", "the machine ended before it could answer").again(SOON)
    }

    /// It runs, and nobody takes the connection.
    pub(crate) fn refused_connection(cause: &std::io::Error) -> Self {
        let message = format!("the machine takes no connection: {cause}");
        Self::new(502, "connect_failed", "PC01", message)
            .hint("the program must listen on 0.0.0.0 or ::, at the service's `internal_port`")
            .again(SOON)
    }

    /// It went away while it was held; nobody is told.
    pub(crate) fn left() -> Self {
        Self::new(0, "visitor_left", "PC04", "the visitor went away")
    }

    /// What control answered to the knock.
    pub(crate) fn refused(outcome: KnockOutcome) -> Self {
        let KnockOutcome::Refused { code, message, hint, retry_after, .. } = outcome else {
            return Self::gone();
        };
        let decision = Some(format!("refused; {code}"));
        let retry_after = retry_after.map(model::DurationMs::to_std);
        Self { status: 503, code, fly_code: "PM07", message, hint, retry_after, decision }
    }
}

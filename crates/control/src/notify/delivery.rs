//! One try at a letter.

use super::backoff::is_too_late;
use super::body::id_of;
use crate::control::Control;
use crate::error::ControlError;
use crate::hooks::standard::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::hooks::{HookRefused, is_hook_name};
use govern::write::Report;
use govern::{Write, WriteRefused, Writer};
use model::UnixMs;
use model::spec::egress::EgressPolicy;
use registry::{Destination, Undelivered};
use std::borrow::Cow;
use std::time::Duration;
use store::{OutboxRecord, StoreError};

/// Longest try, from the search for the server to its answer. Source: senders of webhooks wait
/// between 5 and 30 s; whoever has more to do answers first and does it then.
const TRY_MAX: Duration = Duration::from_secs(10);

/// Where a letter goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a server.
    Server(Destination),
    /// To a hook of the app.
    Hook(String),
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has arrived.
    Arrived,
    /// It never will.
    GivenUp(Why),
    /// The receiver did not want it now, or the sender may not send it there.
    Refused(Why),
    /// Nobody answered, so nobody would hear the next letter either.
    Unheard(Why),
}

/// Why a letter did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    /// In a word.
    pub(super) code: Cow<'static, str>,
    /// In a sentence.
    pub(super) text: String,
}

/// The word for a letter to a place that the policy of its machine denies.
const EGRESS_DENIED: &str = "egress_denied";

/// The word for a receiver that answers, and takes nothing.
const RECEIVER_STATUS: &str = "receiver_status";

impl Why {
    fn new(code: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

impl Place {
    /// Where `to` leads; nothing when it leads nowhere.
    pub(super) fn of(to: &str) -> Option<Self> {
        match to.parse() {
            Ok(destination) => Some(Self::Server(destination)),
            Err(_no_url) => is_hook_name(to).then(|| Self::Hook(to.to_owned())),
        }
    }

    /// Letters to the same one go one after the other. A hook is one of an app.
    pub(super) fn lane(&self, letter: &OutboxRecord) -> String {
        match self {
            Self::Server(to) => to.server(),
            // A server's name has no blank.
            Self::Hook(name) => format!("hook {} {name}", letter.app),
        }
    }
}

/// Tries once. The machine's trace has a letter that may not be sent, once, and one that never will
/// arrive.
pub(super) async fn deliver(control: &Control, place: &Place, letter: &OutboxRecord) -> Outcome {
    let outcome = match place {
        Place::Server(to) => send(control, to, letter).await,
        Place::Hook(name) => hand_over(control, name, letter).await,
    };
    let outcome = outcome.in_time(letter.created_at, model::clock::now());
    if let Some(why) = outcome.worth_a_word(letter.attempts) {
        write_down(control, letter, why).await;
    }
    outcome
}

impl Outcome {
    /// What was tried for too long is given up.
    fn in_time(self, created_at: UnixMs, now: UnixMs) -> Self {
        match self {
            Self::Refused(why) | Self::Unheard(why) if is_too_late(created_at, now) => {
                let text = format!("it did not arrive for a day: {}", why.text);
                Self::GivenUp(Why { text, ..why })
            }
            outcome => outcome,
        }
    }

    fn worth_a_word(&self, n_failures_before: u32) -> Option<&Why> {
        match self {
            Self::GivenUp(why) => Some(why),
            Self::Refused(why) if why.code == EGRESS_DENIED && n_failures_before == 0 => Some(why),
            Self::Arrived | Self::Refused(_) | Self::Unheard(_) => None,
        }
    }
}

async fn write_down(control: &Control, letter: &OutboxRecord, why: &Why) {
    let report = Report::Undelivered { rule: letter.rule.clone(), code: why.code.to_string() };
    let machine = &letter.machine;
    let written = control.self_write(machine, Write::Report(report), Writer::Platform);
    match tokio::time::timeout(TRY_MAX, written).await {
        Ok(Ok(_)) => {}
        // Its last words may be on their way still.
        Ok(Err(ControlError::NotFound { .. })) => {}
        Ok(Err(error)) => tracing::warn!(%machine, %error, "its trace lacks a notification"),
        Err(_elapsed) => tracing::warn!(%machine, "its trace lacks a notification"),
    }
}

async fn send(control: &Control, to: &Destination, letter: &OutboxRecord) -> Outcome {
    let keys = match control.signing_keys(&letter.app).await {
        Ok(keys) => keys,
        Err(ControlError::NotFound { .. }) => {
            return Outcome::GivenUp(Why::new("app_not_found", "its app is gone"));
        }
        Err(error) => {
            return Outcome::Refused(Why::new(error.code().to_owned(), told(&error)));
        }
    };
    let egress = match egress_of(control, letter) {
        Ok(egress) => egress,
        Err(error) => return Outcome::Refused(Why::new("store", told(&error))),
    };
    let id = id_of(letter);
    let at_s = model::clock::now().0 / 1000;
    let (timestamp, signature) = (at_s.to_string(), keys.sign(&id, at_s, &letter.body));
    let headers = [
        (ID_HEADER, id.as_str()),
        (TIMESTAMP_HEADER, timestamp.as_str()),
        (SIGNATURE_HEADER, signature.as_str()),
    ];
    let courier = &control.inner.outbox.courier;
    match courier.post(to, &headers, letter.body.clone(), TRY_MAX, egress).await {
        Ok(status) => of_status(status),
        Err(error) => of_failure(&error),
    }
}

/// Where the machine may speak to, as its record says now.
fn egress_of(control: &Control, letter: &OutboxRecord) -> Result<Option<EgressPolicy>, StoreError> {
    let record = control.inner.store.read(|reader| reader.machine(&letter.machine))?;
    Ok(record.and_then(|record| record.spec.egress))
}

/// Of another machine the letter to the same receiver may arrive: so where one may not go is a
/// refusal of its own.
fn of_failure(error: &Undelivered) -> Outcome {
    let why = Why::new(error.code(), told(error));
    if why.code == EGRESS_DENIED { Outcome::Refused(why) } else { Outcome::Unheard(why) }
}

/// What a status means. Source: the Standard Webhooks specification 1.0, "Deliverability and
/// reliability".
fn of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Arrived,
        410 => Outcome::GivenUp(Why::new(RECEIVER_STATUS, "the receiver is gone for good (410)")),
        status => {
            let text = format!("the receiver answered with status {status}");
            Outcome::Refused(Why::new(RECEIVER_STATUS, text))
        }
    }
}

async fn hand_over(control: &Control, name: &str, letter: &OutboxRecord) -> Outcome {
    match control.deliver_to_hook(&letter.app, name, &id_of(letter), &letter.body).await {
        Ok(_) => Outcome::Arrived,
        Err(HookRefused::Inbox(ControlError::Self_(why)))
            if matches!(*why, WriteRefused::Hops { .. }) =>
        {
            Outcome::GivenUp(Why::new(why.code(), why.to_string()))
        }
        Err(HookRefused::Unknown) => {
            Outcome::Unheard(Why::new("hook_not_found", format!("there is no hook `{name}`")))
        }
        Err(error) => Outcome::Unheard(Why::new("hook_refused", told(&error))),
    }
}

/// An error with its causes, on one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_or_a_hook() {
        assert!(matches!(Place::of("https://example.com/a"), Some(Place::Server(_))));
        assert_eq!(Place::of("on-call"), Some(Place::Hook("on-call".to_owned())));
        for nowhere in ["", "ftp://example.com/", "https://", "no hook", "https://u:p@a.io/"] {
            assert_eq!(Place::of(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn what_is_tried_for_too_long_is_given_up() {
        let why = || Why::new(RECEIVER_STATUS, "busy");
        let at = |hours: u64| UnixMs(hours * 3_600_000);
        for outcome in [Outcome::Refused(why()), Outcome::Unheard(why())] {
            assert_eq!(outcome.clone().in_time(at(1), at(24)), outcome);
            let text = "it did not arrive for a day: busy";
            let given_up = Outcome::GivenUp(Why::new(RECEIVER_STATUS, text));
            assert_eq!(outcome.in_time(at(1), at(25)), given_up);
        }
        assert_eq!(Outcome::Arrived.in_time(at(1), at(25)), Outcome::Arrived);
    }

    #[test]
    fn the_trace_hears_once_of_what_may_not_go_out() {
        let denied = Outcome::Refused(Why::new(EGRESS_DENIED, ""));
        assert!(denied.worth_a_word(0).is_some() && denied.worth_a_word(1).is_none());
        let busy = Outcome::Refused(Why::new(RECEIVER_STATUS, ""));
        assert!(busy.worth_a_word(0).is_none() && Outcome::Arrived.worth_a_word(0).is_none());
        assert!(Outcome::GivenUp(Why::new(RECEIVER_STATUS, "")).worth_a_word(9).is_some());
    }

    #[test]
    fn redirects_and_errors_are_tried_again_and_gone_is_not() {
        assert_eq!(of_status(204), Outcome::Arrived);
        assert!(matches!(of_status(410), Outcome::GivenUp(_)));
        for status in [302, 400, 404, 429, 503] {
            assert!(matches!(of_status(status), Outcome::Refused(_)), "{status}");
        }
    }
}

//! One try at a letter.

use super::body::id_of;
use crate::control::Control;
use crate::error::ControlError;
use crate::hooks::standard::{ID_HEADER, Key, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::hooks::{HookRefused, is_hook_name};
use govern::WriteRefused;
use registry::Destination;
use std::time::Duration;
use store::OutboxRecord;

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
    GivenUp(String),
    /// The receiver did not want it now.
    Refused(String),
    /// Nobody answered, so nobody would hear the next letter either.
    Unheard(String),
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

/// Tries once.
pub(super) async fn deliver(control: &Control, place: &Place, letter: &OutboxRecord) -> Outcome {
    match place {
        Place::Server(to) => send(control, to, letter).await,
        Place::Hook(name) => hand_over(control, name, letter).await,
    }
}

async fn send(control: &Control, to: &Destination, letter: &OutboxRecord) -> Outcome {
    let key = match signing_key(control, letter).await {
        Ok(key) => key,
        Err(ControlError::NotFound { .. }) => {
            return Outcome::GivenUp("its app is gone".to_owned());
        }
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let id = id_of(letter);
    let at_s = model::clock::now().0 / 1000;
    let (timestamp, signature) = (at_s.to_string(), key.sign(&id, at_s, &letter.body));
    let headers = [
        (ID_HEADER, id.as_str()),
        (TIMESTAMP_HEADER, timestamp.as_str()),
        (SIGNATURE_HEADER, signature.as_str()),
    ];
    let courier = &control.inner.outbox.courier;
    match courier.post(to, &headers, letter.body.clone(), TRY_MAX).await {
        Ok(status) => of_status(status),
        Err(error) => Outcome::Unheard(told(&error)),
    }
}

async fn signing_key(control: &Control, letter: &OutboxRecord) -> Result<Key, ControlError> {
    let secret = control.signing_secret(&letter.app).await?;
    let bug = || ControlError::Bug { message: "a signing secret is no secret".to_owned() };
    Key::of(&secret).ok_or_else(bug)
}

/// What a status means. Source: the Standard Webhooks specification 1.0, "Deliverability and
/// reliability".
fn of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Arrived,
        410 => Outcome::GivenUp("the receiver is gone for good (410)".to_owned()),
        status => Outcome::Refused(format!("the receiver answered with status {status}")),
    }
}

async fn hand_over(control: &Control, name: &str, letter: &OutboxRecord) -> Outcome {
    match control.deliver_to_hook(&letter.app, name, &id_of(letter), &letter.body).await {
        Ok(_) => Outcome::Arrived,
        Err(HookRefused::Inbox(ControlError::Self_(why)))
            if matches!(*why, WriteRefused::Hops { .. }) =>
        {
            Outcome::GivenUp(why.to_string())
        }
        Err(HookRefused::Unknown) => Outcome::Unheard(format!("there is no hook `{name}`")),
        Err(error) => Outcome::Unheard(told(&error)),
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
    fn redirects_and_errors_are_tried_again_and_gone_is_not() {
        assert_eq!(of_status(204), Outcome::Arrived);
        assert!(matches!(of_status(410), Outcome::GivenUp(_)));
        for status in [302, 400, 404, 429, 503] {
            assert!(matches!(of_status(status), Outcome::Refused(_)), "{status}");
        }
    }
}

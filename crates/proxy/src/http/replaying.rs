//! Following orders of programs to ask another machine, and coming back when that fails.

use super::page::Page;
use super::replay::{Fallback, Order, REPLAYS_MAX, Transform};
use super::rules::{REPLAY_FAILED, REPLAY_SRC};
use crate::desk::{Admitted, Ask, Target, Wishes};
use hyper::StatusCode;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use model::MachineId;
use tokio::time::Instant;

/// One machine is asked.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Which.
    pub(crate) ask: Ask,
    /// What it is told of the replay.
    note: Option<(HeaderName, String)>,
    /// Changes of the request.
    transform: Transform,
    /// It was a fallback: its answer is the answer.
    is_last: bool,
}

impl Round {
    /// As the visitor asked.
    pub(crate) fn first(ask: Ask) -> Self {
        Self { ask, note: None, transform: Transform::default(), is_last: false }
    }

    /// The path, if it is not the visitor's.
    pub(crate) fn path(&self) -> Option<&str> {
        self.transform.path.as_deref()
    }

    /// Makes the headers those of this round. What frames the message cannot be changed.
    pub(crate) fn change(&self, headers: &mut HeaderMap) {
        for name in &self.transform.delete_headers {
            if let Some(name) = changeable(name) {
                headers.remove(name);
            }
        }
        for set in &self.transform.set_headers {
            if let (Some(name), Ok(value)) =
                (changeable(&set.name), HeaderValue::try_from(&set.value))
            {
                headers.insert(name, value);
            }
        }
        if let Some((name, text)) = &self.note
            && let Ok(value) = super::page::text_value(text)
        {
            headers.insert(name, value);
        }
    }
}

fn changeable(name: &str) -> Option<HeaderName> {
    let name: HeaderName = name.parse().ok()?;
    let frames = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, HOST];
    (!frames.contains(&name)).then_some(name)
}

/// The chain of replays of one request.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    n_replays: u32,
    /// Who ordered the last, and what to do when it fails.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    machine: MachineId,
    app: String,
    region: String,
    fallback: Option<Fallback>,
    ordered_at: Instant,
    ask: Ask,
}

impl Replays {
    /// The round that follows from `order` of `from`.
    ///
    /// # Errors
    /// [`Page`] for orders that are not followed.
    pub(crate) fn next(
        &mut self,
        order: Order,
        from: &Admitted,
        round: &Round,
        is_whole: bool,
        network_of: impl Fn(&str) -> Option<u32>,
    ) -> Result<Round, Page> {
        if round.is_last {
            let message = "the program ordered a replay of a request whose replay had failed";
            return Err(refused("replay_refused", message).fly("PA03"));
        }
        if self.n_replays >= REPLAYS_MAX {
            let message = format!("the request was replayed {REPLAYS_MAX} times without an answer");
            return Err(refused("replay_loop", &message).fly("PA02"));
        }
        if !is_whole {
            let message = "the body of the request is too large to be sent again";
            return Err(refused("replay_body_too_large", message)
                .fly("PA01")
                .hint("a request with a body above 1 MiB cannot be replayed"));
        }
        check_network(order.app.as_deref(), from, network_of)?;
        self.n_replays += 1;
        let now = Instant::now();
        let machine = &from.route.machine;
        let note = source_note(machine, &from.route.region, order.state.as_deref());
        self.source = Some(Source {
            machine: machine.clone(),
            app: from.route.app.clone(),
            region: from.route.region.clone(),
            fallback: order.fallback,
            ordered_at: now,
            ask: round.ask.clone(),
        });
        let deadline = order.timeout.map_or(round.ask.deadline, |timeout| now + timeout);
        let exclude = if order.is_elsewhere { vec![machine.clone()] } else { Vec::new() };
        let app = order.app.unwrap_or_else(|| from.route.app.clone());
        let wishes = Wishes {
            force_instance: order.instance,
            prefer_instance: order.prefer_instance,
            force_regions: order.regions,
            prefer_regions: Vec::new(),
            exclude,
        };
        let ask = Ask { target: Target::App(app), wishes, deadline, ..round.ask.clone() };
        Ok(Round {
            ask,
            note: Some((REPLAY_SRC, note)),
            transform: order.transform,
            is_last: false,
        })
    }

    /// The round after `page` came instead of an answer: the one that ordered the replay, if it said
    /// so.
    ///
    /// # Errors
    /// `page` itself, if there is none.
    pub(crate) fn fall_back(&mut self, page: Page, deadline: Instant) -> Result<Round, Page> {
        let Some(source) = self.source.take() else { return Err(page) };
        let Some(fallback) = source.fallback else { return Err(page) };
        let reason = match page.status {
            StatusCode::GATEWAY_TIMEOUT => "timeout",
            _ if matches!(&*page.code, "wake_timeout" | "overloaded") => "timeout",
            StatusCode::BAD_GATEWAY => "retries_exhausted",
            _ => "no_candidate",
        };
        let note = format!(
            "instance={};app={};region={};replay_source={};reason={reason};elapsed_ms={}",
            source.machine,
            source.app,
            source.region,
            source.machine,
            source.ordered_at.elapsed().as_millis(),
        );
        let machine = Some(source.machine);
        let wishes = match fallback {
            Fallback::ForceSelf => Wishes { force_instance: machine, ..Wishes::default() },
            Fallback::PreferSelf => Wishes { prefer_instance: machine, ..Wishes::default() },
        };
        let ask = Ask { target: Target::App(source.app), wishes, deadline, ..source.ask };
        let note = Some((REPLAY_FAILED, note));
        Ok(Round { ask, note, transform: Transform::default(), is_last: true })
    }
}

/// Another app must be of the same private network: nobody sends visitors to strangers.
fn check_network(
    app: Option<&str>,
    from: &Admitted,
    network_of: impl Fn(&str) -> Option<u32>,
) -> Result<(), Page> {
    let Some(app) = app.filter(|app| *app != from.route.app) else { return Ok(()) };
    match network_of(app) {
        Some(network) if network == from.route.network => Ok(()),
        Some(_) => {
            Err(refused("replay_other_network", "the replay is to an app of another network")
                .fly("PA05"))
        }
        None => {
            Err(refused("replay_unknown_app", "the replay is to an app that is not there")
                .fly("PA04"))
        }
    }
}

/// The fault is the program's, and asking again gives the same.
fn refused(code: &str, message: &str) -> Page {
    Page::new(StatusCode::BAD_GATEWAY, code, message)
}

fn source_note(machine: &MachineId, region: &str, state: Option<&str>) -> String {
    let at_us = model::clock::now().0 * 1000;
    let state = state.map(|state| format!(";state={state}")).unwrap_or_default();
    format!("instance={machine};region={region};t={at_us}{state}")
}

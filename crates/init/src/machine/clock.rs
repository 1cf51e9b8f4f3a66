//! What time it is: whoever was restored knows only when it was saved.
//!
//! The host says what time it is when it answers, which is somewhere between asking and hearing. A guest
//! that has just been restored on an emulated processor takes long for everything that it does the first
//! time, so it asks until both lie near enough.

use super::Failure;
use crate::host::HostChannel;
use guest_proto::{FromGuest, ToGuest};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::time::{Duration, Instant};

/// Longest wait for an answer: the host has nothing to do but answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An answer after this time is near enough: the clock is off by half of it at most.
const NEAR_ENOUGH: Duration = Duration::from_millis(20);

/// Questions, after which the nearest answer has to do: the host is very busy.
const QUESTIONS_MAX: usize = 8;

/// Sets the clock by the host's.
pub(super) fn set(host: &mut HostChannel) -> Result<(), Failure> {
    let mut nearest: Option<Heard> = None;
    for _ in 0..QUESTIONS_MAX {
        let heard = ask(host)?;
        let is_near = heard.took <= NEAR_ENOUGH;
        if nearest.as_ref().is_none_or(|before| heard.took < before.took) {
            nearest = Some(heard);
        }
        if is_near {
            break;
        }
    }
    let now = nearest.map_or(Duration::ZERO, |heard| heard.now());
    let now = Timespec::try_from(now).map_err(|_beyond| Failure(BEYOND.to_owned()))?;
    clock_settime(ClockId::Realtime, now).map_err(Failure::of("set the clock"))
}

const BEYOND: &str = "cannot set the clock: the host lives in another age";

/// An answer of the host.
#[derive(Debug)]
struct Heard {
    unix: Duration,
    /// From the question to the answer.
    took: Duration,
    at: Instant,
}

impl Heard {
    fn now(&self) -> Duration {
        self.unix + self.took / 2 + self.at.elapsed()
    }
}

fn ask(host: &mut HostChannel) -> Result<Heard, Failure> {
    let asked_at = Instant::now();
    host.send(&FromGuest::ClockAsked);
    host.flush().map_err(|lost| Failure(format!("cannot ask what time it is: {lost}")))?;
    let heard = host.wait_for(asked_at + ANSWER_WITHIN, |message| match message {
        ToGuest::Clock { unix_ns } => Some(unix_ns),
        _ => None,
    });
    let unix_ns = heard.map_err(|lost| Failure(format!("cannot hear what time it is: {lost}")))?;
    let at = Instant::now();
    Ok(Heard { unix: Duration::from_nanos(unix_ns), took: at - asked_at, at })
}

//! Questions of the host: those answered at once, and those that wait.

use crate::sys;
use guest_proto::message::Answer;
use rustix::process::Pid;
use std::time::{Duration, Instant};

pub(crate) mod processes;
pub(crate) mod sockets;

/// Waits for a listening port at once; each look serves all of them.
const WAITERS_MAX: usize = 64;

/// Flushes at once; more would only queue in the kernel.
const FLUSHES_MAX: usize = 4;

/// Longest wait for a port, in milliseconds.
const WAIT_MAX_MS: u32 = 60_000;

/// First pause between two looks at the listening ports; each next one is longer by a quarter, so
/// that a port is noticed after at most a quarter of the time it took to listen. A look takes some
/// tens of microseconds.
const LOOK_FIRST: Duration = Duration::from_micros(500);

/// Longest pause between two looks.
const LOOK_LAST: Duration = Duration::from_millis(20);

/// Questions that wait for something.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiters: Vec<Waiter>,
    flushes: Vec<(Pid, u64)>,
    next_look: Option<(Instant, Duration)>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    port: u16,
    until: Instant,
}

/// The answer to the question with this id.
pub(crate) type Answered = (u64, Answer);

impl Pending {
    /// Waits for a listening TCP port; an answer when that needs no waiting.
    pub(crate) fn wait_listening(
        &mut self,
        id: u64,
        port: u16,
        timeout_ms: u32,
        now: Instant,
    ) -> Option<Answered> {
        if timeout_ms == 0 || sockets::tcp_ports().contains(&port) {
            return Some((id, Answer::Listening { sockets: sockets::listening() }));
        }
        if self.waiters.len() == WAITERS_MAX {
            return Some((id, failed("too many waits for a port")));
        }
        let timeout = Duration::from_millis(timeout_ms.min(WAIT_MAX_MS).into());
        self.waiters.push(Waiter { id, port, until: now + timeout });
        self.next_look = Some((now + LOOK_FIRST, LOOK_FIRST));
        None
    }

    /// Flushes the file systems; an answer when that cannot even be tried.
    pub(crate) fn flush(&mut self, id: u64) -> Option<Answered> {
        if self.flushes.len() == FLUSHES_MAX {
            return Some((id, failed("too many flushes at once")));
        }
        match sys::flush_in_child() {
            Ok(pid) => {
                self.flushes.push((pid, id));
                None
            }
            Err(error) => Some((id, failed(&crate::start_error::text(error)))),
        }
    }

    /// A child has ended; the answer if it flushed for somebody.
    pub(crate) fn child_ended(&mut self, pid: Pid, code: Option<i32>) -> Option<Answered> {
        let at = self.flushes.iter().position(|(flusher, _)| *flusher == pid)?;
        let (_, id) = self.flushes.swap_remove(at);
        let answer = if code == Some(0) { Answer::Done } else { failed("the flush failed") };
        Some((id, answer))
    }

    /// When to [`look`](Self::look) again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_look.map(|(at, _)| at)
    }

    /// Looks at the listening ports when it is time to; answers those whose port listens or whose
    /// time is over.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<Answered> {
        let Some((_, pause)) = self.next_look.filter(|(at, _)| *at <= now) else {
            return Vec::new();
        };
        let ports = sockets::tcp_ports();
        let is_over = |waiter: &mut Waiter| waiter.until <= now || ports.contains(&waiter.port);
        let over: Vec<Waiter> = self.waiters.extract_if(.., is_over).collect();
        let pause = (pause * 5 / 4).min(LOOK_LAST);
        self.next_look = (!self.waiters.is_empty()).then(|| (now + pause, pause));
        if over.is_empty() {
            return Vec::new();
        }
        let sockets = sockets::listening();
        let answer = |waiter: Waiter| (waiter.id, Answer::Listening { sockets: sockets.clone() });
        over.into_iter().map(answer).collect()
    }

    /// A new epoch: nobody waits any more.
    pub(crate) fn forget(&mut self) {
        self.waiters.clear();
        self.flushes.clear();
        self.next_look = None;
    }
}

fn failed(message: &str) -> Answer {
    Answer::Failed { message: message.to_owned() }
}

//! What makes a copy of the template this machine and no other: said over the channel before anything
//! else, and answered when it is done.

use crate::error::EngineError;
use base64::Engine as _;
use guest_proto::message::{Ended, Part};
use guest_proto::{FrameKind, FromGuest, Furnishing, Orders, ToGuest};
use rustix::time::{ClockId, clock_gettime};
use shim_proto::connection::{Connection, Filled};
use shim_proto::message::Timing;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest time that it takes: a journal may have to be replayed. A guest that is emulated needs 0.2 s
/// on an idle host.
const FURNISH_MAX: Duration = Duration::from_secs(60);

/// Random bytes for the guest's kernel: it asks for 32 to trust its generator.
const ENTROPY_BYTES: usize = 64;

/// Randomness for one guest, as base64.
pub(super) fn entropy() -> Result<String, EngineError> {
    let mut bytes = [0; ENTROPY_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(EngineError::namespace("read random bytes"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Longest name of a part.
const PART_MAX_CHARS: usize = 16;

/// Most parts that a guest may tell of.
const PARTS_MAX: usize = 16;

/// Has the guest furnished; where the time went inside.
pub(super) fn furnish(
    channel: UnixStream,
    furnishing: Furnishing,
) -> Result<Vec<Timing>, EngineError> {
    let mut guest = Guest::new(channel, FURNISH_MAX)?;
    let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
    guest.tell(&ToGuest::Hello { version, version_min })?;
    guest.tell(&ToGuest::Furnish(Box::new(furnishing)))?;
    loop {
        match guest.hear()? {
            FromGuest::Hello { .. } => {}
            FromGuest::ClockAsked => guest.tell(&ToGuest::Clock { unix_ns: unix_ns() })?,
            FromGuest::Furnished { parts } => {
                let parts = parts.into_iter().take(PARTS_MAX);
                let name = |part: &Part| part.name.chars().take(PART_MAX_CHARS).collect::<String>();
                let timing =
                    |part: Part| Timing { part: format!("guest_{}", name(&part)), us: part.us };
                return Ok(parts.map(timing).collect());
            }
            FromGuest::FurnishFailed { message } => {
                return Err(EngineError::Guest { why: message });
            }
            other => return Err(nonsense(&other)),
        }
    }
}

/// Waits until a booted kernel says that its first process waits; its release.
pub(super) fn wait_for_boot(
    channel: UnixStream,
    patience: Duration,
) -> Result<String, EngineError> {
    match Guest::new(channel, patience)?.hear()? {
        FromGuest::Waiting { kernel } => Ok(kernel),
        other => Err(nonsense(&other)),
    }
}

/// Has a program run to its end, which is to be a good one, and waits until the guest waits again.
pub(super) fn rehearse_program(channel: UnixStream, orders: Orders) -> Result<(), EngineError> {
    let mut guest = Guest::new(channel, FURNISH_MAX)?;
    guest.has_program = true;
    guest.tell(&ToGuest::Boot(Box::new(orders)))?;
    let mut has_ended = false;
    loop {
        match guest.hear()? {
            FromGuest::Started { .. } => {}
            FromGuest::Exited(Ended { code: Some(0), .. }) => has_ended = true,
            FromGuest::Waiting { .. } if has_ended => return Ok(()),
            other => return Err(nonsense(&other)),
        }
    }
}

fn nonsense(message: &FromGuest) -> EngineError {
    let said = name_of(message);
    EngineError::Guest { why: format!("it said `{said}`, which nobody had asked for") }
}

/// The name of a message, without what comes with it, which is the guest's to choose.
fn name_of(message: &FromGuest) -> String {
    let text = format!("{message:?}");
    text.chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
}

/// The guest init, as long as it takes no orders yet.
struct Guest {
    connection: Connection,
    deadline: Instant,
    patience: Duration,
    has_program: bool,
}

impl Guest {
    fn new(channel: UnixStream, patience: Duration) -> Result<Self, EngineError> {
        let connection = Connection::new(channel, 1);
        let connection = connection.map_err(EngineError::namespace("use the guest's channel"))?;
        let deadline = Instant::now() + patience;
        Ok(Self { connection, deadline, patience, has_program: false })
    }

    fn tell(&mut self, message: &ToGuest) -> Result<(), EngineError> {
        self.connection.send(message).map_err(EngineError::namespace("speak to the guest"))
    }

    /// The next message of the guest.
    fn hear(&mut self) -> Result<FromGuest, EngineError> {
        loop {
            match self.connection.next_frame() {
                Ok(Some(frame)) if frame.kind == FrameKind::Control => {
                    return frame.message().map_err(|_unknown| garbage());
                }
                // Its output.
                Ok(Some(_)) if self.has_program => {}
                Ok(Some(_)) | Err(_) => return Err(garbage()),
                Ok(None) => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), EngineError> {
        match self.connection.wait_readable(self.deadline) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(EngineError::Deadline { what: "the guest", limit: self.patience });
            }
            Err(error) => return Err(EngineError::namespace("wait for the guest")(error)),
        }
        match self.connection.fill() {
            Ok(Filled::Some | Filled::Empty) => Ok(()),
            Ok(Filled::Closed) | Err(_) => {
                Err(EngineError::Guest { why: "the virtual machine has ended".to_owned() })
            }
        }
    }
}

fn garbage() -> EngineError {
    EngineError::Guest { why: "it says what is no message".to_owned() }
}

/// Wall clock in nanoseconds since 1970, as a guest is told it.
#[must_use]
pub fn unix_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

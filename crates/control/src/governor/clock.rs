//! The wall clock, and its jumps.

use model::UnixMs;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Reads the wall clock.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> UnixMs + Send + Sync>);

impl Clock {
    /// The host's.
    pub(crate) fn of_host() -> Self {
        Self(Arc::new(model::clock::now))
    }

    /// The moment.
    pub(super) fn now(&self) -> UnixMs {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// When the watch's timer would fire, in seconds since 1970: in 2100. It is only there to be
/// cancelled.
const FAR_OFF_S: i64 = 4_102_444_800;

/// Bytes that one look at a watch reads: a count, or a few names of files.
const LOOK_BYTES: usize = 1024;

/// Says when the wall clock was set, or the host slept: a timer of the kernel that is cancelled then.
///
/// Where a test pretends what the clock says, it is told by the file system that it says another thing.
///
/// Source: timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`.
#[derive(Debug)]
pub(super) struct JumpWatch {
    jumps: AsyncFd<OwnedFd>,
}

impl JumpWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// What the kernel or the runtime refused.
    pub(super) fn new() -> std::io::Result<Self> {
        let jumps = match model::clock::pretence() {
            None => timer()?,
            Some(file) => pretended(file)?,
        };
        // SAFETY: the descriptor is owned by the `AsyncFd` from here on, so it is open and the same one
        // for as long as that lives.
        let jumps = unsafe { AsyncFd::register_with_interest(jumps, Interest::READABLE) }?;
        Ok(Self { jumps })
    }

    /// Waits for the next jump.
    ///
    /// # Errors
    /// What the runtime says; there is no watch any more.
    pub(super) async fn jumped(&self) -> std::io::Result<()> {
        loop {
            let mut guard = self.jumps.readable().await?;
            let read = guard.try_io(|jumps| {
                let mut look = [0; LOOK_BYTES];
                match rustix::io::read(jumps.get_ref(), &mut look) {
                    Ok(_) | Err(Errno::CANCELED) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            });
            match read {
                Ok(read) => return read,
                Err(_would_block) => {}
            }
        }
    }
}

fn timer() -> std::io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let never = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: FAR_OFF_S, tv_nsec: 0 },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, flags, &never)?;
    Ok(timer)
}

/// Told when another file takes this one's name.
fn pretended(file: &Path) -> std::io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let place = file.parent().unwrap_or(Path::new("."));
    inotify::add_watch(&watch, place, WatchFlags::MOVED_TO)?;
    Ok(watch)
}

/// Tells jumps of the wall clock from small corrections of it.
#[derive(Debug)]
pub(super) struct Drift {
    wall: UnixMs,
    monotonic: Instant,
}

impl Drift {
    pub(super) fn from(clock: &Clock) -> Self {
        Self { wall: clock.now(), monotonic: Instant::now() }
    }

    /// By how many milliseconds the wall clock has left the monotonic one since the last call.
    pub(super) fn take(&mut self, clock: &Clock) -> u64 {
        let now = Self::from(clock);
        let passed = now.monotonic.saturating_duration_since(self.monotonic).as_millis();
        let expected = u128::from(self.wall.0) + passed;
        let drift = expected.abs_diff(u128::from(now.wall.0));
        *self = now;
        u64::try_from(drift).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
pub(super) mod tests;

//! What follows from an event.
//!
//! One commit per step: the new machine and its news are stored together, then the effects are
//! carried out. A step whose machine equals the one before and that has no news needs no commit.
//!
//! The table of what is legal is the match on the event here and the match on the state in each
//! handler; both name every case. docs/states.md tells the same in prose.
//!
//! * `up`: starts, and what a plan's end leads to.
//! * `down`: stops, rests, rest notices.
//! * `ended`: the end of a run, seen or found out after a reboot.
//! * `sleep`: what the engine says about freeze, suspend, thaw and resume.
//! * `replace`: update, restart, destroy.
//! * `timer`: deadlines.
//! * `gates`: owed wakes and hold-down.

mod down;
mod draft;
mod ended;
mod gates;
mod replace;
mod sleep;
mod timer;
mod up;

use crate::admit::Refused;
use crate::effect::{Effect, News, NewsKind, NewsSource};
use crate::event::Event;
use crate::restart::RestartLog;
use crate::state::{Machine, Nudges, State};
use crate::units::UnixMs;
use crate::{Want, effect::TimerKind};
use draft::Draft;

/// What follows: stored in one transaction (machine and news), then the effects are carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The new value.
    pub machine: Machine,
    /// User-visible events, oldest first.
    pub news: Vec<News>,
    /// What to make true.
    pub effects: Vec<Effect>,
}

impl Next {
    /// This step and the one that follows from it, as one: stored together, so its revision is this one's.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let machine = Machine { revision: self.machine.revision, ..later.machine };
        let news = self.news.into_iter().chain(later.news).collect();
        let effects = self.effects.into_iter().chain(later.effects).collect();
        Self { machine, news, effects }
    }
}

/// The first value of a machine that has just been accepted, with its news and effects.
///
/// With `launch` it starts as soon as image and disk are ready; else it settles to `Stopped`.
#[must_use]
pub fn create(launch: bool, now: UnixMs) -> Next {
    let machine = Machine {
        state: State::Creating { since: now, launch },
        revision: 1,
        restarts: RestartLog::default(),
        owed: None,
        hold_down: None,
        nudges: Nudges::default(),
        unprepared: None,
    };
    let news = News {
        kind: NewsKind::Launch,
        status: machine.state.api_name().to_owned(),
        source: NewsSource::User,
        exit: None,
        cause: None,
        message: None,
    };
    let arm =
        crate::deadline::timers(&machine).into_iter().map(|(kind, at)| Effect::Arm { kind, at });
    let effects = std::iter::once(Effect::Prepare).chain(arm).collect();
    Next { machine, news: vec![news], effects }
}

/// Decides what follows from `event` at `now`.
///
/// Pure: the same arguments give the same answer, so recovery may replay it. The revision grows by
/// one when anything changed or there is news, else not at all.
///
/// # Errors
/// [`Refused`] names the reason shown to the caller; nothing has changed. A report about another
/// run than the current one is [`Refused::StaleRun`], one that does not fit the state is
/// [`Refused::State`]: recovery may send both again without harm.
pub fn step(machine: &Machine, event: &Event, now: UnixMs) -> Result<Next, Refused> {
    let mut draft = Draft::new(machine, now);
    match event {
        Event::Want { want: Want::Up, cause, seed, .. } => up::want(&mut draft, cause, seed)?,
        Event::Want { want: Want::Down(depth), cause, stop, .. } => {
            down::want(&mut draft, *depth, cause, *stop)?;
        }
        Event::Restart { cause, seed, stop } => replace::restart(&mut draft, cause, seed, *stop)?,
        Event::Destroy { force } => replace::destroy(&mut draft, *force)?,
        Event::Update { launch, stop } => replace::update(&mut draft, *launch, *stop)?,
        Event::Prepared { seed } => up::prepared(&mut draft, seed)?,
        Event::PrepareFailed { code, message } => up::prepare_failed(&mut draft, code, message)?,
        Event::RunStarted { run, at } => {
            draft.expect_run(run)?;
            up::run_started(&mut draft, *at);
        }
        Event::RunFailed { run, code, message, is_transient, seed } => {
            let failure = ended::FailedStart { code, message, is_transient: *is_transient };
            draft.expect_run(run)?;
            ended::run_failed(&mut draft, &failure, seed);
        }
        Event::RunExited { run, exit, policy, auto_destroy, seed } => {
            draft.expect_run(run)?;
            ended::run_exited(&mut draft, exit, *policy, *auto_destroy, seed);
        }
        Event::Slept { run, depth, ram_bytes } => {
            draft.expect_run(run)?;
            sleep::slept(&mut draft, *depth, *ram_bytes);
        }
        Event::SleepFailed { run, message } => {
            draft.expect_run(run)?;
            sleep::sleep_failed(&mut draft, message);
        }
        Event::Woke { run } => {
            draft.expect_run(run)?;
            sleep::woke(&mut draft);
        }
        Event::Timer { kind, seed, .. } => match kind {
            TimerKind::Stuck => timer::stuck(&mut draft),
            TimerKind::Backoff => timer::backoff(&mut draft, seed),
            TimerKind::Rest => timer::rest(&mut draft),
            TimerKind::Owed => timer::owed(&mut draft),
        },
        Event::Notice { rest, vetoes } => down::notice(&mut draft, rest, *vetoes)?,
        Event::Vetoed => down::vetoed(&mut draft),
        Event::Owe { cause, not_before } => gates::owe(&mut draft, cause, *not_before)?,
        Event::Forgive => draft.machine.owed = None,
        Event::HoldDown { hold } => gates::hold_down(&mut draft, hold.as_ref())?,
        Event::Removed => replace::removed(&mut draft)?,
        Event::HostRebooted { seed, policy, auto_destroy } => {
            ended::host_rebooted(&mut draft, seed, *policy, *auto_destroy);
        }
    }
    Ok(draft.finish())
}

#[cfg(test)]
mod tests;

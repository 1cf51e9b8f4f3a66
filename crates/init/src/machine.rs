//! Init as the first process of a guest kernel: it makes a machine out of it, and ends it in order.
//!
//! ```text
//! bare ──modules, channel, Waiting──► waits ──Furnish──► furnished ──end of the program──► off
//!                                      ▲ │ here its RAM is saved once, and restored many times
//!                                      │ └──Furnish──► rehearses ──┐
//!                                      └──end of the program───────┘
//! ```
//!
//! While it waits it holds nothing that two of the restored must not share: no socket that leads anywhere, no
//! random bytes.
//! In between it runs a program as in a container ([`crate::supervisor`]). It never returns: the kernel
//! would panic.
//!
//! What the file system that the kernel boots from holds: this program as `/init`, `/modules`
//! ([`modules`]), and tools for programs in `/bin`.

use crate::host::HostChannel;
use crate::start_error::text;
use crate::supervisor;
use crate::sys;
use guest_proto::{FromGuest, Furnishing, LinkOrders};
use laps::Laps;
use rustix::io::Errno;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

mod clock;
mod console;
mod disk;
mod entropy;
mod laps;
mod last;
mod limits;
mod link;
mod modules;
mod port;
mod programs;
mod root;
mod second;
mod settings;
mod staged;

/// Something that makes a machine impossible, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    /// Wraps the error of doing this; made for `map_err`.
    fn of(doing: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let doing = doing.into();
        move |errno| Self(format!("cannot {doing}: {}", text(errno)))
    }
}

/// What the guest kernel has been made into so far.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The root that the kernel booted from.
    bare_root: OwnedFd,
    staged: staged::Staged,
    programs: programs::Programs,
    card: link::Card,
    state: State,
}

#[derive(Debug)]
enum State {
    Waits,
    /// Something went wrong: there is no root.
    Spoiled,
    /// It has the machine's root.
    Furnished,
    /// It has the root of a machine that nobody owns, and this link.
    Rehearses(Option<LinkOrders>),
}

/// Runs the machine from its first moment to its last.
pub(crate) fn run() -> ! {
    match catch_unwind(AssertUnwindSafe(live)) {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tell(&failure.to_string()),
        Err(_panic) => tell("a failure of init itself"),
    }
    last::power_off()
}

/// All that it is: any number of rehearsals, and the machine.
fn live() -> Result<(), Failure> {
    let mut next = Some(begin()?);
    while let Some((host, machine)) = next {
        next = match supervisor::run_machine(host, machine) {
            Some((host, machine)) => Some(machine.wait_again(host)?),
            None => None,
        };
    }
    Ok(())
}

/// From the kernel's start to a machine that waits.
fn begin() -> Result<(HostChannel, Machine), Failure> {
    console::reserve().map_err(Failure::of("open the root"))?;
    let (staged, groups) = staged::Staged::mount()?;
    console::take().map_err(Failure::of("open the console"))?;
    settings::write()?;
    modules::load()?;
    settings::write_for_disks();
    // One that runs on costs the host some power, and the machine nothing.
    sys::interval_timer::stop().ok();
    let card = link::Card::make_ready()?;
    limits::raise().map_err(Failure::of("raise the limits of programs"))?;
    let bare_root = last::open_root().map_err(Failure::of("open the root"))?;
    let programs =
        programs::Programs::begin(groups).map_err(Failure::of("make a group for programs"))?;
    let host = port::wait_for_host()?;
    Ok((host, Machine { bare_root, staged, programs, card, state: State::Waits }))
}

impl Machine {
    /// It has been furnished.
    pub(crate) const fn is_furnished(&self) -> bool {
        matches!(self.state, State::Furnished | State::Rehearses(_))
    }

    /// It is nobody's machine.
    pub(crate) const fn is_rehearsal(&self) -> bool {
        matches!(self.state, State::Rehearses(_))
    }

    /// Makes it the machine that `furnishing` describes; what the host says meanwhile is heard later.
    pub(crate) fn furnish(
        &mut self,
        furnishing: &Furnishing,
        host: &mut HostChannel,
    ) -> Result<(), Failure> {
        if self.is_furnished() {
            return Ok(());
        }
        let State::Waits = std::mem::replace(&mut self.state, State::Spoiled) else {
            return Err(Failure("the machine cannot be furnished again".to_owned()));
        };
        let mut laps = Laps::start();
        clock::set(host)?;
        laps.lap("clock");
        entropy::take(&furnishing.entropy_base64)?;
        rustix::system::sethostname(furnishing.hostname.as_bytes())
            .map_err(Failure::of("set the host name"))?;
        laps.lap("identity");
        disk::wait_for_size(furnishing.disk_bytes)?;
        laps.lap("size");
        root::enter(&self.staged, furnishing.has_fresh_run, &mut laps)?;
        self.state = match furnishing.is_rehearsal {
            true => State::Rehearses(furnishing.link.clone()),
            false => State::Furnished,
        };
        self.card.set(furnishing.link.as_ref())?;
        laps.lap("network");
        host.send(&FromGuest::Furnished { parts: laps.into_parts() });
        Ok(())
    }

    /// Before a sleep on a disk: no program goes on until [`resume`](Self::resume) or
    /// [`go_on`](Self::go_on). A machine whose programs cannot be held sleeps nevertheless.
    pub(crate) fn hold_programs(&mut self) {
        if let Err(failure) = self.programs.hold() {
            tell(&failure.to_string());
        }
    }

    /// Nobody can be started.
    pub(crate) const fn holds_programs(&self) -> bool {
        self.programs.are_held()
    }

    /// After a sleep on a disk: time has gone on outside, and another may have been given the same random
    /// numbers. Programs go on when they find neither as it was.
    pub(crate) fn resume(
        &mut self,
        entropy_base64: &str,
        host: &mut HostChannel,
    ) -> Result<(), Failure> {
        clock::set(host)?;
        entropy::take(entropy_base64)?;
        self.programs.release()?;
        host.send(&FromGuest::Resumed);
        // The host waits for this word, and for nothing that follows.
        host.flush().map_err(|lost| Failure(format!("cannot reach the host: {lost}")))?;
        self.programs.rejoin()
    }

    /// After it has stood still, or was to sleep and does not.
    pub(crate) fn go_on(&mut self, host: &mut HostChannel) -> Result<(), Failure> {
        if let Err(failure) = clock::set(host) {
            // A host that does not say what time it is now may be busy: the machine runs on, with the
            // time that it had.
            tell(&failure.to_string());
        }
        if self.programs.are_held() {
            self.programs.release()?;
            self.programs.rejoin()?;
        }
        Ok(())
    }

    /// After a rehearsal that has been taken down: it is as before, and the host is told.
    fn wait_again(mut self, mut host: HostChannel) -> Result<(HostChannel, Self), Failure> {
        let State::Rehearses(link) = std::mem::replace(&mut self.state, State::Waits) else {
            return Err(Failure("a machine does not wait again".to_owned()));
        };
        self.card.clear(link.as_ref())?;
        rustix::system::sethostname(b"(none)").map_err(Failure::of("set the host name"))?;
        host.send(&port::waiting());
        host.flush().map_err(|lost| Failure(format!("cannot reach the host: {lost}")))?;
        Ok((host, self))
    }

    /// A process that waits to become PID 1 of a namespace of its own; returns the socket to it.
    pub(crate) fn second_pid1() -> Result<OwnedFd, Errno> {
        second::make()
    }

    /// Ends everybody else, and writes all that the machine keeps: whoever cuts the power afterwards
    /// takes nothing away. `children` becomes readable when one has ended.
    pub(crate) fn take_down(&self, children: &OwnedFd) {
        last::kill_everybody(children);
        if self.is_furnished() {
            last::leave_root(&self.bare_root);
        }
        last::release_disk();
    }
}

/// Says something on the console: the channel may be of no use.
fn tell(sentence: &str) {
    match writeln!(std::io::stderr(), "dormouse-init: {sentence}") {
        Ok(()) | Err(_) => {}
    }
}

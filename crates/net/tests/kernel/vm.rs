//! Virtual machines without a monitor: another namespace plays the guest's kernel, with a tap of
//! its own for a network card, and a thread carries the frames.

use crate::world::{World, addrs, eventually, inside, ip, on_private_host};
use net::{GuestNetwork, MachineAddrs, Tap};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};
use rustix::pipe::PipeFlags;
use std::ffi::c_int;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};

/// Frames preceded by a network card's header: tap, no packet information, header.
const KIND: u16 = 0x0002 | 0x1000 | 0x4000;
/// Longest frame with its header, in bytes.
const FRAME_MAX: usize = 10 + 65_550;

/// How a guest finds the hardware address of its gateways.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Neighbours {
    /// It was told.
    Permanent,
    /// It sends everything to its own address.
    None,
}

/// A machine behind a tap.
pub(crate) struct Vm {
    pub(crate) tap: Tap,
    pub(crate) addrs: MachineAddrs,
    netns: OwnedFd,
    card: Option<Card>,
}

impl Vm {
    pub(crate) fn new(world: &World, network: u8, nth: u8) -> Self {
        Self::with_neighbours(world, network, nth, Neighbours::Permanent)
    }

    pub(crate) fn with_neighbours(
        world: &World,
        network: u8,
        nth: u8,
        neighbours: Neighbours,
    ) -> Self {
        let addrs = addrs(network, nth);
        let mut tap = world.pool.taps().take().expect("a tap");
        world.pool.taps().assign(&mut tap, &addrs).expect("addresses");
        let (netns, guest) = kernel(&GuestNetwork::of(&addrs), neighbours);
        let queue = world.pool.taps().open_queue(&tap).expect("its queue");
        let vm = Self { tap, addrs, netns, card: Some(Card::plug(queue, guest)) };
        vm.waits_for_the_line(world);
        vm
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.netns(), work)
    }

    pub(crate) fn ips(&self) -> [IpAddr; 2] {
        [self.addrs.v4.into(), self.addrs.v6.into()]
    }

    /// The monitor ends, and with it all that it has open; another one takes its place later.
    pub(crate) fn unplug(&mut self) {
        self.card = None;
    }

    pub(crate) fn plug(&mut self, world: &World) {
        let queue = world.pool.taps().open_queue(&self.tap).expect("its queue");
        let guest = self.run(|| open_queue("eth0")).expect("the guest's own");
        self.card = Some(Card::plug(queue, guest));
        self.waits_for_the_line(world);
    }

    /// The kernel lets frames pass a moment after a queue was opened, in the background.
    fn waits_for_the_line(&self, world: &World) {
        let is_up = |link: &str| !ip(&format!("-o link show dev {link}")).contains("state DOWN");
        eventually("both ends are up", || {
            let router = world.router.open_in_router(|| is_up(self.tap.link_name()));
            router.expect("inside") && self.run(|| is_up("eth0"))
        });
    }
}

/// A namespace with a network card that was set as the guest is told; gives the card's other end.
fn kernel(told: &GuestNetwork, neighbours: Neighbours) -> (OwnedFd, OwnedFd) {
    let GuestNetwork { v4, v4_len, v6, v6_len, gateway_v4, gateway_v6, .. } = told;
    on_private_host(|| {
        let card = make("eth0");
        fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("writable");
        ip(&format!("link set eth0 address {}", text(told.mac)));
        if let Neighbours::None = neighbours {
            ip("link set eth0 arp off");
        }
        ip("link set eth0 up");
        ip(&format!("addr add {v4}/{v4_len} dev eth0"));
        ip(&format!("addr add {v6}/{v6_len} dev eth0 nodad"));
        if let Neighbours::Permanent = neighbours {
            set_neighbours(told);
        }
        ip(&format!("route add default via {gateway_v4} dev eth0 onlink"));
        ip(&format!("-6 route add default via {gateway_v6} dev eth0"));
        let netns = File::open("/proc/thread-self/ns/net").expect("own namespace");
        (netns.into(), card)
    })
}

/// In the guest: its gateways' hardware address, which is its own; it forgets it when its own changes.
pub(crate) fn set_neighbours(told: &GuestNetwork) {
    let mac = text(told.mac);
    for gateway in [IpAddr::from(told.gateway_v4), told.gateway_v6.into()] {
        ip(&format!("neigh replace {gateway} lladdr {mac} nud permanent dev eth0"));
    }
}

pub(crate) fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// What a monitor does for a network card; ends when dropped.
struct Card {
    stop: Option<OwnedFd>,
    carrier: Option<JoinHandle<()>>,
}

impl Card {
    fn plug(router: OwnedFd, guest: OwnedFd) -> Self {
        let (stopped, stop) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let carrier = thread::spawn(move || carry([&router, &guest], &stopped));
        Self { stop: Some(stop), carrier: Some(carrier) }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.carrier.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.expect("carried until now").expect("no panic");
        }
    }
}

/// Carries frames between both until nobody is left to stop it.
fn carry(ends: [&OwnedFd; 2], stopped: &OwnedFd) {
    let mut frame = vec![0; FRAME_MAX];
    loop {
        let [a, b] = ends.map(|end| PollFd::new(end, PollFlags::IN));
        let mut waiting = [a, b, PollFd::new(stopped, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut waiting, None)).expect("waited");
        let seen = waiting.map(|fd| fd.revents());
        if !seen[2].is_empty() {
            return;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            // A queue whose link was removed is at its end; the other one is still read.
            if seen[from].contains(PollFlags::IN)
                && let Ok(len) = rustix::io::read(ends[from], &mut frame[..])
            {
                let written = rustix::io::write(ends[to], &frame[..len]);
                // What the other side does not want is lost, as on a wire.
                assert!(written.is_err() || written == Ok(len), "frames are taken whole");
            }
        }
        if seen[..2].iter().any(|seen| seen.contains(PollFlags::ERR)) {
            return;
        }
    }
}

#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    unused: [u8; 22],
}

/// Opens the queue of a tap of the thread's namespace, made if it is not there.
pub(crate) fn open_queue(name: &str) -> Result<OwnedFd, Errno> {
    const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
    let device = File::options().read(true).write(true).open("/dev/net/tun").expect("taps");
    let mut request = Request { name: [0; 16], flags: KIND, unused: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: it reads and writes a `struct ifreq`, which has the size of `Request`.
    unsafe { ioctl(&device, Updater::<TUNSETIFF, _>::new(&mut request)) }?;
    Ok(device.into())
}

fn make(name: &str) -> OwnedFd {
    let queue = open_queue(name).expect("a tap");
    persist(&queue, true);
    queue
}

/// Says whether the tap outlives its queue, as whoever has the queue may.
pub(crate) fn persist(queue: &OwnedFd, outlives: bool) {
    const TUNSETPERSIST: Opcode = opcode::write::<c_int>(b'T', 203);
    // SAFETY: it takes zero or one in place of a pointer.
    let set =
        unsafe { ioctl(queue, IntegerSetter::<TUNSETPERSIST>::new_usize(usize::from(outlives))) };
    set.expect("whoever has the queue may");
}

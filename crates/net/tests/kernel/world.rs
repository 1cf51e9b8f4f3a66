//! What the tests are made of: an instance with machines in it, and talk between them.

use model::InstanceTag;
use model::spec::egress::EgressPolicy;
use net::addr::{V4Block, V4Range};
use net::instance::{self, InstanceNamespaces};
use net::router::{Egress, Network, RouterConfig};
use net::slot::PoolConfig;
use net::{MachineAddrs, NetworkId, Router, Slot, SlotPool};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for something that happens within milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The first network of every world, and the second.
pub(crate) const RED: u8 = 0;
pub(crate) const BLUE: u8 = 1;

/// One instance; ends without a trace.
pub(crate) struct World {
    pub(crate) router: Arc<Router>,
    pub(crate) pool: SlotPool,
    pub(crate) tag: InstanceTag,
    instance: Option<InstanceNamespaces>,
    dir: TempDir,
}

/// A machine's place and addresses.
pub(crate) struct Guest {
    pub(crate) slot: Slot,
    pub(crate) addrs: MachineAddrs,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_egress(Egress::Off)
    }

    pub(crate) fn with_egress(egress: Egress) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut bits = [0; 4];
        let mut random = std::fs::File::open("/dev/urandom").expect("randomness");
        random.read_exact(&mut bits).expect("four bytes");
        let tag = InstanceTag::from_random(u32::from_ne_bytes(bits));
        let instance = instance::enter(dir.path()).expect("an instance");
        let (router, pool) = build(&instance, &tag, egress, &[]);
        Self { router, pool, tag, instance: Some(instance), dir }
    }

    /// What a new daemon of the same instance sees; the old one is forgotten.
    pub(crate) fn restarted(mut self, egress: Egress) -> Self {
        (self.router, self.pool) = build(self.instance(), &self.tag, egress, &[]);
        self
    }

    /// The same, with policies in its store.
    pub(crate) fn restarted_with(mut self, policies: &[(MachineAddrs, EgressPolicy)]) -> Self {
        (self.router, self.pool) = build(self.instance(), &self.tag, Egress::Nat, policies);
        self
    }

    pub(crate) fn instance(&self) -> &InstanceNamespaces {
        self.instance.as_ref().expect("inside until left")
    }

    pub(crate) fn runtime_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Goes back to the host's mount namespace; slots already open keep working.
    pub(crate) fn step_out(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.leave().expect("back on the host");
        }
    }

    /// A machine of network [`RED`] or [`BLUE`]; `nth` makes its addresses.
    pub(crate) fn guest(&self, network: u8, nth: u8) -> Guest {
        let mut slot = self.pool.take().expect("a slot");
        let addrs = addrs(network, nth);
        self.pool.assign(&mut slot, &addrs).expect("addresses");
        Guest { slot, addrs }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.step_out();
        instance::destroy(self.dir.path(), &self.tag).expect("nothing left");
    }
}

fn build(
    instance: &InstanceNamespaces,
    tag: &InstanceTag,
    egress: Egress,
    policies: &[(MachineAddrs, EgressPolicy)],
) -> (Arc<Router>, SlotPool) {
    let config = RouterConfig { egress, ..RouterConfig::default() };
    let networks = [RED, BLUE].map(|n| Network { id: network(n), blocks: vec![block(n)] });
    let router = Router::open_with_policies(instance, tag, &config, &networks, policies);
    let router = Arc::new(router.expect("a router"));
    let config = PoolConfig { helper: helper(), low_watermark: 1, high_watermark: 2 };
    let pool = SlotPool::open(instance, Arc::clone(&router), config).expect("a pool");
    (router, pool)
}

/// The example `slots` is its own slot helper and is built with the tests.
fn helper() -> PathBuf {
    let here = std::env::current_exe().expect("own path");
    let profile = here.ancestors().nth(2).expect("two directories up");
    let helper = profile.join("examples/slots");
    assert!(helper.exists(), "build {} first: cargo build --examples", helper.display());
    helper
}

pub(crate) fn network(which: u8) -> NetworkId {
    NetworkId::from_random(0xd0d0_0000 + u32::from(which) + 1)
}

pub(crate) fn block(which: u8) -> V4Block {
    V4Range::default().blocks().nth(usize::from(which)).expect("16,384 blocks")
}

pub(crate) fn addrs(which: u8, nth: u8) -> MachineAddrs {
    let v4 = block(which).hosts().nth(usize::from(nth)).expect("254 hosts");
    MachineAddrs::draw(network(which), [0, 0, 0, 0, 0, nth], v4)
}

impl Guest {
    /// Runs `work` inside the machine's network namespace, as a program of it would.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.slot.netns(), work)
    }

    pub(crate) fn ips(&self) -> [IpAddr; 2] {
        [self.addrs.v4.into(), self.addrs.v6.into()]
    }

    /// Says hello to a listener of `other` at `ip` and gives the address it was seen from.
    pub(crate) fn greets(&self, other: &Self, ip: IpAddr) -> io::Result<IpAddr> {
        greet(self.slot.netns(), other.slot.netns(), ip)
    }

    /// Why a connection to `address` fails.
    #[track_caller]
    pub(crate) fn is_refused_at(&self, address: SocketAddr) -> io::ErrorKind {
        let tried = self.run(|| TcpStream::connect_timeout(&address, SOON));
        tried.expect_err(&format!("{address} must be out of reach")).kind()
    }
}

/// Says hello from one namespace to a listener in another and gives the address it was seen from.
pub(crate) fn greet(from: BorrowedFd<'_>, to: BorrowedFd<'_>, at: IpAddr) -> io::Result<IpAddr> {
    let listener = inside(to, || TcpListener::bind((at, 0)))?;
    let address = listener.local_addr()?;
    let mut stream = inside(from, || TcpStream::connect_timeout(&address, SOON))?;
    stream.write_all(b"hello")?;
    let (mut seen, from) = listener.accept()?;
    seen.set_read_timeout(Some(SOON))?;
    let mut word = [0; 5];
    seen.read_exact(&mut word)?;
    assert_eq!(&word, b"hello");
    Ok(from.ip())
}

pub(crate) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> T {
    on_own_thread(|| {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).expect("entered");
        work()
    })
}

/// Runs `work` where a fresh network namespace plays the host's.
pub(crate) fn on_private_host<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    on_own_thread(|| {
        // SAFETY: the thread's descriptors stay shared; only its network namespace changes.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace");
        ip("link set lo up");
        work()
    })
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `ip` with these words in the thread's namespace.
#[track_caller]
pub(crate) fn ip(words: &str) -> String {
    output_of("ip", words)
}

/// Runs a program that must succeed and gives what it printed.
#[track_caller]
pub(crate) fn output_of(program: &str, words: &str) -> String {
    let output = Command::new(program).args(words.split(' ')).output().expect("it runs");
    assert!(output.status.success(), "{program} {words}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Waits until `is_there`; the kernel takes namespaces apart in the background.
#[track_caller]
pub(crate) fn eventually(what: &str, is_there: impl FnMut() -> bool) {
    eventually_within(SOON, what, is_there);
}

/// The same, for what takes longer.
#[track_caller]
pub(crate) fn eventually_within(longest: Duration, what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < longest, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

//! Doors: the listening sockets of public ports, opened and closed as records come and go.

use super::drain::DrainToken;
use super::{come_in, udp};
use crate::book::Book;
use crate::desk::Desk;
use crate::process::binder::Binder;
use crate::process::handover::Socket;
use crate::process::lanes::Lanes;
use crate::table::ports::{Claimed, PortKey};
use crate::visit::tls::Certificates;
use model::spec::service::Transport;
use proxy_proto::message::Door;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Most connections of visitors at a time: each takes two descriptors and some buffers.
pub(crate) const CONNECTIONS_MAX: u32 = 10_000;

/// Pause before a port that was taken is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Pause when the process has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most doors and disputed names in a description.
const DESCRIBED_MAX: usize = 2 * crate::table::ports::DOORS_MAX;

/// Everything that accepts.
#[derive(Debug)]
pub(crate) struct Doors {
    desk: Desk,
    binder: Binder,
    listen: Vec<IpAddr>,
    lanes: Lanes,
    drain: DrainToken,
    room: Arc<Semaphore>,
    certificates: Arc<Certificates>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_address: HashMap<(Transport, SocketAddr), OpenDoor>,
    problems: BTreeMap<(bool, SocketAddr), String>,
    /// Sockets of the proxy before that no record has asked for yet.
    inherited: HashMap<(Transport, SocketAddr), OwnedFd>,
    /// Copies of sockets of others in this process, for the next proxy.
    lent: Vec<Socket>,
    is_closed: bool,
}

#[derive(Debug)]
struct OpenDoor {
    /// The same socket as the task's, for the next proxy.
    socket: OwnedFd,
    task: AbortHandle,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Doors {
    /// None is open.
    pub(crate) fn new(
        desk: Desk,
        binder: Binder,
        lanes: Lanes,
        listen: IpAddr,
        drain: DrainToken,
    ) -> Self {
        let beside = (listen == Ipv4Addr::LOCALHOST).then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        Self {
            desk,
            binder,
            listen: std::iter::once(listen).chain(beside).collect(),
            lanes,
            drain,
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)),
            certificates: Arc::default(),
            open: Mutex::default(),
        }
    }

    /// Takes the sockets of the proxy before, to be used when a record asks for them.
    pub(crate) fn adopt(&self, sockets: Vec<Socket>) {
        let keyed = sockets.into_iter().map(|(transport, at, fd)| ((transport, at), fd));
        self.lock().inherited.extend(keyed);
    }

    /// Opens and closes doors for as long as the process lives.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            let is_complete = self.reconcile().await;
            let change = self.desk.bells().doors.notified();
            if is_complete {
                change.await;
            } else {
                // It ended by time or by a change: both mean the same.
                drop(tokio::time::timeout(RETRY, change).await);
            }
        }
    }

    /// Opens what is wanted and closes what is not; says whether all is as wanted.
    pub(crate) async fn reconcile(self: &Arc<Self>) -> bool {
        let claimed = self.desk.read(|book| book.table.ports().all());
        let wanted: HashSet<(Transport, SocketAddr)> =
            claimed.iter().flat_map(|claim| self.addresses(claim.key).into_iter()).collect();
        self.close_unwanted(&wanted);
        let mut is_complete = true;
        for at in wanted {
            if self.lock().is_closed {
                return true;
            }
            if self.lock().by_address.contains_key(&at) {
                continue;
            }
            let opened = self.open_at(at).await;
            let key = (at.0 == Transport::Udp, at.1);
            match opened {
                Ok(()) => drop(self.lock().problems.remove(&key)),
                Err(error) => {
                    is_complete &= !self.is_needed(at.1);
                    self.note_problem(at, &error);
                }
            }
        }
        if self.desk.read(Book::is_complete) {
            // Nobody accepts at what no record asks for.
            self.lock().inherited.clear();
        }
        let n_open = self.lock().by_address.len();
        let n_left_off = self.desk.read(|book| book.table.ports().n_left_off());
        self.desk.metrics().doors(n_open, n_left_off);
        is_complete
    }

    /// Nothing new comes in from now on.
    pub(crate) fn close(&self) {
        let mut open = self.lock();
        open.is_closed = true;
        open.by_address.clear();
        open.inherited.clear();
        open.lent.clear();
    }

    /// Waits until all visitors have gone, at most so long; says whether they have.
    pub(crate) async fn wait_empty(&self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.room.acquire_many(CONNECTIONS_MAX)).await.is_ok()
    }

    /// Copies of all sockets, for the next proxy.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        let open = self.lock();
        let doors =
            open.by_address.iter().map(|((transport, at), door)| (*transport, *at, &door.socket));
        let lent = open.lent.iter().map(|(transport, at, socket)| (*transport, *at, socket));
        let copies = doors.chain(lent).filter_map(|(transport, at, socket)| {
            // Without a descriptor to spare the next one binds it anew.
            Some((transport, at, socket.try_clone().ok()?))
        });
        copies.collect()
    }

    /// A socket of the proxy before, for somebody else in this process.
    pub(crate) fn inherited(&self, at: (Transport, SocketAddr)) -> Option<OwnedFd> {
        self.lock().inherited.remove(&at)
    }

    /// Copies of sockets of somebody else in this process, to be handed over with the doors.
    pub(crate) fn lend(&self, sockets: impl IntoIterator<Item = Socket>) {
        self.lock().lent.extend(sockets);
    }

    /// Doors and who is behind them, for people; those of one app, or all.
    pub(crate) fn describe(&self, app: Option<&str>) -> Vec<Door> {
        let claimed = self.desk.read(|book| book.table.ports().all());
        let is_of = |mut apps: std::slice::Iter<'_, String>| {
            app.is_none_or(|app| apps.any(|other| other == app))
        };
        let of_app = |claim: &&Claimed| is_of(claim.apps.iter()) || is_of(claim.kept_out.iter());
        let open = self.lock();
        let doors = claimed.iter().filter(of_app).map(|claim| {
            let addresses = self.addresses(claim.key);
            let at = addresses[0];
            let taken = open.problems.get(&(at.0 == Transport::Udp, at.1)).cloned();
            let kept_out = claim.kept_out.iter().map(|app| {
                format!("`{app}` is kept out: the port is taken by app `{}`", claim.apps[0])
            });
            let problems: Vec<String> = taken.into_iter().chain(kept_out).collect();
            Door {
                address: format!("{}/{}", at.1, word(at.0)),
                apps: claim.apps.clone(),
                problem: (!problems.is_empty()).then(|| problems.join("; ")),
            }
        });
        let names = self.desk.read(|book| {
            let disputed = book.table.names().disputed().into_iter();
            let of_app = disputed.filter(|(_, apps)| is_of(apps.iter()));
            of_app.map(|(name, apps)| name_door(name, apps)).collect::<Vec<_>>()
        });
        doors.chain(names).take(DESCRIBED_MAX).collect()
    }

    fn addresses(&self, (transport, port): PortKey) -> Vec<(Transport, SocketAddr)> {
        self.listen.iter().map(|ip| (transport, SocketAddr::new(*ip, port))).collect()
    }

    /// The address of all doors is; the one beside it is welcome.
    fn is_needed(&self, at: SocketAddr) -> bool {
        self.listen.first() == Some(&at.ip())
    }

    fn close_unwanted(&self, wanted: &HashSet<(Transport, SocketAddr)>) {
        let mut open = self.lock();
        let is_wanted = |at: &(Transport, SocketAddr)| wanted.contains(at);
        open.by_address.retain(|at, _| is_wanted(at));
        open.problems.retain(|(is_udp, at), _| {
            let transport = if *is_udp { Transport::Udp } else { Transport::Tcp };
            is_wanted(&(transport, *at))
        });
    }

    fn note_problem(&self, (transport, at): (Transport, SocketAddr), error: &io::Error) {
        let problem = format!("cannot listen: {error}");
        let key = (transport == Transport::Udp, at);
        let before = self.lock().problems.insert(key, problem.clone());
        if before.as_ref() != Some(&problem) {
            tracing::warn!(%at, transport = word(transport), %error, "a door cannot be opened");
        }
    }

    async fn open_at(self: &Arc<Self>, at: (Transport, SocketAddr)) -> io::Result<()> {
        let inherited = self.lock().inherited.remove(&at);
        let socket = match inherited {
            Some(socket) => socket,
            None => self.binder.bind(at).await?,
        };
        let copy = socket.try_clone()?;
        let doors = Arc::clone(self);
        let task = match at.0 {
            Transport::Tcp => {
                let listener = TcpListener::from_std(std::net::TcpListener::from(copy))?;
                tokio::spawn(async move { doors.accept(listener, at.1).await })
            }
            Transport::Udp => {
                let copy = UdpSocket::from_std(std::net::UdpSocket::from(copy))?;
                let (desk, drain) = (self.desk.clone(), self.drain.clone());
                tokio::spawn(udp::serve(desk, copy, at.1, drain))
            }
        };
        let door = OpenDoor { socket, task: task.abort_handle() };
        let mut open = self.lock();
        if !open.is_closed {
            open.by_address.insert(at, door);
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, at: SocketAddr) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.let_in(stream, peer, at),
                Err(error) => {
                    tracing::debug!(%error, %at, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn let_in(&self, stream: TcpStream, peer: SocketAddr, at: SocketAddr) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.desk.metrics().too_many();
            return;
        };
        let (desk, drain) = (self.desk.clone(), self.drain.clone());
        let certificates = Arc::clone(&self.certificates);
        // Out of this runtime, and into the lane's.
        let stream = stream.into_std();
        self.lanes.spawn(async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => come_in(desk, &certificates, stream, (peer, at), drain).await,
                Err(error) => tracing::debug!(%peer, %error, "a connection was not taken over"),
            }
            drop(room);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that several apps claim.
fn name_door(name: &str, apps: &[String]) -> Door {
    let (holder, others) = (&apps[..1], &apps[1..]);
    let others = others.iter().map(|app| format!("`{app}`")).collect::<Vec<_>>().join(", ");
    let problem = format!("{others} kept out: the name is taken by app `{}`", holder[0]);
    Door { address: name.to_owned(), apps: holder.to_vec(), problem: Some(problem) }
}

const fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

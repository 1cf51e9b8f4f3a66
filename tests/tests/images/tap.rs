//! A tap before a registry: counts what it sends, and stops it after so many bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use testkit::wait;

/// Forwards connections to a port of loopback until it is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Bytes that have come from the registry.
    n_passed: u64,
    /// No more than this.
    n_max: u64,
    /// No more than this on one connection.
    n_max_each: u64,
    is_closed: bool,
    open: Vec<TcpStream>,
    /// Connections so far.
    n_clients: usize,
}

impl Tap {
    /// Before `port` of this host, on a free port of `address`.
    pub(crate) fn before(port: u16, address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let state = State {
            n_passed: 0,
            n_max: u64::MAX,
            n_max_each: u64::MAX,
            is_closed: false,
            open: Vec::new(),
            n_clients: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let address = listener.local_addr().expect("it listens");
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.state().is_closed {
                    return;
                }
                // A registry that is away is a connection that ends at once.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    serving.forward(client, server).expect("a connection can be shared");
                }
            }
        });
        Self { address, shared }
    }

    /// A reference to `name` through it.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// `address:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Bytes that have come from the registry.
    pub(crate) fn n_passed(&self) -> u64 {
        self.shared.state().n_passed
    }

    /// Connections that have come so far.
    pub(crate) fn n_clients(&self) -> usize {
        self.shared.state().n_clients
    }

    /// Stops when `n_bytes` more have come.
    pub(crate) fn stop_after(&self, n_bytes: u64) {
        let mut state = self.shared.state();
        state.n_max = state.n_passed + n_bytes;
    }

    /// Stops each connection when so many bytes have come on it: documents pass, and no layer.
    pub(crate) fn stop_each_after(&self, n_bytes: u64) {
        self.shared.state().n_max_each = n_bytes;
    }

    /// Waits until no more may come.
    #[track_caller]
    pub(crate) fn wait_until_it_stops(&self) {
        wait::eventually("the tap stops", || {
            let state = self.shared.state();
            (state.n_passed == state.n_max).then_some(())
        });
    }

    /// Lets everything through again, on the connections that there are.
    pub(crate) fn open(&self) {
        let mut state = self.shared.state();
        (state.n_max, state.n_max_each) = (u64::MAX, u64::MAX);
        self.shared.changed.notify_all();
    }

    /// Breaks all connections, and lets new ones through without a bound.
    pub(crate) fn break_and_open(&self) {
        let mut state = self.shared.state();
        for stream in state.open.drain(..) {
            // It may be closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
        drop(state);
        self.open();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.break_and_open();
        // Wakes the listener, which then ends.
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let address = if self.address.ip().is_unspecified() { host } else { self.address.ip() };
        TcpStream::connect((address, self.address.port())).ok();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        self.state().n_clients += 1;
        self.state().open.extend([client.try_clone()?, server.try_clone()?]);
        thread::spawn(move || {
            // Either side may go away: then so does the other.
            io::copy(&mut from_client, &mut to_server).ok();
            to_server.shutdown(Shutdown::Both).ok();
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            shared.pass(&server, &client).ok();
            client.shutdown(Shutdown::Both).ok();
        });
        Ok(())
    }

    /// Passes what the registry sends on, as far as it may.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let mut n_here = 0;
        loop {
            let n_read = from.read(&mut chunk)?;
            if n_read == 0 {
                return Ok(());
            }
            let mut rest = &chunk[..n_read];
            while !rest.is_empty() {
                let n_taken = self.take(rest.len(), n_here);
                n_here += n_taken as u64;
                let (now, later) = rest.split_at(n_taken);
                to.write_all(now)?;
                rest = later;
            }
        }
    }

    /// How many of `n_wanted` bytes may pass now on a connection where `n_here` have; waits until there
    /// are some.
    fn take(&self, n_wanted: usize, n_here: u64) -> usize {
        let n_open = |state: &State| {
            let n_here_left = state.n_max_each.saturating_sub(n_here);
            (state.n_max - state.n_passed).min(n_here_left)
        };
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| n_open(state) == 0);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let n = n_wanted.min(usize::try_from(n_open(&state)).unwrap_or(usize::MAX));
        state.n_passed += n as u64;
        n
    }
}

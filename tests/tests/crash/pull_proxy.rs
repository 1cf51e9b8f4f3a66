//! Between an instance and a registry: counts what is asked for, and holds back what is answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A pause between two looks whether the proxy has ended.
const TICK: Duration = Duration::from_millis(50);

/// A proxy to one registry; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    registry: SocketAddr,
    requests: Mutex<Vec<String>>,
    /// Bytes that may still be answered.
    allowance: Mutex<u64>,
    allowed: Condvar,
    answered: AtomicU64,
    has_ended: AtomicBool,
}

impl Proxy {
    /// A proxy to the registry on this loopback port, with nothing held back.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            registry: (Ipv4Addr::LOCALHOST, port).into(),
            requests: Mutex::default(),
            allowance: Mutex::new(u64::MAX),
            allowed: Condvar::new(),
            answered: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        let for_clients = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &for_clients));
        Self { shared, address, acceptor: Some(acceptor) }
    }

    /// A reference to `name` through this proxy.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Holds everything back after so many more bytes; `u64::MAX` lets everything through.
    pub(crate) fn allow(&self, n_bytes: u64) {
        *self.shared.allowance.lock().unwrap_or_else(PoisonError::into_inner) = n_bytes;
        self.shared.allowed.notify_all();
    }

    /// Bytes that were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Paths of the blobs that were asked for, one for each request.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|line| line.contains("/blobs/")).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        self.allow(u64::MAX);
        // Wakes the acceptor; when nobody listens any more it has ended.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.has_ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(registry) = TcpStream::connect(shared.registry) else { continue };
        let pair = (client.try_clone(), registry.try_clone());
        let (Ok(back_to), Ok(back_from)) = pair else { continue };
        let (up, down) = (Arc::clone(shared), Arc::clone(shared));
        thread::spawn(move || pass(client, registry, |bytes| up.note(bytes)));
        thread::spawn(move || pass(back_from, back_to, |bytes| down.wait(bytes.len())));
    }
}

/// Passes bytes on, `first` seeing each piece, until either side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, first: impl Fn(&[u8])) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        first(&piece[..n]);
        if to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    // The other side may have gone already.
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

impl Shared {
    /// Requests have no body, so each line that looks like one is one.
    fn note(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter_map(|line| line.strip_prefix("GET "));
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.extend(lines.map(|line| line.trim_end_matches(" HTTP/1.1").to_owned()));
    }

    /// Waits until so many bytes may be answered.
    fn wait(&self, n_bytes: usize) {
        let n_bytes = u64::try_from(n_bytes).unwrap_or(u64::MAX);
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        while *allowance < n_bytes && !self.has_ended.load(Ordering::SeqCst) {
            let waited = self.allowed.wait_timeout(allowance, TICK);
            allowance = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if *allowance != u64::MAX {
            *allowance = allowance.saturating_sub(n_bytes);
        }
        self.answered.fetch_add(n_bytes, Ordering::SeqCst);
    }
}

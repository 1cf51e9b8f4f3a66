//! Somebody who asks a machine again and again, each time by a connection of its own.

use crate::house::House;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two visits.
const PAUSE: Duration = Duration::from_millis(10);

/// Longest wait for an answer: whoever waits longer has not been answered.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest wait for some answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Visits under way.
pub(crate) struct Visits {
    n_answers: Arc<AtomicUsize>,
    is_ending: Arc<AtomicBool>,
    visitor: JoinHandle<Vec<String>>,
}

impl Visits {
    /// Begins to visit the public port `port` of the house.
    pub(crate) fn begin(house: &House, port: u16) -> Self {
        let network = house.network();
        let (n_answers, is_ending) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counter, ending) = (Arc::clone(&n_answers), Arc::clone(&is_ending));
        let visitor = std::thread::spawn(move || {
            // Only this thread goes there.
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the network can be entered");
            let mut failures = Vec::new();
            while !ending.load(Ordering::SeqCst) {
                match visit((Ipv4Addr::LOCALHOST, port).into()) {
                    Ok(text) if text.starts_with("HTTP/1.1 200") && text.ends_with("hello\n") => {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(text) => failures.push(text),
                    Err(error) => failures.push(error.to_string()),
                }
                std::thread::sleep(PAUSE);
            }
            failures
        });
        Self { n_answers, is_ending, visitor }
    }

    /// Waits until so many more visits were answered.
    #[track_caller]
    pub(crate) fn wait_for_answers(&self, n: usize) {
        let (until, deadline) =
            (self.n_answers.load(Ordering::SeqCst) + n, Instant::now() + PATIENCE);
        while self.n_answers.load(Ordering::SeqCst) < until {
            assert!(Instant::now() < deadline, "nobody answers");
            std::thread::sleep(PAUSE);
        }
    }

    /// How many visits were answered, and what became of the others.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.is_ending.store(true, Ordering::SeqCst);
        let failures = self.visitor.join().expect("the visitor ends");
        (self.n_answers.load(Ordering::SeqCst), failures)
    }
}

fn visit(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream
        .write_all(b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

//! A host of the test's own and a world outside it, as network namespaces: nothing that a machine
//! says leaves this computer, and nothing of the real host changes.
//!
//! ```text
//! machines ── router ── "host" 198.51.100.1 ── wan ── "outside" 198.51.100.2, .3, 169.254.169.254
//!                       resolver 127.0.0.1:53         ports 80 and 443 everywhere
//! ```

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Addresses outside: two servers, each with both families.
pub(crate) const GOOD: &str = "198.51.100.2";
pub(crate) const BAD: &str = "198.51.100.3";
pub(crate) const GOOD6: &str = "2001:db8::2";
/// Where clouds answer with secrets.
pub(crate) const METADATA: &str = "169.254.169.254";
/// The host's own address.
pub(crate) const HOST: &str = "198.51.100.1";

/// What servers outside say.
pub(crate) const HELLO: &str = "hello from outside";

/// Longest wait of a server for the rest of a request.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// The world, as long as `on_private_host` runs.
pub(crate) struct World {
    /// The names that the host's resolver has been asked for, in order.
    asked: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

impl World {
    /// How often the host's resolver has been asked for a name.
    pub(crate) fn n_asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().expect("whole");
        asked.iter().filter(|asked| asked.as_str() == name).count()
    }
}

/// Runs `work` where fresh namespaces play the host, with a world outside.
pub(crate) fn on_private_host<T: Send>(work: impl FnOnce(&World) -> T + Send) -> T {
    on_own_thread(|| {
        unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS);
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .expect("mounts of its own");
        let dir = tempfile::tempdir().expect("a directory");
        let resolv_conf = dir.path().join("resolv.conf");
        fs::write(&resolv_conf, "nameserver 127.0.0.1\n").expect("written");
        mount_bind(&resolv_conf, "/etc/resolv.conf").expect("shown");
        ip("link set lo up");
        outside();
        let asked = resolver();
        work(&World { asked, _dir: dir })
    })
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn unshare(flags: UnshareFlags) {
    // SAFETY: descriptors stay shared; only the thread's namespaces change, and with them, for the
    // new mount namespace, its working directory, which no other thread sees.
    unsafe { rustix::thread::unshare_unsafe(flags) }.expect("namespaces");
}

fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> T {
    on_own_thread(|| {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).expect("entered");
        work()
    })
}

/// Runs `ip` with these words in the thread's namespace.
#[track_caller]
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("iproute2");
    assert!(output.status.success(), "ip {words}: {output:?}");
}

fn outside() {
    let host = gettid().as_raw_nonzero();
    let far = on_own_thread(|| {
        unshare(UnshareFlags::NEWNET);
        ip("link set lo up");
        ip(&format!("link add wan type veth peer name wan netns {host}"));
        for v4 in [GOOD, BAD, METADATA] {
            ip(&format!("addr add {v4}/24 dev wan"));
        }
        ip(&format!("addr add {GOOD6}/64 dev wan nodad"));
        ip("link set wan up");
        File::open("/proc/thread-self/ns/net").expect("own namespace")
    });
    ip(&format!("addr add {HOST}/24 dev wan"));
    ip("addr add 2001:db8::1/64 dev wan nodad");
    ip("link set wan up");
    ip(&format!("route add {METADATA}/32 dev wan"));
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("writable");
    inside(far.as_fd(), || {
        for port in [80, 443] {
            serve(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("bound"));
        }
    });
    // The host itself has a server, too, which nobody may reach.
    serve(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).expect("bound"));
}

/// Says hello to everyone; ends with the process, whose test this is.
fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who does not stay to listen is no reason to end.
            thread::spawn(move || greet(stream).ok());
        }
    });
}

fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    let length = HELLO.len();
    write!(stream, "HTTP/1.0 200 OK\r\ncontent-length: {length}\r\n\r\n{HELLO}")?;
    stream.shutdown(Shutdown::Write)?;
    let mut rest = [0; 1_024];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// The host's resolver: says what each name stands for, and lies where a test wants it to.
fn resolver() -> Arc<Mutex<Vec<String>>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("nobody else resolves here");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 1_500];
        while let Ok((n_bytes, from)) = socket.recv_from(&mut buffer) {
            let Some((name, replies)) = answers(&buffer[..n_bytes]) else { continue };
            noted.lock().expect("whole").push(name);
            for reply in replies {
                socket.send_to(&reply, from).ok();
            }
        }
    });
    asked
}

/// The name of a question, and what is said to it, one message after the other.
fn answers(question: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
    let (name, end) = (labels.join("."), at + 5);
    let is_v4 = *question.get(at + 2)? == 1;
    let v4 = |text: &str| text.parse::<Ipv4Addr>().expect("an address").octets().to_vec();
    let v6 = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets().to_vec();
    let stands_for = match (name.as_str(), is_v4) {
        ("good.example.com" | "liar.example.com", true) => vec![v4(GOOD)],
        ("good.example.com", false) => vec![v6(GOOD6)],
        ("bad.example.org", true) => vec![v4(BAD)],
        ("rebind.example.com", true) => vec![v4("10.1.2.3"), v4("127.0.0.1"), v4(METADATA)],
        _ => Vec::new(),
    };
    let honest = message(question.get(..end)?, &stands_for);
    if name != "liar.example.com" {
        return Some((name, vec![honest]));
    }
    // Somebody is quicker, but does not know the number; and the answer brings along what nobody
    // asked for.
    let mut forged = message(&question[..end], &[v4(BAD)]);
    forged[0] ^= 0xff;
    let mut generous = honest;
    generous[11] = 1;
    generous.extend_from_slice(b"\x03bad\x07example\x03org\0");
    generous.extend_from_slice(&[0, 1, 0, 1, 0, 1, 0x51, 0x80, 0, 4]);
    generous.extend_from_slice(&v4(GOOD));
    Some((name, vec![forged, generous]))
}

/// A message of a header, a question and records for its name that live for a minute.
fn message(question: &[u8], addresses: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] = 0x81;
    bytes[3] = 0x80;
    bytes[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    bytes[7] = u8::try_from(addresses.len()).expect("few");
    for address in addresses {
        let kind = if address.len() == 4 { 1 } else { 28 };
        bytes.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        bytes.push(u8::try_from(address.len()).expect("short"));
        bytes.extend_from_slice(address);
    }
    bytes
}

//! A proxy in this process, a control that the test plays, programs that answer.

use model::spec::service::{Handler, Port, Service};
use model::{MachineId, UnixMs};
use proxy::{Ground, ProxyOptions, run_until};
use proxy_proto::{
    AppRoute, FromProxy, KnockOutcome, Link, LinkWriter, MachineRoute, RouteState, ToProxy,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Longest wait for anything; reached only when something is wrong.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The public port of the first service; each proxy has a loopback address of its own.
pub(crate) const PORT: u16 = 7_000;

/// The port of programs, at addresses of their own.
pub(crate) const INTERNAL: u16 = 7_100;

/// A loopback address that no other test uses.
pub(crate) fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + u8::try_from(n).expect("few"), high, low.max(1))
}

/// Waits, but not forever.
#[track_caller]
pub(crate) fn soon<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(DEADLINE, what).await;
        done.unwrap_or_else(|_| panic!("nothing came of it: {place}"))
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Starts one.
    pub(crate) fn start(options: ProxyOptions) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let until = || async move {
                // Told, or the one who tells is gone.
                stopped.await.unwrap_or(());
                Ok(())
            };
            run_until(&options, until).expect("the proxy runs");
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to end.
    pub(crate) fn tell(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) {
        let thread = self.thread.take().expect("once");
        let joined = soon(tokio::task::spawn_blocking(move || thread.join())).await;
        joined.expect("waited").expect("it did not panic");
    }
}

/// Everything around one proxy.
pub(crate) struct World {
    /// Its files.
    pub(crate) dir: TempDir,
    /// Where its doors are.
    pub(crate) ip: Ipv4Addr,
    /// The proxy.
    pub(crate) proxy: Proxy,
    control: Option<UnixListener>,
    /// What the proxy says.
    pub(crate) heard: mpsc::UnboundedReceiver<FromProxy>,
    say: Option<LinkWriter>,
    listener: Option<JoinHandle<()>>,
    generation: u64,
    is_new_control: bool,
}

impl World {
    /// A proxy that control knows, with these machines.
    pub(crate) async fn new(machines: Vec<MachineRoute>) -> Self {
        Self::with_apps(machines, vec![]).await
    }

    /// The same with apps.
    pub(crate) async fn with_apps(machines: Vec<MachineRoute>, apps: Vec<AppRoute>) -> Self {
        Self::inside(Ground::Here, machines, apps).await
    }

    /// The same with machines in a network namespace of their own.
    pub(crate) async fn inside(
        ground: Ground,
        machines: Vec<MachineRoute>,
        apps: Vec<AppRoute>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ip = own_ip();
        let control = UnixListener::bind(dir.path().join("proxy.sock")).expect("bound");
        let proxy = Proxy::start(ProxyOptions { ground, ..options(&dir, ip) });
        let (_, heard) = mpsc::unbounded_channel();
        let mut world = Self {
            dir,
            ip,
            proxy,
            control: Some(control),
            heard,
            say: None,
            listener: None,
            generation: 100,
            is_new_control: false,
        };
        world.welcome(machines, apps).await;
        world
    }

    /// Control is there and sends its records; returns when the doors are open.
    pub(crate) async fn welcome(&mut self, machines: Vec<MachineRoute>, apps: Vec<AppRoute>) {
        let control = self.control.as_ref().expect("control listens");
        let (stream, _) = soon(control.accept()).await.expect("the proxy comes");
        let (mut reader, writer) = Link::split(stream);
        let hello = soon(reader.next()).await.expect("a message");
        assert!(matches!(hello, Some(FromProxy::Hello { .. })), "{hello:?}");
        self.say = Some(writer);
        self.say(&ToProxy::Welcome { version: 1, build: "test".to_owned() }).await;
        for app in apps {
            self.say(&ToProxy::App(Box::new(app))).await;
        }
        let n_machines = machines.len();
        for machine in machines {
            self.say(&ToProxy::Machine(Box::new(machine))).await;
        }
        self.say(&ToProxy::Complete).await;
        let (tell, heard) = mpsc::unbounded_channel();
        self.heard = heard;
        self.listener = Some(tokio::spawn(async move {
            while let Ok(message) = reader.next().await {
                if let Some(message) = message
                    && tell.send(message).is_err()
                {
                    return;
                }
            }
        }));
        if n_machines > 0 && !self.is_new_control {
            self.open().await;
        }
    }

    /// Waits until a description shows an open door.
    pub(crate) async fn open(&mut self) {
        let opened = async {
            loop {
                let described = self.describe().await;
                let is_open = |(name, value): &(String, f64)| {
                    name == "dormouse_proxy_doors_open" && *value > 0.0
                };
                if described.metrics.iter().any(is_open) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(opened).await;
    }

    /// What the proxy knows.
    pub(crate) async fn describe(&mut self) -> proxy_proto::message::Description {
        self.say(&ToProxy::Describe { ticket: 9, app: None }).await;
        let found = self.hear(|message| match message {
            FromProxy::Description { description, .. } => Some(*description),
            _ => None,
        });
        found.await
    }

    /// Says something as control.
    pub(crate) async fn say(&mut self, message: &ToProxy) {
        let writer = self.say.as_mut().expect("control is there");
        soon(writer.send(message)).await.expect("said");
    }

    /// Waits for a message for which `pick` has an answer; others are dropped.
    pub(crate) async fn hear<T>(&mut self, mut pick: impl FnMut(FromProxy) -> Option<T>) -> T {
        let picked = async {
            loop {
                let message = self.heard.recv().await.expect("the proxy is there");
                if let Some(picked) = pick(message) {
                    return picked;
                }
            }
        };
        soon(picked).await
    }

    /// Waits for a knock: ticket and machine.
    pub(crate) async fn knock(&mut self) -> (u64, MachineId) {
        self.hear(|message| match message {
            FromProxy::Knock { ticket, machine, .. } => Some((ticket, machine)),
            _ => None,
        })
        .await
    }

    /// How many knocks have arrived and were not looked at.
    pub(crate) fn n_knocks(&mut self) -> usize {
        let mut n = 0;
        while let Ok(message) = self.heard.try_recv() {
            n += usize::from(matches!(message, FromProxy::Knock { .. }));
        }
        n
    }

    /// Answers a knock: the machine is up.
    pub(crate) async fn ready(&mut self, ticket: u64, route: MachineRoute) {
        let outcome = KnockOutcome::Ready {
            route: Box::new(route),
            decision: "woken; visitor".to_owned(),
            timing: proxy_proto::message::KnockTiming::default(),
        };
        self.say(&ToProxy::Knocked { ticket, outcome }).await;
    }

    /// The record of a machine has changed.
    pub(crate) async fn publish(&mut self, route: MachineRoute) {
        self.say(&ToProxy::Machine(Box::new(route))).await;
    }

    /// A number for the next record.
    pub(crate) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Control dies, its socket with it.
    pub(crate) fn kill_control(&mut self) {
        self.control = None;
        self.say = None;
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
    }

    /// Another control listens.
    pub(crate) fn revive_control(&mut self) {
        let path = self.dir.path().join("proxy.sock");
        self.is_new_control = true;
        self.control = Some(UnixListener::bind(path).expect("bound"));
    }

    /// The address of a door.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// A visitor.
    pub(crate) async fn visit(&self) -> TcpStream {
        soon(TcpStream::connect(self.at(PORT))).await.expect("the door is open")
    }

    /// The options it was started with.
    pub(crate) fn options(&self) -> ProxyOptions {
        options(&self.dir, self.ip)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.proxy.tell();
    }
}

fn options(dir: &TempDir, ip: Ipv4Addr) -> ProxyOptions {
    ProxyOptions {
        runtime_dir: dir.path().to_owned(),
        routes_file: dir.path().join("routes.json"),
        listen: IpAddr::V4(ip),
        ground: Ground::Here,
        region: "local".to_owned(),
        drain: Duration::from_secs(10),
    }
}

/// The machine with this number.
pub(crate) fn id(n: u32) -> MachineId {
    format!("{n:014x}").parse().expect("14 hex digits")
}

/// A public port with these handlers.
pub(crate) fn port(number: u16, handlers: &[Handler]) -> Port {
    let port = serde_json::json!({ "first": number, "last": number });
    Port { handlers: handlers.to_vec(), ..serde_json::from_value(port).expect("a port") }
}

/// A service behind these ports.
pub(crate) fn service(ports: Vec<Port>) -> Service {
    let service = serde_json::json!({ "internal_port": INTERNAL });
    Service { ports, ..serde_json::from_value(service).expect("a service") }
}

/// A run.
pub(crate) fn up(run: &str) -> RouteState {
    RouteState::Up { run: run.to_owned(), since: UnixMs(1) }
}

/// A machine of the app `web`.
pub(crate) fn machine(n: u32, v4: Ipv4Addr, state: RouteState, service: Service) -> MachineRoute {
    MachineRoute {
        machine: id(n),
        generation: 1,
        app: "web".to_owned(),
        network: 1,
        region: "local".to_owned(),
        state,
        v4,
        v6: Ipv6Addr::LOCALHOST,
        is_cordoned: false,
        services: vec![service],
        checks: Vec::new(),
        metadata: BTreeMap::new(),
        is_hidden_in_dns: false,
        egress_domains: None,
        are_other_names_answered: false,
    }
}

/// A program that says its name, then sends back what it gets, to the end of it.
pub(crate) async fn echo(ip: Ipv4Addr, name: &'static str) -> JoinHandle<()> {
    let listener = TcpListener::bind((ip, INTERNAL)).await.expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                to.write_all(name.as_bytes()).await.expect("greeted");
                // A visitor may break off.
                drop(tokio::io::copy(&mut from, &mut to).await);
                drop(to.shutdown().await);
            });
        }
    })
}

/// Says `text`, ends its direction, and returns all that comes back.
pub(crate) async fn exchange<S>(stream: &mut S, text: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let done = async {
        stream.write_all(text.as_bytes()).await.expect("said");
        stream.shutdown().await.expect("ended");
        let mut answer = String::new();
        // What came before a broken connection counts.
        drop(stream.read_to_string(&mut answer).await);
        answer
    };
    soon(done).await
}

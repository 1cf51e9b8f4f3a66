//! Where a visitor asks for a machine: the book behind its lock, and waiting.

use crate::book::hold::{Asked, Grant, Held};
use crate::book::wake::CONTROL_GRACE;
use crate::book::{Book, Signals};
use crate::http;
use crate::metrics::{AppMeter, Metrics};
use crate::table::ports::Claimed;
use crate::visit::dial;
use model::MachineId;
use model::spec::service::{Port, Service, Transport};
use proxy_proto::MachineRoute;
use proxy_proto::message::KnockTiming;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) use crate::book::hold::{Ask, Target, Wishes};
pub(crate) use crate::load::RunPhase;
pub(crate) use crate::turned::Turned;

/// How often another machine is asked for when the one before ended before it took the connection.
const GONE_MAX: u32 = 2;

/// The desk; cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    book: Mutex<Book>,
    bells: Bells,
    http: http::Shared,
    metrics: Metrics,
    region: String,
}

/// What wakes the tasks around.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// Something is to be sent to control.
    pub(crate) outbox: Notify,
    /// Doors may have to be opened or closed.
    pub(crate) doors: Notify,
    /// Records have changed.
    pub(crate) records: Notify,
    /// All records have arrived.
    pub(crate) complete: Notify,
    /// Some machine has something to do.
    pub(crate) active: Notify,
    /// Machines in [`Self::to_check`].
    pub(crate) checks: Notify,
    to_check: Mutex<BTreeSet<MachineId>>,
    /// Something in [`Self::to_name`].
    pub(crate) names: Notify,
    to_name: Mutex<ToName>,
}

/// Whose names may stand for something else now.
#[derive(Debug, Default)]
pub(crate) struct ToName {
    /// Machines.
    pub(crate) machines: BTreeSet<MachineId>,
    /// Apps.
    pub(crate) apps: BTreeSet<String>,
}

/// A visitor's machine, with a place in its load.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The machine.
    pub(crate) route: Arc<MachineRoute>,
    /// Its service.
    pub(crate) service: Arc<Service>,
    /// The port of the service by which the visitor came in.
    pub(crate) port: Arc<Port>,
    /// The run that it was admitted to; connections of other runs are not to be used.
    pub(crate) run: String,
    /// Given back when dropped.
    pub(crate) place: Place,
    /// How it was woken for this visitor, if it was.
    pub(crate) woken: Option<Woken>,
}

/// A connection to one run of a machine.
pub(crate) type Backend = TcpStream;

/// A visitor's place in the load of a machine; given back when dropped.
pub(crate) struct Place {
    desk: Desk,
    grant: Box<Grant>,
    meter: Arc<AppMeter>,
}

/// How a machine was woken.
#[derive(Clone, Debug)]
pub(crate) struct Woken {
    /// Why, in words of a decision header.
    pub(crate) decision: String,
    /// Where the time went.
    pub(crate) timing: KnockTiming,
    /// How long the visitor was held.
    pub(crate) held: Duration,
}

/// What is known of a port before a machine is chosen.
#[derive(Clone, Debug)]
pub(crate) struct PortView {
    /// Whose it is.
    pub(crate) app: String,
    /// Its options.
    pub(crate) port: Arc<Port>,
}

impl Desk {
    /// Nothing is known yet.
    pub(crate) fn new(region: &str, seed: u64) -> Self {
        let desk = Self {
            inner: Arc::new(Inner {
                book: Mutex::new(Book::new(Instant::now(), seed)),
                bells: Bells::default(),
                http: http::Shared::default(),
                metrics: Metrics::default(),
                region: region.to_owned(),
            }),
        };
        desk.expect_control();
        desk
    }

    /// Finds a machine, waits for its wake if it must, takes a place in its load.
    ///
    /// # Errors
    /// [`Turned`] says what to answer.
    pub(crate) async fn admit(&self, ask: &Ask) -> Result<Admitted, Turned> {
        let since = Instant::now();
        let verdict = match self.with(|book, now| book.ask(ask, now)) {
            Asked::Granted(grant) => Ok(grant),
            Asked::Turned(turned) => Err(turned),
            Asked::Held(held) => Waiting { desk: self, held: Some(held) }.until(ask.deadline).await,
        };
        let held = since.elapsed();
        match verdict {
            Ok(grant) => Ok(self.admitted(grant, held)),
            Err(turned) => {
                self.inner.metrics.turned(&turned.code);
                Err(turned)
            }
        }
    }

    /// Admits and connects; when the machine ends before it takes the connection, asks again.
    ///
    /// # Errors
    /// [`Turned`] says what to answer.
    pub(crate) async fn reach(&self, ask: &Ask) -> Result<(Admitted, Backend), Turned> {
        let mut n_gone = 0;
        loop {
            let admitted = self.admit(ask).await?;
            match admitted.connect(ask.deadline).await {
                Ok(backend) => return Ok((admitted, backend)),
                Err(turned) if turned.is_gone() && n_gone < GONE_MAX => n_gone += 1,
                Err(turned) => {
                    self.inner.metrics.turned(&turned.code);
                    return Err(turned);
                }
            }
        }
    }

    /// The app and the options behind a port for a host, before a machine is chosen.
    pub(crate) fn now_config(&self, port: u16, host: &str) -> Option<PortView> {
        let book = self.book();
        let app = book.table.app_for_host(port, host)?;
        view(&book, Transport::Tcp, port, app)
    }

    /// The same for the owner of a port.
    pub(crate) fn owner_config(&self, transport: Transport, port: u16) -> Option<PortView> {
        let book = self.book();
        let app = book.table.ports().owner(transport, port)?;
        view(&book, transport, port, app)
    }

    /// Number of an app's private network, to tell whether another may send visitors to it.
    pub(crate) fn network_of(&self, app: &str) -> Option<u32> {
        let book = self.book();
        let of_machine = || book.table.machines_of(app).next().map(|route| route.network);
        book.table.app(app).map(|route| route.network).or_else(of_machine)
    }

    /// What is claimed at a port.
    pub(crate) fn claimed(&self, transport: Transport, port: u16) -> Option<Claimed> {
        self.book().table.ports().at(transport, port)
    }

    /// What the HTTP part keeps for all connections.
    pub(crate) fn http(&self) -> &http::Shared {
        &self.inner.http
    }

    /// Region that this host answers for.
    pub(crate) fn region(&self) -> &str {
        &self.inner.region
    }

    /// Counters.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// What wakes the tasks around.
    pub(crate) fn bells(&self) -> &Bells {
        &self.inner.bells
    }

    /// Machines whose checks may have to be begun or ended.
    pub(crate) fn take_to_check(&self) -> BTreeSet<MachineId> {
        std::mem::take(&mut *lock(&self.inner.bells.to_check))
    }

    /// Machines and apps whose names may stand for something else now.
    pub(crate) fn take_to_name(&self) -> ToName {
        std::mem::take(&mut *lock(&self.inner.bells.to_name))
    }

    /// Looks into the book.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book())
    }

    /// Changes the book and wakes whoever has to do something about it.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Book, Instant) -> T) -> T {
        let (out, signals) = {
            let mut book = self.book();
            let out = change(&mut book, Instant::now());
            (out, book.take_signals())
        };
        self.follow(signals);
        out
    }

    /// Control is away: after a while nobody is held for it any longer.
    pub(crate) fn expect_control(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let desk = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(CONTROL_GRACE).await;
            desk.with(Book::control_overdue);
        });
    }

    fn follow(&self, signals: Signals) {
        let bells = &self.inner.bells;
        let ring = |is_due: bool, bell: &Notify| {
            if is_due {
                bell.notify_one();
            }
        };
        ring(signals.is_outbox, &bells.outbox);
        ring(signals.is_doors, &bells.doors);
        ring(signals.is_records, &bells.records);
        ring(signals.is_complete, &bells.complete);
        ring(signals.is_active, &bells.active);
        if !signals.machines.is_empty() {
            lock(&bells.to_check).extend(signals.machines.iter().cloned());
            bells.checks.notify_one();
        }
        if !signals.machines.is_empty() || !signals.apps.is_empty() {
            let mut to_name = lock(&bells.to_name);
            to_name.machines.extend(signals.machines);
            to_name.apps.extend(signals.apps);
            bells.names.notify_one();
        }
        for (machine, number, at) in signals.knock_again {
            let desk = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                desk.with(|book, now| book.knock_again(&machine, number, now));
            });
        }
    }

    fn admitted(&self, grant: Box<Grant>, held: Duration) -> Admitted {
        let meter = self.inner.metrics.of_app(&grant.route.app);
        let woken = grant.wake.clone();
        let woken = woken.map(|(decision, timing)| Woken { decision, timing, held });
        if let Some(woken) = &woken {
            meter.woken(woken.held);
            self.inner.metrics.split(&woken.timing);
        }
        Admitted {
            route: Arc::clone(&grant.route),
            service: Arc::clone(&grant.service),
            port: Arc::clone(&grant.port),
            run: grant.run.clone(),
            place: Place { desk: self.clone(), grant, meter },
            woken,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.inner.book)
    }
}

/// A panic under the lock is our mistake, and ends its visitor; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn view(book: &Book, transport: Transport, port: u16, app: &str) -> Option<PortView> {
    if !book.table.ports().is_served(transport, port, app) {
        return None;
    }
    let mut machines = book.table.machines_of(app);
    let (_, at) =
        machines.find_map(|route| book.table.served_at(&route.machine, transport, port))?;
    Some(PortView { app: app.to_owned(), port: at })
}

impl Admitted {
    /// Connects to the service, again and again while the run lasts and nobody listens.
    ///
    /// # Errors
    /// [`Turned`]; with [`Turned::is_gone`] the run has ended, nothing was sent, and another machine
    /// may be asked for.
    pub(crate) async fn connect(&self, deadline: Instant) -> Result<Backend, Turned> {
        let port = self.service.internal_port;
        let to = ((self.route.v4, port).into(), (self.route.v6, port).into());
        dial::connect(to, self.place.phase(), deadline).await
    }
}

impl Place {
    /// Bytes of the visitor were passed on, either way, just now.
    pub(crate) fn touch(&self) {
        self.grant.pulse.beat(model::clock::now());
    }

    /// The request has become a WebSocket or another stream.
    pub(crate) fn upgraded(&mut self) {
        let Self { desk, grant, .. } = self;
        desk.with(|book, now| book.upgrade(grant, now));
    }

    /// How the run goes on, for as long as the place is held.
    pub(crate) fn phase(&self) -> watch::Receiver<RunPhase> {
        self.grant.phase.clone()
    }

    /// Counters of the app.
    pub(crate) fn meter(&self) -> &AppMeter {
        &self.meter
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.grant.kind != crate::load::PlaceKind::Request {
            self.meter.closed();
        }
        self.desk.with(|book, now| book.give_back(&self.grant, now));
    }
}

/// A visitor that is held; leaves the queue when it goes away.
struct Waiting<'a> {
    desk: &'a Desk,
    held: Option<Held>,
}

impl Waiting<'_> {
    async fn until(mut self, deadline: Instant) -> Result<Box<Grant>, Turned> {
        let Some(held) = &mut self.held else { return Err(Turned::gone()) };
        let answered = tokio::time::timeout_at(deadline, &mut held.answer).await;
        if let Ok(answer) = answered {
            self.held = None;
            return match answer {
                Ok(verdict) => verdict,
                Err(_closed) => Err(Turned::gone()),
            };
        }
        match self.leave() {
            Some(verdict) => verdict,
            None => Err(Turned::wake_timeout()),
        }
    }

    /// Leaves; what was answered meanwhile is returned.
    fn leave(&mut self) -> Option<Result<Box<Grant>, Turned>> {
        let mut held = self.held.take()?;
        match self.desk.with(|book, _now| book.leave(&held.app, held.number)) {
            Some(turned) => Some(Err(turned)),
            None => held.answer.try_recv().ok(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(Ok(grant)) = self.leave() {
            self.desk.with(|book, now| book.give_back(&grant, now));
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("machine", &self.grant.route.machine).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

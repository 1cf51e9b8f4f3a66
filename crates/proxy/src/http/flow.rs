//! The body of an answer on its way from the program to the visitor.
//!
//! It holds the place in the machine's load and the connection to the program until its end. When it
//! breaks off, the visitor sees that it did: a cut answer never looks whole.

use super::account::Account;
use super::gzip::Gzip;
use super::pool::{Key, Pool, Sender};
use super::pulse::Pulse;
use crate::desk::{Place, RunPhase};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// What a program sent before its run ended may still be on its way to us: so long we wait for it.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    /// The program's side failed.
    #[error("the program's answer broke off")]
    Backend(#[source] hyper::Error),
    /// The run ended.
    #[error("the machine's run ended before its answer")]
    Ended,
    /// Neither side moved a byte.
    #[error("no byte moved for too long")]
    Silent,
    /// The program's answer could not be compressed.
    #[error("the answer could not be compressed")]
    Gzip(#[source] std::io::Error),
}

/// An answer that is passed on.
pub(crate) struct Flow {
    idle: Duration,
    pulse: Arc<Pulse>,
    state: Mutex<State>,
}

struct State {
    live: Option<Live>,
    waker: Option<Waker>,
    is_cut: bool,
}

/// What an answer needs while it lasts.
pub(crate) struct Live {
    /// Bytes.
    pub(crate) body: Incoming,
    /// In the machine's load.
    pub(crate) place: Place,
    /// The connection over which they come.
    pub(crate) lease: Lease,
    ended: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A connection to a program while an answer comes over it.
pub(crate) struct Lease {
    /// To send more, later.
    pub(crate) sender: Sender,
    /// Where it rests afterwards; `None`: it ends.
    pub(crate) home: Option<(Arc<Pool>, Key)>,
}

impl Lease {
    fn give_back(self) {
        if let Some((pool, key)) = self.home {
            pool.put(key, self.sender);
        }
    }
}

impl Live {
    pub(crate) fn new(body: Incoming, place: Place, lease: Lease) -> Self {
        Self { body, place, lease, ended: None }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let place = &self.place;
        let ended = self.ended.get_or_insert_with(|| {
            let mut phase = place.phase();
            Box::pin(async move {
                // An error says that the record is gone, and so is the run.
                drop(phase.wait_for(|phase| *phase == RunPhase::Ended).await);
                tokio::time::sleep(LAST_WORDS).await;
            })
        });
        ended.as_mut().poll(cx)
    }
}

impl Flow {
    /// Of `live`, cut when `pulse` is silent for `idle`.
    pub(crate) fn new(live: Live, pulse: Arc<Pulse>, idle: Duration) -> Arc<Self> {
        let is_over = live.body.is_end_stream();
        let state = State { live: Some(live), waker: None, is_cut: false };
        let flow = Arc::new(Self { idle, pulse, state: Mutex::new(state) });
        if is_over {
            flow.finish(&mut flow.state());
        }
        flow
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer has ended well.
    fn finish(&self, state: &mut State) {
        if let Some(live) = state.live.take() {
            live.lease.give_back();
        }
    }

    /// Gives up an answer that has not moved for too long: its place and its connection go at once,
    /// also when the visitor does not read and so does not notice. Returns whether it did.
    pub(crate) fn cut_if_silent(&self) -> bool {
        if self.pulse.silence() < self.idle {
            return false;
        }
        let mut state = self.state();
        if state.live.take().is_none() {
            return false;
        }
        state.is_cut = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FlowError>>> {
        let mut state = self.state();
        let Some(live) = &mut state.live else {
            let end = state.is_cut.then_some(Err(FlowError::Silent));
            return Poll::Ready(end);
        };
        let Poll::Ready(polled) = Pin::new(&mut live.body).poll_frame(cx) else {
            if live.poll_ended(cx).is_ready() {
                state.live = None;
                return Poll::Ready(Some(Err(FlowError::Ended)));
            }
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.pulse.touch();
        live.place.touch();
        match polled {
            Some(Ok(frame)) => {
                if live.body.is_end_stream() {
                    self.finish(&mut state);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                state.live = None;
                Poll::Ready(Some(Err(FlowError::Backend(error))))
            }
            None => {
                self.finish(&mut state);
                Poll::Ready(None)
            }
        }
    }

    fn is_over(&self) -> bool {
        let state = self.state();
        state.live.is_none() && !state.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state().live {
            Some(live) => live.body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}

/// The flow as the library reads it; when it is dropped early, the program is told by the end of its
/// connection, and the place is free.
#[derive(Debug)]
pub(crate) struct FlowBody(Arc<Flow>);

impl FlowBody {
    pub(crate) const fn new(flow: Arc<Flow>) -> Self {
        Self(flow)
    }
}

impl Drop for FlowBody {
    fn drop(&mut self) {
        self.0.state().live = None;
    }
}

impl Body for FlowBody {
    type Data = Bytes;
    type Error = FlowError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FlowError>>> {
        self.0.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body of any answer.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    kind: Kind,
    /// Closed with the body.
    account: Option<Box<Account>>,
}

#[derive(Debug)]
enum Kind {
    /// Of ours.
    Own(Option<Bytes>),
    /// The program's.
    Flow(FlowBody),
    /// The program's, compressed on its way.
    Gzip(Box<Gzip<FlowBody>>),
}

impl AnswerBody {
    /// A text of ours.
    pub(crate) fn own(text: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Own(Some(text.into()).filter(|text| !text.is_empty())), account: None }
    }

    /// A program's.
    pub(crate) const fn flow(flow: FlowBody) -> Self {
        Self { kind: Kind::Flow(flow), account: None }
    }

    /// Compressed, if it is a program's.
    pub(crate) fn compressed(self) -> Self {
        let kind = match self.kind {
            Kind::Flow(flow) => Kind::Gzip(Box::new(Gzip::new(flow))),
            kind => kind,
        };
        Self { kind, ..self }
    }

    /// Closes `account` with itself.
    pub(crate) fn closing(self, account: Box<Account>) -> Self {
        Self { account: Some(account), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = FlowError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FlowError>>> {
        let this = self.get_mut();
        let polled = match &mut this.kind {
            Kind::Own(text) => text.take().map(|text| Ok(Frame::data(text))),
            Kind::Flow(flow) => ready!(Pin::new(flow).poll_frame(cx)),
            Kind::Gzip(gzip) => ready!(Pin::new(gzip.as_mut()).poll_frame(cx)),
        };
        let n_bytes = polled.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let (Some(data), Some(account)) = (n_bytes, &mut this.account) {
            account.sent(data.len() as u64);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(text) => text.is_none(),
            Kind::Flow(flow) => flow.is_end_stream(),
            Kind::Gzip(gzip) => gzip.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Kind::Flow(flow) => flow.size_hint(),
            Kind::Gzip(_) => SizeHint::new(),
        }
    }
}

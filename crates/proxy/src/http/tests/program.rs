//! A program behind the proxy: a real HTTP server, or a script of bytes.

use super::house::{in_time, service};
use crate::fixture;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::spec::service::{Counts, HttpOptions};
use proxy_proto::MachineRoute;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(super) type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// A server on an address of its own.
pub(super) struct Program {
    pub(super) addr: SocketAddr,
    /// Connections it has accepted.
    pub(super) n_accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Program {
    /// Each connection is given to `speak`.
    pub(super) async fn raw<F>(speak: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::raw_at("127.0.0.1", speak).await
    }

    /// At an address of its own, to tell several apart.
    pub(super) async fn raw_at<F>(
        ip: &str,
        speak: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let n_accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_accepted);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _proxy)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(speak(stream));
            }
        });
        Self { addr, n_accepted, accepting }
    }

    /// Each request is given to `answer`.
    pub(super) async fn http<F>(
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::raw(move |stream| serve_http1(stream, answer.clone())).await
    }

    /// The same by h2 without TLS.
    pub(super) async fn http2<F>(
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::raw(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // An error says that the proxy went away.
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            }
        })
        .await
    }

    /// Says who it is, and what it was told.
    pub(super) async fn mirror() -> Self {
        Self::http(mirror).await
    }

    /// A machine that runs it and counts requests.
    pub(super) fn machine(&self, n: u32, app: &str, http: HttpOptions) -> MachineRoute {
        self.counting(n, app, http, Counts::Requests)
    }

    pub(super) fn counting(
        &self,
        n: u32,
        app: &str,
        http: HttpOptions,
        counts: Counts,
    ) -> MachineRoute {
        let service = service(self.addr.port(), http, counts);
        let SocketAddr::V4(addr) = self.addr else { panic!("an IPv4 address") };
        let machine = fixture::machine(n, app, 1, vec![service]);
        MachineRoute { state: fixture::up("run1"), v4: *addr.ip(), ..machine }
    }

    pub(super) fn n_accepted(&self) -> usize {
        self.n_accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve_http1<F>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_headers(256);
    // An error says that the proxy went away.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// Method, path, headers and body of the request, as text.
pub(super) async fn mirror(request: Request<Incoming>) -> Answer {
    use std::fmt::Write as _;
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(text, "{name}: {value}").expect("text");
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return answer(format!("{text}\nbroken: {error}")),
    };
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&body));
    answer(text)
}

/// 200 with this text.
pub(super) fn answer(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed())
}

/// 200 with a body that is made as the test goes.
pub(super) fn streamed(mut pieces: mpsc::Receiver<std::io::Result<Frame<Bytes>>>) -> Answer {
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    Response::new(StreamBody::new(pieces).boxed())
}

/// The next piece of a body as text; `None` at its end.
pub(super) async fn piece(body: &mut Incoming) -> Option<Result<String, hyper::Error>> {
    let frame = in_time(body.frame()).await?;
    Some(frame.map(|frame| String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned()))
}

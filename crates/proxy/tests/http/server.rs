//! A program that says hello by HTTP/1.1.

use crate::harness::INTERNAL;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Listens at an address of a machine until it is dropped.
pub(crate) struct Server(JoinHandle<()>);

impl Server {
    /// Answers each request with its path, `x-forwarded-proto` and the length of its body.
    pub(crate) async fn at(ip: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((ip, INTERNAL)).await.expect("the machine's port");
        Self(tokio::spawn(async move {
            while let Ok((stream, _proxy)) = listener.accept().await {
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(hello)));
            }
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let proto =
        parts.headers.get("x-forwarded-proto").map_or("-", |proto| proto.to_str().expect("text"));
    let n_bytes = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let text = format!("{} {proto} {n_bytes}", parts.uri.path());
    Ok(Response::new(Full::new(text.into())))
}

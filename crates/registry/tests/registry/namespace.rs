//! Pulls that leave through another network namespace.

use crate::support::{config, reference};
use registry::{Credentials, HostDialer, NamespaceDialer, Registry, RegistryError};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;

/// A namespace with nothing but a loopback, on which one listener answers with 404; both end with
/// the test's process.
fn inside() -> (OwnedFd, u16) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // SAFETY: a network namespace holds nothing that other threads' Rust code relies on.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root may");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("`ip` is installed").success());
        let namespace = File::open("/proc/thread-self/ns/net").expect("it has one");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tell.send((OwnedFd::from(namespace), port)).expect("awaited");
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 4096];
            let n_read = stream.read(&mut head).expect("a request");
            if head[..n_read].starts_with(b"HEAD") || head[..n_read].starts_with(b"GET") {
                let answer = b"HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).expect("answered");
            }
        }
    });
    told.recv().expect("the namespace is made")
}

#[tokio::test]
async fn a_pull_goes_through_the_namespace_it_is_told_to() {
    let (namespace, port) = inside();
    let name = reference(&format!("127.0.0.1:{port}/a"));
    let ask = |client: Registry| {
        let repository = client.repository(&name, Credentials::Anonymous).expect("allowed");
        async move { repository.head().await.expect_err("there is no image") }
    };
    let dialer = NamespaceDialer::enter(namespace).expect("entered");
    let error = ask(Registry::new(config(), Arc::new(dialer))).await;
    assert!(matches!(error, RegistryError::NotFound { .. }), "somebody answered: {error}");
    let error = ask(Registry::new(config(), Arc::new(HostDialer))).await;
    assert!(!matches!(error, RegistryError::NotFound { .. }), "nobody is there: {error}");
}

#[tokio::test]
async fn a_file_that_is_no_namespace_is_refused() {
    let file = File::open("/dev/null").expect("it is there");
    assert!(NamespaceDialer::enter(file.into()).is_err());
}

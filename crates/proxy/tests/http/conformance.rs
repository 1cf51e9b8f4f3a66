//! A public suite for h2 servers against the proxy: `h2spec`, where it is installed.

use crate::harness::{PORT, World, machine, own_ip, port, service, up};
use crate::server::Server;
use model::spec::service::Handler;
use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longest time for all of its cases.
const SUITE_MAX: Duration = Duration::from_secs(180);

/// The program, found by its name or by this variable.
const PROGRAM: &str = "H2SPEC";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2spec_finds_nothing() {
    let inside = own_ip();
    let _server = Server::at(inside).await;
    // Over TLS: without it a wrong preface of h2 is a wrong request of HTTP/1, and answered as such.
    let port = port(PORT, &[Handler::Tls, Handler::Http]);
    let world = World::new(vec![machine(1, inside, up("r1"), service(vec![port]))]).await;
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "h2spec".into());
    let mut suite = Command::new(program);
    suite.arg("--host").arg(world.at(PORT).ip().to_string()).arg("--port").arg(PORT.to_string());
    suite.args(["--strict", "--tls", "--insecure"]).stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(SUITE_MAX, suite.output()).await.expect("it ends");
    let output = match ran {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let why = format!("skipped h2spec: not installed; `{PROGRAM}` may name it");
            return testkit::report::line("proxy", &why);
        }
        Err(error) => panic!("{error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    println!("{}", text.lines().rev().take(2).collect::<Vec<_>>().join("\n"));
}

//! Registries of a test's own: Debian's `docker-registry`, open, with a password, or with TLS by a
//! private authority.

use crate::wait;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The user of a registry with a password.
pub const USERNAME: &str = "mouse";
/// The password of [`USERNAME`].
pub const PASSWORD: &str = "cheese";
/// The line of `htpasswd -nbB -C 4` for the two: bcrypt is the only form that the registry takes.
const HTPASSWD: &str = "mouse:$2y$04$dormousedormousedormou4Qbemen.efVQ2swujIBtAmJuhMQ9QEW\n";

/// Ports that are tried: another process may take a free one before the registry does.
const PORTS_TRIED: usize = 5;

/// Who may pull, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without TLS.
    Open,
    /// [`USERNAME`] with [`PASSWORD`], without TLS.
    Password,
    /// Anybody who trusts [`Registry::authority`].
    Tls,
}

/// A running registry on a loopback port, with its content; both end when it is dropped.
#[derive(Debug)]
pub struct Registry {
    access: Access,
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Registry {
    /// Starts an empty registry.
    ///
    /// # Panics
    /// `docker-registry` (or `openssl`, for TLS) is not installed or does not start.
    #[must_use]
    #[track_caller]
    pub fn start(access: Access) -> Self {
        let dir = tempfile::Builder::new().prefix("dormouse-registry-").tempdir();
        let dir = dir.expect("a directory");
        if access == Access::Tls {
            make_certificates(dir.path());
        }
        fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("a file can be written");
        let mut registry = Self { access, dir, port: 0, process: None };
        registry.run();
        registry
    }

    /// `127.0.0.1:<port>`, as it stands in references.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A reference to `name` in this registry.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Certificate of the authority behind [`Access::Tls`], in a file.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Where the registry keeps a blob: to be damaged by tests of what follows.
    #[must_use]
    pub fn blob_file(&self, hex: &str) -> PathBuf {
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Pushes an image with `skopeo`: `source` is `oci:<dir>:<tag>`, `docker-archive:<file>`,
    /// `tarball:<file>` (a root file system) or another of its transports; `name` is
    /// `repository:tag`. `options` go to `skopeo copy`.
    ///
    /// # Panics
    /// It cannot be pushed.
    #[track_caller]
    pub fn push(&self, source: &str, name: &str, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy"]).args(options);
        match self.access {
            Access::Open => command.arg("--dest-tls-verify=false"),
            Access::Password => command
                .arg("--dest-tls-verify=false")
                .arg(format!("--dest-creds={USERNAME}:{PASSWORD}")),
            Access::Tls => command.arg(format!("--dest-cert-dir={}", self.dir.path().display())),
        };
        let target = format!("docker://{}", self.reference(name));
        // Nothing of the user's own settings: credentials, mirrors, caches.
        command.args([source, &target]).env("HOME", self.dir.path());
        command.env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
        let output = command.stdin(Stdio::null()).output().expect("`skopeo` is installed");
        expect_success(&format!("skopeo copy {source} {target}"), &output);
    }

    /// Ends the process with SIGKILL; what was pushed stays.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // It may have ended by itself; then there is nothing left to kill.
        drop(process.kill());
        drop(process.wait());
    }

    /// Runs it again on the same port.
    ///
    /// # Panics
    /// The port is taken, or it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.stop();
        assert!(self.try_run(self.port), "the registry does not start again:\n{}", self.log());
    }

    #[track_caller]
    fn run(&mut self) {
        let is_running = (0..PORTS_TRIED).any(|_| {
            let port = free_port().expect("a free port");
            self.try_run(port)
        });
        assert!(is_running, "the registry does not start:\n{}", self.log());
    }

    /// Whether it listens on `port`; false when it ended before.
    fn try_run(&mut self, port: u16) -> bool {
        let config = self.dir.path().join("config.yml");
        fs::write(&config, self.config(port)).expect("a file can be written");
        let log = fs::File::create(self.dir.path().join("log")).expect("a file can be made");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`docker-registry` is installed");
        self.port = port;
        let process = self.process.insert(process);
        wait::eventually("the registry listens or ends", || {
            if process.try_wait().expect("our own child").is_some() {
                return Some(false);
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(true)
        })
    }

    fn config(&self, port: u16) -> String {
        let dir = self.dir.path().display();
        let mut text = format!(
            "version: 0.1\n\
             log: {{level: error}}\n\
             storage:\n  filesystem: {{rootdirectory: {dir}/data}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: {}:{port}\n",
            Ipv4Addr::LOCALHOST
        );
        let more = match self.access {
            Access::Open => Ok(()),
            Access::Password => {
                writeln!(text, "auth:\n  htpasswd: {{realm: test, path: {dir}/htpasswd}}")
            }
            Access::Tls => {
                writeln!(
                    text,
                    "  tls: {{certificate: {dir}/server.pem, key: {dir}/server-key.pem}}"
                )
            }
        };
        more.expect("writing to a string cannot fail");
        text
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes `ca.crt`, and `server.pem` with `server-key.pem` for `127.0.0.1` and `localhost`, in `dir`.
///
/// # Panics
/// `openssl` is not installed.
#[track_caller]
pub fn make_certificates(dir: &Path) {
    openssl(
        dir,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-authority \
         -keyout ca-key.pem -out ca.crt",
    );
    openssl(
        dir,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-server \
         -CA ca.crt -CAkey ca-key.pem -keyout server-key.pem -out server.pem \
         -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE",
    );
}

#[track_caller]
fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("`openssl` is installed");
    expect_success("openssl", &output);
}

#[track_caller]
fn expect_success(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

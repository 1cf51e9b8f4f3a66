//! A daemon of the test's own.
//!
//! * `builder`: how it is started.
//! * `requests`: what is asked of it.
//! * `machines`: what tests do with machines again and again.
//! * `process`: whether processes live, and their end.

mod builder;
mod machines;
mod process;
mod requests;

pub use builder::Builder;
pub use machines::APP;
pub use process::kill;

use crate::{leftovers, wait};
use process::is_alive;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A daemon of the test's own; taken down when dropped, and then nothing of it may be left.
#[derive(Debug)]
pub struct Instance {
    dir: Option<TempDir>,
    data_dir: PathBuf,
    env: Vec<(String, String)>,
    args: Vec<String>,
    env_of_next: Vec<(String, String)>,
    is_supervised: bool,
    doors: Ipv4Addr,
    process: Option<Child>,
}

/// A binary of this workspace, as built beside the running test.
///
/// # Panics
/// The test does not run from a cargo target directory.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    let dir = test.parent().and_then(Path::parent).expect("target/…/release/deps/test");
    dir.join(name)
}

impl Instance {
    /// A supervised daemon with default options.
    ///
    /// # Panics
    /// It does not listen in time.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// Data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Address of the doors of its services: one of the loopback that no other instance has, so
    /// that its services may have any port.
    #[must_use]
    pub fn door_address(&self) -> Ipv4Addr {
        self.doors
    }

    /// The command line on this instance, with nothing on its standard input; arguments follow.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary("dormouse"));
        command.arg(format!("--data-dir={}", self.data_dir().display())).stdin(Stdio::null());
        command
    }

    /// The test's own directory, beside the data directory.
    ///
    /// # Panics
    /// The instance has been taken apart.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("the instance is whole").path()
    }

    fn launch(&mut self) {
        let mut command = Command::new(binary("dormouse"));
        let verb = if self.is_supervised { "up" } else { "control" };
        command
            .arg(format!("--data-dir={}", self.data_dir.display()))
            .arg(verb)
            .arg("--listen=127.0.0.1:0")
            .args(self.is_supervised.then(|| format!("--proxy-listen={}", self.doors)))
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        self.process = Some(command.spawn().expect("the daemon's binary can be run"));
    }

    /// Starts the daemon again after it has ended, without the variables of its first start.
    ///
    /// # Panics
    /// It does not listen in time.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_until_it_listens();
    }

    /// As [`Instance::start_again`], without waiting: it may be meant to die.
    pub fn spawn_again(&mut self) {
        self.end_process();
        self.env = std::mem::take(&mut self.env_of_next);
        self.launch();
    }

    /// Sets the variables that the next start gets, and only that one.
    pub fn set_env(&mut self, env: &[(&str, &str)]) {
        self.env_of_next = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    }

    /// Adds an argument for the next start.
    pub fn set_args(&mut self, args: &[&str]) {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// Ends the daemon with SIGKILL, the supervisor first; its machines go on.
    ///
    /// # Panics
    /// It cannot be waited for, or control does not end.
    pub fn end_process(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().expect("our own child can be killed");
        process.wait().expect("our own child can be waited for");
        if self.is_supervised
            && let Some(control) = self.control()
            && is_alive(control)
        {
            kill(control);
            wait::eventually("control ends", || (!is_alive(control)).then_some(()));
        }
    }

    /// Waits until the daemon has ended by itself; its exit code, if no signal ended it.
    ///
    /// # Panics
    /// It does not end in time.
    #[track_caller]
    pub fn wait_for_its_end(&mut self) -> Option<i32> {
        let process = self.process.as_mut().expect("it has been started");
        let status = wait::eventually("the daemon ends", || {
            process.try_wait().expect("our own child can be waited for")
        });
        self.process = None;
        status.code()
    }

    /// Whether the daemon still runs.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.try_wait().expect("our own child").is_none())
    }

    /// Waits until the daemon listens or has ended by itself; whether it listens.
    ///
    /// # Panics
    /// It does neither in time.
    #[track_caller]
    pub fn listens_or_ends(&mut self) -> bool {
        wait::eventually("the daemon listens or ends", || {
            let reply = self.try_request("GET", "/healthz", b"");
            let listens = reply.is_ok_and(|reply| reply.status == 200);
            (listens || !self.is_running()).then_some(listens)
        })
    }

    #[track_caller]
    fn wait_until_it_listens(&self) {
        wait::eventually("the daemon listens", || {
            self.try_request("GET", "/healthz", b"").ok().filter(|reply| reply.status == 200)
        });
    }

    /// What the instance wrote about itself.
    #[must_use]
    pub fn endpoint(&self) -> Option<Value> {
        let text = std::fs::read(self.data_dir.join("endpoint.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The instance's tag.
    ///
    /// # Panics
    /// It has never listened.
    #[must_use]
    pub fn tag(&self) -> String {
        let endpoint = self.endpoint().expect("it has listened");
        endpoint["instance"].as_str().expect("a tag").to_owned()
    }

    /// The process that serves the API.
    ///
    /// # Panics
    /// It has never listened.
    #[must_use]
    pub fn control_pid(&self) -> u32 {
        self.control().expect("it has listened")
    }

    fn control(&self) -> Option<u32> {
        u32::try_from(self.endpoint()?["control_pid"].as_u64()?).ok()
    }

    /// Kills the control process of a supervised instance and waits until the next one listens.
    ///
    /// # Panics
    /// None comes in time.
    #[track_caller]
    pub fn kill_control(&self) {
        let before = self.control_pid();
        kill(before);
        wait::eventually("another control process listens", || {
            self.control().filter(|pid| *pid != before)
        });
        self.wait_until_it_listens();
    }

    /// Takes the instance down and gives its directory, for another start.
    ///
    /// # Panics
    /// Something of it is left on the host.
    #[must_use]
    pub fn into_dir(mut self) -> TempDir {
        self.take_down();
        self.dir.take().expect("the instance is whole")
    }

    fn take_down(&mut self) {
        let tag =
            self.endpoint().and_then(|endpoint| endpoint["instance"].as_str().map(str::to_owned));
        let Some(tag) = tag else {
            self.end_process();
            return;
        };
        if !self.is_running() {
            self.start_again();
        }
        let down = self.cli(&["down", "--force"]);
        if let Some(mut process) = self.process.take() {
            let ended = process.wait();
            assert!(ended.is_ok(), "the daemon cannot be waited for");
        }
        assert!(down.status.success(), "down: {}", String::from_utf8_lossy(&down.stderr));
        let left = wait::within(Duration::from_secs(10), "the host is clean", || {
            let left = leftovers::of_instance(&tag, &self.data_dir);
            left.is_empty().then_some(left)
        });
        assert!(left.is_empty());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.dir.is_none() {
            return;
        }
        if std::thread::panicking() {
            // The test has failed already; clean up as far as it goes, without a second panic.
            drop(self.cli(&["down", "--force"]));
            if let Some(mut process) = self.process.take() {
                drop(process.kill());
                drop(process.wait());
            }
            let tag =
                self.endpoint().and_then(|found| Some(found["instance"].as_str()?.to_owned()));
            for left in
                tag.map(|tag| leftovers::processes(&tag, &self.data_dir)).unwrap_or_default()
            {
                drop(Command::new("kill").args(["-9", &left.pid.to_string()]).status());
            }
        } else {
            self.take_down();
        }
    }
}

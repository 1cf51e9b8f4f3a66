//! A daemon of the test's own.

use crate::http::{self, Reply};
use crate::{image, leftovers, wait};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// App that [`Instance::create`] uses.
pub const APP: &str = "test";

/// How an instance is started.
#[derive(Debug)]
pub struct Builder {
    env: Vec<(String, String)>,
    args: Vec<String>,
    is_supervised: bool,
    dir: Option<TempDir>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { env: Vec::new(), args: Vec::new(), is_supervised: true, dir: None }
    }
}

impl Builder {
    /// Sets a variable of the daemon's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument of `dormouse up`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Runs control alone: nobody starts it again when it dies.
    #[must_use]
    pub fn unsupervised(mut self) -> Self {
        self.is_supervised = false;
        self
    }

    /// Uses a directory that an earlier instance has left.
    #[must_use]
    pub fn in_dir(mut self, dir: TempDir) -> Self {
        self.dir = Some(dir);
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// It does not listen in time.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Instance {
        let instance = self.spawn();
        instance.wait_until_it_listens();
        instance
    }

    /// Starts it and does not wait: it may be meant to die.
    ///
    /// # Panics
    /// The binary cannot be run.
    #[must_use]
    #[track_caller]
    pub fn spawn(self) -> Instance {
        let dir = self.dir.unwrap_or_else(|| {
            tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory")
        });
        let mut instance = Instance {
            data_dir: dir.path().join("data"),
            dir: Some(dir),
            env: self.env,
            args: self.args,
            env_of_next: Vec::new(),
            is_supervised: self.is_supervised,
            process: None,
        };
        instance.launch();
        instance
    }
}

/// A daemon of the test's own; taken down when dropped, and then nothing of it may be left.
#[derive(Debug)]
pub struct Instance {
    dir: Option<TempDir>,
    data_dir: PathBuf,
    env: Vec<(String, String)>,
    args: Vec<String>,
    env_of_next: Vec<(String, String)>,
    is_supervised: bool,
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

    /// Sends one request; answers of any status are fine.
    ///
    /// # Errors
    /// Nobody listens, or the connection breaks.
    pub fn try_request(&self, method: &str, target: &str, body: &[u8]) -> io::Result<Reply> {
        let endpoint = self.endpoint().ok_or_else(|| io::Error::other("no endpoint yet"))?;
        let unix = endpoint["unix"].as_str().ok_or_else(|| io::Error::other("no unix socket"))?;
        http::request(Path::new(unix), method, target, &[], body)
    }

    /// Sends one request with a JSON body.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.try_request(method, target, &body).unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    /// GET.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: &str) -> Reply {
        self.request("GET", target, &Value::Null)
    }

    /// POST.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Reply {
        self.request("POST", target, body)
    }

    /// DELETE.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, target: &str) -> Reply {
        self.request("DELETE", target, &Value::Null)
    }

    /// Runs the CLI against this instance.
    ///
    /// # Panics
    /// The binary cannot be run.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary("dormouse"))
            .arg(format!("--data-dir={}", self.data_dir.display()))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the CLI's binary can be run")
    }

    /// Imports the busybox image as `busybox:latest`, with `extra` files.
    ///
    /// # Panics
    /// It cannot be imported.
    #[track_caller]
    pub fn import_busybox(&self, extra: &[(&str, &Path)]) {
        let tarball = image::busybox_tarball(self.dir(), extra);
        let path = tarball.to_str().expect("a plain path");
        drop(self.post("/v1/images/import", &json!({"path": path, "name": "busybox"})).expect(201));
    }

    /// Makes the app [`APP`] if it is not there.
    ///
    /// # Panics
    /// It cannot be made.
    #[track_caller]
    pub fn ensure_app(&self) {
        let made = self.post("/v1/apps", &json!({"name": APP, "org_slug": "personal"}));
        assert!(matches!(made.status, 201 | 422), "{}", made.text);
    }

    /// Creates a machine from `busybox` that runs `argv`; its id. It starts by itself.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    #[track_caller]
    pub fn create(&self, argv: &[&str]) -> String {
        self.create_with(&json!({"config": {"image": "busybox", "init": {"exec": argv}}}))
    }

    /// Creates a machine; its id.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    #[track_caller]
    pub fn create_with(&self, body: &Value) -> String {
        self.ensure_app();
        let machine = self.post(&format!("/v1/apps/{APP}/machines"), body).expect(200);
        machine["id"].as_str().expect("an id").to_owned()
    }

    /// Path of a machine in the API.
    #[must_use]
    pub fn path(id: &str) -> String {
        format!("/v1/apps/{APP}/machines/{id}")
    }

    /// Waits until the machine is in `state`.
    ///
    /// # Panics
    /// It is not within a minute.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: &str) {
        let target = format!("{}/wait?state={state}&timeout=60", Self::path(id));
        let reply = self.get(&target);
        assert_eq!(
            reply.status,
            200,
            "{}\nmachine: {}",
            reply.text,
            self.get(&Self::path(id)).text
        );
    }

    /// Starts the machine and waits until it runs.
    ///
    /// # Panics
    /// It does not start.
    #[track_caller]
    pub fn start_machine(&self, id: &str) {
        drop(self.post(&format!("{}/start", Self::path(id)), &Value::Null).expect(200));
        self.wait_for(id, "started");
    }

    /// Kills the machine's program and waits until it is stopped.
    ///
    /// # Panics
    /// It does not stop.
    #[track_caller]
    pub fn stop_machine(&self, id: &str) {
        let body = json!({"signal": "SIGKILL"});
        drop(self.post(&format!("{}/stop", Self::path(id)), &body).expect(200));
        self.wait_for(id, "stopped");
    }

    /// Runs a shell command in the machine; its output, when it succeeds.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    #[track_caller]
    pub fn sh(&self, id: &str, script: &str) -> String {
        let outcome = self.exec(id, &["/bin/sh", "-c", script]);
        assert_eq!(outcome["exit_code"], 0, "{script}: {outcome}");
        outcome["stdout"].as_str().expect("text").to_owned()
    }

    /// Runs a command in the machine; the whole answer.
    ///
    /// # Panics
    /// It cannot be run.
    #[must_use]
    #[track_caller]
    pub fn exec(&self, id: &str, argv: &[&str]) -> Value {
        let body = json!({"command": argv, "timeout": 30});
        self.post(&format!("{}/exec", Self::path(id)), &body).expect(200)
    }

    /// The texts of the machine's log.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    #[track_caller]
    pub fn log(&self, id: &str) -> Vec<String> {
        let reply = self.get(&format!("{}/logs?tail=1000", Self::path(id)));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply
            .text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .map(|line| line["text"].as_str().expect("text").to_owned())
            .collect()
    }

    /// The machine's log as it grows, from its last `tail` lines on.
    ///
    /// # Panics
    /// It cannot be read.
    #[track_caller]
    pub fn follow_log(&self, id: &str, tail: u32) -> impl Iterator<Item = Value> + use<> {
        let endpoint = self.endpoint().expect("it has listened");
        let socket = Path::new(endpoint["unix"].as_str().expect("a path"));
        let target = format!("{}/logs?tail={tail}&follow=true", Self::path(id));
        let lines = http::lines(socket, &target).expect("the log can be followed");
        lines.map(|line| serde_json::from_str(&line).expect("a line of JSON"))
    }

    /// State of a machine.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    #[track_caller]
    pub fn state(&self, id: &str) -> String {
        self.get(&Self::path(id)).expect(200)["state"].as_str().expect("a state").to_owned()
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
            if let Some(control) = self.control().filter(|pid| is_alive(*pid)) {
                drop(Command::new("kill").args(["-9", &control.to_string()]).status());
            }
        } else {
            self.take_down();
        }
    }
}

/// Whether any thread of a process runs: a dead first one is not the end of its process.
fn is_alive(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    states.any(|state| !matches!(state, 'X' | 'Z'))
}

/// Kills a process that belongs to a test.
///
/// # Panics
/// `kill` cannot be run.
pub fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "process {pid} cannot be killed");
}

//! Attempts to escape from a machine, as rows of tables.
//!
//! Each is made as the machine's root and as an ordinary user. It counts as failed when the machine
//! says so (how it ended, and the kernel's reason) and when the host shows the same as before.

use crate::fixture::PROBE;
use crate::host::{self, Canary};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use testkit::{Instance, report};

/// Refused for lack of a right.
pub const NOT_PERMITTED: &str = "peration not permitted";
/// Refused by permissions, or for lack of a right in the words of busybox's `mount`.
pub const DENIED: &str = "ermission denied";
/// It is there and cannot be written.
pub const READ_ONLY: &str = "Read-only file system";
/// It is not there.
pub const ABSENT: &str = "No such file or directory";
/// It is not there, in the words of a shell that was to write it.
pub const NO_PLACE: &str = "nonexistent directory";
/// The kernel has no such call, or says so.
pub const NO_CALL: &str = "Function not implemented";
/// The process was killed for a call (SIGSYS).
pub const BAD_CALL: &str = "signal 31";
/// Nobody is reached.
pub const UNREACHABLE: &str = "No route to host";
/// It fails without words: a search that finds nothing.
pub const SILENT: &str = "";

/// Users that make each attempt.
const USERS: [&str; 2] = ["root", "app"];

/// How it is tried.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// By a shell.
    Sh(&'static str),
    /// By one system call with these arguments.
    Call(libc::c_long, &'static [i64]),
    /// By the probe.
    Probe(&'static [&'static str]),
}

/// An attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What is attempted.
    pub name: &'static str,
    /// How. `{canary}` and `{pid}` stand for a file and a process of the host.
    pub how: How,
    /// One of these is said inside.
    pub says: &'static [&'static str],
    /// What on the host stays the same.
    pub outside: Outside,
}

/// What on the host stays the same.
#[derive(Clone, Copy, Debug)]
pub enum Outside {
    /// A file and a process that belong to the host.
    Canary,
    /// The mounts of the machine.
    Mounts,
    /// The namespaces of the machine's program.
    Namespaces,
    /// A file of the host.
    File(&'static str),
    /// The host's clock runs on.
    Clock,
}

/// A machine, and what of the host it goes for.
#[derive(Debug)]
pub struct Prison<'a> {
    instance: &'a Instance,
    id: String,
    canary: Canary,
    born: (Instant, Duration),
}

impl<'a> Prison<'a> {
    /// Machine `id` of `instance`; its program is `sleep`.
    #[must_use]
    pub fn new(instance: &'a Instance, id: String) -> Self {
        let canary = Canary::new(instance.dir());
        Self { instance, id, canary, born: (Instant::now(), wall_clock()) }
    }

    /// Makes all attempts and adds their number to the summary.
    ///
    /// # Panics
    /// One of them succeeds, or fails for another reason than the table says.
    #[track_caller]
    pub fn check(&self, area: &str, attempts: &[Attempt]) {
        let went_wrong: Vec<String> = USERS
            .iter()
            .flat_map(|user| attempts.iter().filter_map(|attempt| self.one(attempt, user)))
            .collect();
        let n_attempts = attempts.len();
        assert!(
            went_wrong.is_empty(),
            "{} of {n_attempts}:\n{}",
            went_wrong.len(),
            went_wrong.join("\n")
        );
        report::line("escape", &format!("escape-attempts {n_attempts} {area}"));
    }

    /// What went wrong, if anything.
    fn one(&self, attempt: &Attempt, user: &str) -> Option<String> {
        let before = self.fact(attempt.outside);
        let outcome = self.run(attempt.how, user);
        let said = format!(
            "{}{}signal {}",
            outcome["stdout"].as_str().unwrap_or_default(),
            outcome["stderr"].as_str().unwrap_or_default(),
            outcome["exit_signal"]
        );
        let has_failed = outcome["exit_code"].as_i64().is_some_and(|code| code != 0);
        // An ordinary user may be stopped a step earlier than root.
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let is_refused = says(attempt.says) || (user != "root" && says(&[DENIED, NOT_PERMITTED]));
        let after = self.fact(attempt.outside);
        if before != after {
            return Some(format!("- {} as {user}: {before}\n  became {after}", attempt.name));
        }
        let is_held = has_failed && is_refused;
        (!is_held).then(|| format!("- {} as {user}: {outcome}", attempt.name))
    }

    fn run(&self, how: How, user: &str) -> Value {
        let mut words: Vec<String> = match how {
            How::Sh(script) => ["/bin/sh", "-c", script].map(str::to_owned).into(),
            How::Probe(words) => {
                [PROBE].iter().chain(words).map(|word| (*word).to_owned()).collect()
            }
            How::Call(number, arguments) => {
                let words = [PROBE.to_owned(), "syscall".to_owned(), number.to_string()];
                words.into_iter().chain(arguments.iter().map(i64::to_string)).collect()
            }
        };
        let pid = self.canary.pid().to_string();
        for word in &mut words {
            *word = word.replace("{canary}", self.canary.file()).replace("{pid}", &pid);
        }
        let body = json!({"command": words, "user": user, "timeout": 20});
        self.instance.post(&format!("{}/exec", Instance::path(&self.id)), &body).expect(200)
    }

    fn fact(&self, outside: Outside) -> String {
        let program = || host::process(self.instance, &self.id, "sleep").pid;
        match outside {
            Outside::Canary => self.canary.fact(),
            Outside::Mounts => host::of(program(), "mountinfo"),
            Outside::Namespaces => namespaces(program()),
            Outside::File(path) => format!("{:?}", fs::read_to_string(path)),
            Outside::Clock => format!("runs on: {}", self.clock_runs_on()),
        }
    }

    /// The wall clock has moved as far as the one that nobody sets, give or take a minute.
    fn clock_runs_on(&self) -> bool {
        let (instant, wall) = self.born;
        wall_clock().abs_diff(wall).abs_diff(instant.elapsed()) < Duration::from_secs(60)
    }
}

fn wall_clock() -> Duration {
    Duration::from_millis(model::clock::now().0)
}

fn namespaces(pid: u32) -> String {
    let links = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .map(|name| fs::read_link(format!("/proc/{pid}/ns/{name}")));
    format!("{links:?}")
}

//! Programs of the host in the network of a machine: what no small image has, such as `dig` and
//! `curl`. They come from the machine's own address and over its own link.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Command, Output};
use testkit::Instance;
use tests::host;

/// The network namespace of a machine that runs `sleep`.
pub(crate) struct Guest {
    netns: String,
}

impl Guest {
    /// Of machine `id`.
    #[track_caller]
    pub(crate) fn of(instance: &Instance, id: &str) -> Self {
        let pid = host::process(instance, id, "sleep").pid;
        Self { netns: format!("/proc/{pid}/ns/net") }
    }

    /// Runs a program with these words.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns)).args(words);
        command.output().expect("nsenter can be run")
    }

    /// Runs `curl`; status and body.
    #[track_caller]
    pub(crate) fn curl(&self, words: &[&str]) -> (u16, String) {
        let mut all = vec!["curl", "--silent", "--max-time", "60", "--write-out", "\n%{http_code}"];
        all.extend_from_slice(words);
        let output = self.run(&all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
        (status.parse().expect("a number"), body.to_owned())
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = File::open(&self.netns).expect("the machine runs");
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(netns.as_fd(), kind).expect("entered");
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

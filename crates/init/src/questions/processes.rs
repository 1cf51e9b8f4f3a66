//! Which processes run? From `/proc`.
//!
//! Everything there is written by programs of the guest, so every read is bounded. A process that
//! ends while it is looked at is left out.

use super::sockets::{self, Found};
use crate::files;
use crate::sys;
use guest_proto::message::Process;
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;

/// Most processes told, and most directory entries of each looked at.
const PROCESSES_MAX: usize = 10_000;

/// Most descriptors of one process looked at in search of its sockets.
const DESCRIPTORS_MAX: usize = 4_096;

/// Longest command line told.
const COMMAND_MAX_BYTES: usize = 4 * 1024;

/// Room for all processes in one answer, below the limit of a control frame.
const ANSWER_MAX_BYTES: usize = 3 * 1024 * 1024;

/// Room for a `stat` or `status` file: names are short, numbers are bounded.
const SMALL_FILE_BYTES: usize = 16 * 1024;

/// The processes of the machine.
pub(crate) fn list() -> Vec<Process> {
    let clock = Clock::now();
    let sockets: HashMap<u64, Found> =
        sockets::find_all().into_iter().map(|found| (found.inode, found)).collect();
    let mut room = ANSWER_MAX_BYTES;
    let mut processes = Vec::new();
    for pid in numbered_entries("/proc", PROCESSES_MAX) {
        let Some(process) = look_at(pid, &clock, &sockets) else { continue };
        let size = serde_json::to_vec(&process).map_or(0, |text| text.len() + 1);
        match room.checked_sub(size) {
            Some(left) => room = left,
            None => break,
        }
        processes.push(process);
    }
    processes
}

/// Times in `/proc` count from the boot of the host's kernel; the machine's own begins with init.
struct Clock {
    now_ticks: u64,
    boot_ticks: u64,
    ticks_per_second: u64,
}

impl Clock {
    fn now() -> Self {
        let ticks_per_second = sys::ticks_per_second();
        let uptime = read_text("/proc/uptime");
        let (seconds, hundredths) = uptime
            .split_ascii_whitespace()
            .next()
            .and_then(|seconds| seconds.split_once('.'))
            .unwrap_or(("0", "0"));
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let hundredths = number(seconds) * 100 + number(hundredths);
        let boot_ticks = Stat::of(1).map_or(0, |stat| stat.start_ticks);
        Self { now_ticks: hundredths * ticks_per_second / 100, boot_ticks, ticks_per_second }
    }
}

fn look_at(pid: u32, clock: &Clock, sockets: &HashMap<u64, Found>) -> Option<Process> {
    let stat = Stat::of(pid)?;
    let age_ticks = clock.now_ticks.saturating_sub(stat.start_ticks);
    let (uid, gid) = ids(pid)?;
    let (directory, listen_sockets) = sys::as_fs_user(uid, gid, || {
        let inodes = socket_inodes(pid);
        let mut own: Vec<_> = inodes.iter().filter_map(|inode| sockets.get(inode)).collect();
        own.dedup();
        (read_link(&format!("/proc/{pid}/cwd")), own.into_iter().map(Found::socket).collect())
    });
    Some(Process {
        pid,
        stime: stat.start_ticks.saturating_sub(clock.boot_ticks) / clock.ticks_per_second,
        rtime: age_ticks / clock.ticks_per_second,
        command: command_line(pid).unwrap_or(stat.name),
        directory,
        cpu: percent(stat.cpu_ticks, age_ticks),
        rss: stat.resident_pages.saturating_mul(rustix::param::page_size() as u64),
        listen_sockets,
    })
}

/// Rounded to the nearest.
fn percent(part: u64, whole: u64) -> u32 {
    let whole = whole.max(1);
    u32::try_from((part.saturating_mul(100).saturating_add(whole / 2)) / whole).unwrap_or(u32::MAX)
}

/// The fields we need of `/proc/<pid>/stat`.
struct Stat {
    name: String,
    cpu_ticks: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&read_text(&format!("/proc/{pid}/stat")))
    }

    /// The name may hold spaces and brackets, so the fields start behind the last one. Numbers as
    /// in proc(5): 3 state, 14 utime, 15 stime, 22 starttime, 24 rss.
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            name: format!("[{name}]"),
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// Who owns the process.
fn ids(pid: u32) -> Option<(u32, u32)> {
    let stat = rustix::fs::stat(format!("/proc/{pid}")).ok()?;
    Some((stat.st_uid, stat.st_gid))
}

/// `None` for kernel threads and zombies, which have none.
fn command_line(pid: u32) -> Option<String> {
    let raw = files::read_bounded(&format!("/proc/{pid}/cmdline"), COMMAND_MAX_BYTES).ok()?;
    let text = String::from_utf8_lossy(&raw);
    let mut text = text.trim_end_matches('\0').replace('\0', " ");
    text.truncate(text.floor_char_boundary(COMMAND_MAX_BYTES));
    (!text.is_empty()).then_some(text)
}

fn socket_inodes(pid: u32) -> Vec<u64> {
    let dir = format!("/proc/{pid}/fd");
    numbered_entries(&dir, DESCRIPTORS_MAX)
        .into_iter()
        .filter_map(|fd| {
            let target = read_link(&format!("{dir}/{fd}"));
            target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

fn numbered_entries(dir: &str, max: usize) -> Vec<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::open(dir, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::new(dir) else { return Vec::new() };
    entries
        .map_while(Result::ok)
        .filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok())
        .take(max)
        .collect()
}

fn read_link(path: &str) -> String {
    rustix::fs::readlink(path, Vec::new())
        .map(|target| target.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn read_text(path: &str) -> String {
    let raw = files::read_bounded(path, SMALL_FILE_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&raw).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 1234 5000 99 1 1";
        let stat = Stat::parse(line).expect("a line of the kernel");
        assert_eq!(stat.name, "[a) b (c]");
        assert_eq!((stat.cpu_ticks, stat.start_ticks, stat.resident_pages), (7, 1234, 99));
    }

    #[test]
    fn cut_lines_are_no_process() {
        for line in [
            "",
            "7",
            "7 (",
            "7 )(",
            "7 (x) S 1 2",
            "7 (x) S a b c d e f g h i j k l m n o p q r s t u",
        ] {
            assert!(Stat::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn shares_of_a_cpu() {
        let cases = [(0, 0, 0), (50, 100, 50), (300, 100, 300), (1, 3, 33), (2, 3, 67)];
        for (part, whole, expected) in cases {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }
}

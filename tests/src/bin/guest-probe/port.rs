//! Whoever has all rights in a virtual machine takes init's way to the host, and abuses it.

use crate::say;
use guest_proto::frame::{encode, encode_message};
use guest_proto::message::{Answer, Ended, StartFailure};
use guest_proto::{Channel, FrameKind, FromGuest, StreamId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process::ExitCode;

/// Newer than all that init will ever say: whoever believes it hears init no more.
const EPOCH: u32 = u32::MAX;

/// Streams that are spoken of: none of them has been opened.
const STREAMS: [u32; 6] = [0, 1, 2, 3, 0x7fff_ffff, u32::MAX];

/// `garbage`: bytes that are no frames, without end. `flood`: frames without end. `lies`: each message once,
/// with the largest numbers, about what is not there. `FILE` is written when that begins.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let done = match arguments {
        ["garbage", file] => take(file).and_then(|port| for_ever(&port, &[0x5a; 4096])),
        ["flood", file] => take(file).and_then(|port| for_ever(&port, &flood())),
        ["lies", file] => take(file).and_then(|port| write_all(&port, &lies())),
        _ => return say::usage("port garbage|flood|lies FILE"),
    };
    match done {
        Ok(()) => say::say("said"),
        Err(error) => say::failed(&error),
    }
}

/// A descriptor of the port that process 1 has open; `file` says that it is ours too.
fn take(file: &str) -> io::Result<OwnedFd> {
    let init = pidfd_open(Pid::INIT, PidfdFlags::empty())?;
    for entry in fs::read_dir("/proc/1/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if target.to_string_lossy().contains("/vport") {
            let number: RawFd = entry.file_name().to_string_lossy().parse().expect("a number");
            let port = pidfd_getfd(&init, number, PidfdGetfdFlags::empty())?;
            fs::write(file, "done")?;
            fs::File::open(file)?.sync_all()?;
            return Ok(port);
        }
    }
    Err(io::Error::other("process 1 has no port open"))
}

fn for_ever(port: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    loop {
        write_all(port, bytes)?;
    }
}

fn write_all(port: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(port, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(port, PollFlags::OUT)], None)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Questions that want an answer each, and output that belongs into the log, or nowhere.
fn flood() -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..64 {
        encode_message(EPOCH, &FromGuest::ClockAsked, &mut frames).expect("small");
        let what = "x".repeat(64);
        encode_message(EPOCH, &FromGuest::Unknown { what }, &mut frames).expect("small");
        for stream in STREAMS.map(StreamId) {
            encode_message(EPOCH, &FromGuest::ApiOpened { stream }, &mut frames).expect("small");
            let kind = FrameKind::Data { stream, channel: Channel::Stdout };
            encode(EPOCH, kind, &[b'y'; 512], &mut frames).expect("small");
        }
    }
    frames
}

fn lies() -> Vec<u8> {
    let message = || "no such thing\0\u{fffd}".repeat(1000);
    let ended = || Ended { code: Some(-1), signal: Some(i32::MAX) };
    let mut said = vec![
        FromGuest::Hello { version: u16::MAX, booted: false },
        FromGuest::Waiting { kernel: message() },
        FromGuest::Furnished { parts: Vec::new() },
        FromGuest::FurnishFailed { message: message() },
        FromGuest::Resumed,
        FromGuest::Started { pid: u32::MAX },
        FromGuest::StartFailed { reason: StartFailure::Other, message: message() },
        FromGuest::Answer { id: u64::MAX, answer: Answer::Done },
        FromGuest::Answer { id: 0, answer: Answer::Failed { message: message() } },
        FromGuest::Unknown { what: message() },
    ];
    for stream in STREAMS.map(StreamId) {
        said.extend([
            FromGuest::ExecStarted { stream, pid: 0 },
            FromGuest::ExecFailed { stream, reason: StartFailure::Other, message: message() },
            FromGuest::ExecEnded { stream, ended: ended() },
            FromGuest::ApiOpened { stream },
            FromGuest::Credit { stream, bytes: u32::MAX },
            FromGuest::Credit { stream, bytes: u32::MAX },
            FromGuest::End { stream },
            FromGuest::End { stream },
            FromGuest::Reset { stream },
        ]);
    }
    let mut frames = Vec::new();
    for message in &said {
        encode_message(EPOCH, message, &mut frames).expect("small");
    }
    frames
}

//! The parent's side of the unpacking process.

use crate::error::ImageError;
use crate::unpack::{GO, Job, MAPPED_ROOT, MESSAGE_MAX_BYTES, Message, UnpackReport};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Ids that an archive may use; the same number is mapped.
const N_MAPPED_IDS: u32 = 65_536;

/// Most bytes that a failing process can complain with.
const COMPLAINTS_MAX_BYTES: u64 = 4096;

/// How to start the process whose `main` calls [`crate::unpack::child_main`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Default for Helper {
    /// The running program itself, told to be the unpacker.
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: vec!["unpack-layer".to_owned()] }
    }
}

impl Helper {
    /// Runs an `Unpack` job to its end.
    pub(crate) fn unpack(
        &self,
        job: &Job,
        on_bytes: &dyn Fn(u64),
    ) -> Result<UnpackReport, ImageError> {
        let Outcome { last, status, stderr } = self.run(job, on_bytes)?;
        match last {
            Some(Message::Unpacked(report)) if status.success() => Ok(report),
            Some(Message::Failed(failure)) => Err(ImageError::Unpack(failure)),
            _ => Err(ImageError::Helper { why: ended(status), stderr }),
        }
    }

    /// Runs a `Pack` job to its end.
    pub(crate) fn pack(&self, job: &Job) -> Result<(), ImageError> {
        let Outcome { last, status, stderr } = self.run(job, &|_| {})?;
        match last {
            Some(Message::Failed(failure)) => Err(ImageError::Unpack(failure)),
            _ if status.success() => Ok(()),
            _ => Err(ImageError::Mkfs { status: ended(status), stderr }),
        }
    }

    /// Starts the process, gives it its job and its ids, and hears it out.
    fn run(&self, job: &Job, on_bytes: &dyn Fn(u64)) -> Result<Outcome, ImageError> {
        let complaints =
            Complaints::new().map_err(ImageError::io("make a memory file for", &self.program))?;
        let mut process = Running::start(self, &complaints)?;
        let mut line = serde_json::to_vec(job).expect("a job is plain text");
        line.push(b'\n');
        process.say(&line);
        let mut last = None;
        while let Some(message) = process.hear()? {
            match message {
                Message::Ready => process.map_ids_and_go()?,
                Message::Progress { n_bytes } => on_bytes(n_bytes),
                Message::Unpacked(_) | Message::Failed(_) => last = Some(message),
            }
        }
        let status = process.wait()?;
        Ok(Outcome { last, status, stderr: complaints.text() })
    }
}

/// What came of a process.
struct Outcome {
    /// Its last message, if that was more than being ready.
    last: Option<Message>,
    status: ExitStatus,
    /// What it complained of.
    stderr: String,
}

/// A process's standard error: a file in memory, because the disk may be full, of fixed size.
struct Complaints(File);

impl Complaints {
    fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("complaints", flags)?);
        file.set_len(COMPLAINTS_MAX_BYTES)?;
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
        Ok(Self(file))
    }

    /// What was written, without the zeros behind it; nothing when it cannot be read.
    fn text(&self) -> String {
        let mut bytes = vec![0; usize::try_from(COMPLAINTS_MAX_BYTES).unwrap_or(0)];
        let n = self.0.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..n]).trim_matches(['\0', '\n', ' ']).to_owned()
    }
}

/// A started process; killed and reaped when dropped early.
struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(helper: &Helper, complaints: &Complaints) -> Result<Self, ImageError> {
        let stderr = complaints.0.try_clone().map_err(ImageError::io("start", &helper.program))?;
        let mut child = Command::new(&helper.program)
            .args(&helper.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(ImageError::io("start", &helper.program))?;
        let stdout = child.stdout.take().expect("its output is piped");
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// Says something; a process that died before hearing it is known by how it ended.
    fn say(&mut self, line: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("its input is piped");
        if let Err(error) = stdin.write_all(line).and_then(|()| stdin.flush()) {
            tracing::debug!(%error, "the unpacking process does not listen");
        }
    }

    /// The next message; `None` at the end of its output.
    fn hear(&mut self) -> Result<Option<Message>, ImageError> {
        let bad = |why: String| ImageError::Helper { why, stderr: String::new() };
        let mut line = Vec::new();
        (&mut self.stdout)
            .take(MESSAGE_MAX_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(|error| bad(format!("cannot be read from: {error}")))?;
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).map_err(|e| bad(format!("spoke nonsense: {e}")))
    }

    fn map_ids_and_go(&mut self) -> Result<(), ImageError> {
        let map = format!("0 {MAPPED_ROOT} {N_MAPPED_IDS}\n");
        for file in ["uid_map", "gid_map"] {
            let path = PathBuf::from(format!("/proc/{}/{file}", self.child.id()));
            std::fs::write(&path, &map).map_err(ImageError::io("write", &path))?;
        }
        self.say(GO.as_bytes());
        Ok(())
    }

    fn wait(&mut self) -> Result<ExitStatus, ImageError> {
        let why = |error: io::Error| format!("cannot be waited for: {error}");
        self.child
            .wait()
            .map_err(|error| ImageError::Helper { why: why(error), stderr: String::new() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a `wait` the first does nothing and the second repeats the answer.
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            tracing::warn!(pid = self.child.id(), "unpacking process could not be reaped");
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(libc::SIGABRT)) => "ran out of memory".to_owned(),
        (None, Some(libc::SIGXCPU)) => "ran out of CPU time".to_owned(),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or(0)),
    }
}

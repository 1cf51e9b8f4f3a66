//! The machine's log: what the program writes, line by line, in files of bounded size and number.
//!
//! Format (that of the container runtime interface, so that known tools read it):
//! `<time> <stdout|stderr> <F|P> <text>`, `P` for a part of a line, `F` for its end. A log that
//! cannot be written never holds up the machine: lines are dropped, counted, and the count is
//! written as soon as that works again.

mod time;

use guest_proto::Channel;
use shim_proto::spec::LogSpec;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Longest text of one log line; longer ones are cut into parts. As containerd and cri-o have it.
const LINE_MAX_BYTES: usize = 16 * 1024;

/// Lines collected for one write. Rotation happens between writes, so a file stays within its bound
/// as long as that is a good deal more than this and one line.
const BATCH_BYTES: usize = 16 * 1024;

/// Writes the log of one run.
#[derive(Debug)]
pub(crate) struct LogWriter {
    spec: LogSpec,
    file: Option<File>,
    n_bytes: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    n_dropped: u64,
    /// Lines that wait for one write together.
    batch: Vec<u8>,
    n_batched: u64,
}

impl LogWriter {
    /// Continues the log at `spec.path`. Nothing is opened before there is something to write.
    pub(crate) const fn new(spec: LogSpec) -> Self {
        Self {
            spec,
            file: None,
            n_bytes: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            n_dropped: 0,
            batch: Vec::new(),
            n_batched: 0,
        }
    }

    /// Takes bytes as the program wrote them.
    pub(crate) fn write(&mut self, channel: Channel, mut bytes: &[u8]) {
        let now = time::now_text();
        while !bytes.is_empty() {
            let open = self.open_line(channel);
            let room = LINE_MAX_BYTES - open.len();
            let line_end = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let n_taken = line_end.unwrap_or_else(|| bytes.len().min(room));
            open.extend_from_slice(&bytes[..n_taken]);
            let is_full = open.len() == LINE_MAX_BYTES;
            bytes = &bytes[n_taken + usize::from(line_end.is_some())..];
            match line_end {
                Some(_) => self.put_line(&now, channel, "F"),
                None if is_full => self.put_line(&now, channel, "P"),
                None => {}
            }
        }
        self.flush();
    }

    /// Writes the lines that were never ended. Call once, when the program has ended.
    pub(crate) fn finish(&mut self) {
        let now = time::now_text();
        for channel in [Channel::Stdout, Channel::Stderr] {
            if !self.open_line(channel).is_empty() {
                self.put_line(&now, channel, "F");
            }
        }
        self.flush();
    }

    fn open_line(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Stderr => &mut self.stderr,
            Channel::Stdin | Channel::Stdout => &mut self.stdout,
        }
    }

    /// Moves the open line to the batch.
    fn put_line(&mut self, now: &str, channel: Channel, tag: &str) {
        let name = if channel == Channel::Stderr { "stderr" } else { "stdout" };
        let text = std::mem::take(self.open_line(channel));
        self.batch.extend_from_slice(format!("{now} {name} {tag} ").as_bytes());
        self.batch.extend_from_slice(&text);
        self.batch.push(b'\n');
        self.n_batched += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
        // Give the line its buffer back.
        let mut text = text;
        text.clear();
        *self.open_line(channel) = text;
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        match self.append(&batch) {
            Ok(()) => self.n_dropped = 0,
            Err(_) => self.n_dropped += self.n_batched,
        }
        self.n_batched = 0;
        self.batch = batch;
        self.batch.clear();
    }

    /// Appends whole lines to the current file, rotating before when it would grow too large.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let note = self.dropped_note();
        let added = (note.len() + lines.len()) as u64;
        if self.file.is_none() {
            self.open()?;
        }
        if self.n_bytes > 0 && self.n_bytes + added > self.spec.max_bytes {
            self.rotate()?;
        }
        failpoint::io("shim.log")?;
        let result = match &mut self.file {
            Some(file) => file.write_all(note.as_bytes()).and_then(|()| file.write_all(lines)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match result {
            Ok(()) => self.n_bytes += added,
            // A torn line must not be continued by the next one: look at the file anew.
            Err(_) => self.cut_torn_line(),
        }
        result
    }

    fn dropped_note(&self) -> String {
        if self.n_dropped == 0 {
            return String::new();
        }
        let n = self.n_dropped;
        format!("{} stderr F dormouse: {n} lines could not be written here\n", time::now_text())
    }

    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).open(&self.spec.path)?;
        self.n_bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn cut_torn_line(&mut self) {
        let cut = self.file.as_ref().is_some_and(|file| file.set_len(self.n_bytes).is_ok());
        if !cut {
            self.file = None;
        }
    }

    /// `log` → `log.1` → `log.2` …; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let n_old = self.spec.max_files.saturating_sub(1);
        if n_old == 0 {
            std::fs::remove_file(&self.spec.path)?;
        }
        for n in (1..=n_old).rev() {
            let from = if n == 1 { self.spec.path.clone() } else { self.old_path(n - 1) };
            match std::fs::rename(from, self.old_path(n)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.open()
    }

    fn old_path(&self, n: u32) -> PathBuf {
        let mut path = self.spec.path.clone().into_os_string();
        path.push(format!(".{n}"));
        path.into()
    }
}

#[cfg(test)]
mod tests;

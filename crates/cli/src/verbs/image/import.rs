//! `dormouse image import`.

use crate::context::Context;
use crate::output;
use api::contract::ImageInfo;
use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes read from standard input at a time.
const READ_BYTES: usize = 256 * 1024;

/// Reads that may wait to be sent.
const READS_AHEAD: usize = 4;

/// What to import.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File or directory on the daemon's host; `-` is an archive on stdin
    path: PathBuf,
    /// Name of the image, e.g. `demo` or `demo:1`
    name: String,
}

pub(super) async fn import(context: &Context, args: &ImportArgs) -> anyhow::Result<()> {
    let progress = spinner(&format!("importing {}", args.path.display()));
    let imported = if args.path.as_os_str() == "-" {
        context.client.import_archive(stdin(), &args.name).await
    } else {
        let path = std::path::absolute(&args.path)?;
        context.client.import_image(&path.to_string_lossy(), &args.name).await
    };
    progress.finish_and_clear();
    context.show(&imported?, |image: &ImageInfo| {
        format!("{}  {}  {}", image.name, output::bytes(image.size_bytes), image.digest)
    })
}

/// Standard input, read by a thread of its own: a read may never end, and then ends with the process.
fn stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (parts, received) = mpsc::channel(READS_AHEAD);
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        let mut stdin = io::stdin().lock();
        loop {
            let part = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(Bytes::copy_from_slice(&buffer[..n])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            if parts.blocking_send(part).is_err() || is_last {
                return;
            }
        }
    });
    received
}

/// A sign of life on stderr; nothing when that is no terminal.
fn spinner(text: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(text.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

//! Pulls as somebody watches them: a bar on a terminal, a line for each stage elsewhere.

use crate::failure::Failure;
use crate::output;
use api::contract::{PullLine, PullProgress, Pulled};
use client::{Client, ClientError};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::time::Duration;

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// A person, by stderr.
    Person,
    /// A program, by lines of JSON on stdout.
    Program,
    /// Nobody.
    Nobody,
}

/// Pulls `image`.
pub(crate) async fn pull(client: &Client, image: &str, watcher: Watcher) -> anyhow::Result<Pulled> {
    let mut lines = client.pull_image(image).await?;
    let mut view = View::new(image, watcher);
    while let Some(line) = lines.next().await? {
        if watcher == Watcher::Program {
            output::json(&line)?;
        }
        match line {
            PullLine::Resolving => view.stage("resolving"),
            PullLine::Downloading(progress) => view.downloading(&progress),
            PullLine::Unpacking(_) => view.stage("unpacking"),
            PullLine::Packing(_) => view.stage("packing"),
            PullLine::Done(pulled) => return Ok(*pulled),
            PullLine::Error(body) => {
                return Err(ClientError::Pull { body: Box::new(body) }.into());
            }
        }
    }
    let hint = "pull it again: what has come is kept";
    Err(Failure::new("the daemon ended before the pull did", hint).into())
}

/// What a person sees.
enum View {
    Bar(ProgressBar),
    Lines { last: &'static str },
    Nothing,
}

impl View {
    fn new(image: &str, watcher: Watcher) -> Self {
        if watcher != Watcher::Person {
            return Self::Nothing;
        }
        output::notice(&format!("pulling {image}"));
        if !io::stderr().is_terminal() {
            return Self::Lines { last: "" };
        }
        let bar = ProgressBar::new(0);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Bar(bar)
    }

    /// A stage without figures.
    fn stage(&mut self, name: &'static str) {
        match self {
            Self::Bar(bar) => {
                style(bar, "{spinner} {msg}  {elapsed}");
                bar.set_message(name);
            }
            Self::Lines { .. } => self.line(name, name),
            Self::Nothing => {}
        }
    }

    fn downloading(&mut self, progress: &PullProgress) {
        match self {
            Self::Bar(bar) => {
                style(bar, "{spinner} downloading [{bar:24}] {msg}");
                bar.set_length(progress.total_bytes);
                bar.set_position(progress.done_bytes);
                bar.set_message(figures(progress));
            }
            Self::Lines { .. } => {
                let size = output::bytes(progress.total_bytes);
                self.line("downloading", &format!("downloading {size}"));
            }
            Self::Nothing => {}
        }
    }

    /// `text`, once for each stage.
    fn line(&mut self, stage: &'static str, text: &str) {
        if let Self::Lines { last } = self
            && *last != stage
        {
            *last = stage;
            output::notice(text);
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// Layers, bytes and speed.
fn figures(progress: &PullProgress) -> String {
    let n_done = progress.layers.iter().filter(|layer| layer.status == "done").count();
    format!(
        "{n_done}/{} layers  {} of {}  {}/s",
        progress.layers.len(),
        output::bytes(progress.done_bytes),
        output::bytes(progress.total_bytes),
        output::bytes(progress.bytes_per_s),
    )
}

/// The line that says what came of a pull.
pub(crate) fn outcome(pulled: &Pulled) -> String {
    let image = &pulled.image;
    let news = match (&pulled.cached_because, pulled.is_new) {
        (Some(why), _) => format!("the registry was not asked: {why}"),
        (None, true) => format!("pulled, {}", output::bytes(image.size_bytes)),
        (None, false) => "was here already".to_owned(),
    };
    format!("{}  {}  {news}", image.name, image.digest)
}

#[cfg(test)]
mod tests {
    use super::figures;
    use api::contract::{LayerProgress, PullProgress};

    #[test]
    fn figures_count_layers_and_bytes() {
        let layer =
            |status: &str| LayerProgress { status: status.to_owned(), ..Default::default() };
        let progress = PullProgress {
            layers: vec![layer("done"), layer("waiting"), layer("downloading")],
            done_bytes: 1536,
            total_bytes: 1_048_576,
            bytes_per_s: 2048,
            ..PullProgress::default()
        };
        assert_eq!(figures(&progress), "1/3 layers  1.5 KiB of 1.0 MiB  2.0 KiB/s");
    }
}

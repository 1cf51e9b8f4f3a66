//! The last good records, on the disk: with them the doors open before control is there.

use crate::desk::Desk;
use crate::error::ProxyError;
use proxy_proto::{AppRoute, MachineRoute};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(fuzzing)]
pub(crate) mod fuzzing;

/// Version of the file's format.
const FORMAT: u32 = 1;

/// Shortest pause between two writes.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// A write is followed by a pause so many times as long as it took: with many machines writing
/// must not become what the process mostly does.
const PAUSE_TIMES: u32 = 20;

/// Largest file that is read: the most machines at about 4 KiB each.
const FILE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Where files go that this build cannot read.
const ASIDE_DIR: &str = "set-aside";

/// The failpoints of the file.
const DOOR: durable::Door = durable::Door {
    write: "proxy.routes",
    before_rename: "proxy.routes.written",
    after_rename: "proxy.routes.renamed",
};

#[derive(Serialize)]
struct Saved {
    format: u32,
    #[serde(serialize_with = "shared")]
    apps: Vec<Arc<AppRoute>>,
    #[serde(serialize_with = "shared")]
    machines: Vec<Arc<MachineRoute>>,
}

fn shared<T: Serialize, S: Serializer>(records: &[Arc<T>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(records.iter().map(|record| &**record))
}

/// The same, each record still to be understood: one that cannot be is left out alone.
#[derive(Deserialize)]
struct Loaded<'a> {
    format: u32,
    #[serde(borrow, default)]
    apps: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    machines: Vec<&'a RawValue>,
}

/// What a file had to say.
#[derive(Debug, Default, PartialEq)]
struct Records {
    apps: Vec<AppRoute>,
    machines: Vec<MachineRoute>,
    n_bad: usize,
}

/// Removes what a process that died while it wrote has left. A proxy that still writes is on its way
/// out, and tries again.
fn clear(path: &Path) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{stem}.")) && name.ends_with(".tmp") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Takes in what an earlier process has written down. A file that cannot be understood is set aside.
pub(crate) async fn load(path: &Path, desk: &Desk) -> Result<(), ProxyError> {
    let file = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || clear(&file).and_then(|()| read(&file))).await;
    let records = match loaded.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(records) => records,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return set_aside(path, &error),
        Err(error) => return Err(ProxyError::path("read", path)(error)),
    };
    if records.n_bad > 0 {
        tracing::warn!(n = records.n_bad, "records of routes cannot be read, and wait for control");
    }
    desk.with(|book, now| {
        for app in records.apps {
            book.apply_app(app, now);
        }
        for machine in records.machines {
            book.apply_machine(machine, now);
        }
    });
    Ok(())
}

fn set_aside(path: &Path, why: &io::Error) -> Result<(), ProxyError> {
    let place = path.parent().unwrap_or(Path::new(".")).join(ASIDE_DIR);
    let to = DOOR.set_aside(path, &place).map_err(durable_error)?;
    tracing::warn!(error = %why, to = %to.display(), "the file of routes is set aside");
    Ok(())
}

fn durable_error(error: durable::DurableError) -> ProxyError {
    ProxyError::Path { action: error.action, path: error.path, source: error.source }
}

fn read(path: &Path) -> io::Result<Records> {
    if std::fs::metadata(path)?.len() > FILE_MAX_BYTES {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    understand(&std::fs::read(path)?)
}

fn understand(bytes: &[u8]) -> io::Result<Records> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let loaded: Loaded<'_> =
        serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    if loaded.format != FORMAT {
        return Err(invalid(format!("its format is {}, not {FORMAT}", loaded.format)));
    }
    let (apps, n_bad_apps) = each(&loaded.apps);
    let (machines, n_bad_machines) = each(&loaded.machines);
    Ok(Records { apps, machines, n_bad: n_bad_apps + n_bad_machines })
}

fn each<T: DeserializeOwned>(records: &[&RawValue]) -> (Vec<T>, usize) {
    let good: Vec<T> =
        records.iter().filter_map(|record| serde_json::from_str(record.get()).ok()).collect();
    let n_bad = records.len() - good.len();
    (good, n_bad)
}

/// Writes the records down, one write at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    desk: Desk,
    path: PathBuf,
    writing: tokio::sync::Mutex<()>,
}

impl Keeper {
    /// For this file.
    pub(crate) fn new(desk: Desk, path: PathBuf) -> Self {
        Self { desk, path, writing: tokio::sync::Mutex::new(()) }
    }

    /// Writes when they have changed: at once when control has sent all, else after a pause.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut pause = Duration::ZERO;
        loop {
            let bells = self.desk.bells();
            tokio::select! {
                () = bells.complete.notified() => {}
                () = bells.records.notified() => {
                    let rest = tokio::time::timeout(pause, bells.complete.notified());
                    // By time or because all have arrived: now it is time.
                    drop(rest.await);
                }
            }
            let since = Instant::now();
            self.save().await;
            pause = (since.elapsed() * PAUSE_TIMES).max(PAUSE_MIN);
        }
    }

    /// Writes now; what cannot be written is logged, and the file stays as it was.
    pub(crate) async fn save(&self) {
        let _writing = self.writing.lock().await;
        let saved = self.desk.read(|book| Saved {
            format: FORMAT,
            apps: book.table.apps(),
            machines: book.table.machines(),
        });
        let file = self.path.clone();
        match tokio::task::spawn_blocking(move || write(&saved, &file)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "routes"),
            Err(error) => tracing::warn!(%error, "routes cannot be written down"),
        }
    }
}

fn write(saved: &Saved, path: &Path) -> Result<(), ProxyError> {
    let bytes = serde_json::to_vec(saved)
        .map_err(|error| ProxyError::path("encode", path)(io::Error::from(error)))?;
    let tmp = path.with_extension(format!("{}.tmp", std::process::id()));
    DOOR.replace(&tmp, path, &bytes).map_err(durable_error)
}

#[cfg(test)]
mod tests {
    use super::{Saved, load, read, understand, write};
    use crate::desk::Desk;
    use crate::fixture::{app, id, machine, port, service};
    use std::sync::Arc;

    fn saved() -> Saved {
        let machine = machine(1, "web", 3, vec![service(vec![port(80, &[])])]);
        Saved {
            format: super::FORMAT,
            apps: vec![Arc::new(app("web", 2, &["www.example.com"]))],
            machines: vec![Arc::new(machine)],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("routes.json");
        write(&saved(), &path).expect("written");
        let records = read(&path).expect("read");
        assert_eq!(
            (&records.apps[0], &records.machines[0]),
            (&*saved().apps[0], &*saved().machines[0])
        );
        assert_eq!(records.n_bad, 0);
    }

    #[test]
    fn a_bad_record_is_left_out_alone() {
        let text = serde_json::to_string(&saved()).expect("text");
        let text = text.replace("\"machines\":[", "\"machines\":[{\"machine\":7},");
        let records = understand(text.as_bytes()).expect("understood");
        assert_eq!((records.machines.len(), records.n_bad), (1, 1));
    }

    #[tokio::test]
    async fn a_file_of_another_format_is_set_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("routes.json");
        for text in [&b"{\"format\":2,\"machines\":[1]}"[..], b"{", b""] {
            std::fs::write(&path, text).expect("written");
            let desk = Desk::new("local", 0);
            load(&path, &desk).await.expect("goes on without");
            assert!(!path.exists());
            assert!(desk.read(|book| book.table.machine(&id(1)).is_none()));
        }
        let aside = std::fs::read_dir(dir.path().join(super::ASIDE_DIR)).expect("listed").count();
        assert_eq!(aside, 3);
    }
}

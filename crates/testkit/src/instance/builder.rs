//! How an instance is started.

use super::Instance;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

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
            doors: own_loopback_address(),
            process: None,
        };
        instance.launch();
        instance
    }
}

/// An address of the loopback for one instance: made of this process' number and a count, in
/// 127.128.0.0/9, which is used for nothing else.
fn own_loopback_address() -> Ipv4Addr {
    static N_TAKEN: AtomicU32 = AtomicU32::new(0);
    const INSTANCES_OF_A_PROCESS_BITS: u32 = 3;
    let n = N_TAKEN.fetch_add(1, Ordering::Relaxed) % (1 << INSTANCES_OF_A_PROCESS_BITS);
    let own = (std::process::id() << INSTANCES_OF_A_PROCESS_BITS) | n;
    let base = u32::from(Ipv4Addr::new(127, 128, 0, 0));
    // The last octet is never 0 or 255, which some programs do not take for a host's.
    Ipv4Addr::from(base | (((own << 2) | 1) & 0x007f_ffff))
}

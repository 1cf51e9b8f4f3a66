//! How an instance is started.

use super::Instance;
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
            process: None,
        };
        instance.launch();
        instance
    }
}

//! Requests to an instance, over its socket and by its command line.

use super::{Instance, binary};
use crate::http::{self, Reply};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

impl Instance {
    /// Sends one request; answers of any status are fine.
    ///
    /// # Errors
    /// Nobody listens, or the connection breaks.
    pub fn try_request(&self, method: &str, target: &str, body: &[u8]) -> io::Result<Reply> {
        let endpoint = self.endpoint().ok_or_else(|| io::Error::other("no endpoint yet"))?;
        let unix = endpoint["unix"].as_str().ok_or_else(|| io::Error::other("no unix socket"))?;
        http::request(Path::new(unix), method, target, &[], body)
    }

    /// Sends one request with a JSON body.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.try_request(method, target, &body).unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    /// Sends one request whose body says that it is JSON, with further headers.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn request_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let endpoint = self.endpoint().expect("it has listened");
        let unix = endpoint["unix"].as_str().expect("a unix socket");
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http::request(Path::new(unix), method, target, &all, &body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// GET.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: &str) -> Reply {
        self.request("GET", target, &Value::Null)
    }

    /// POST.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Reply {
        self.request("POST", target, body)
    }

    /// DELETE.
    ///
    /// # Panics
    /// Nobody answers.
    #[must_use]
    #[track_caller]
    pub fn delete(&self, target: &str) -> Reply {
        self.request("DELETE", target, &Value::Null)
    }

    /// Runs the CLI against this instance.
    ///
    /// # Panics
    /// The binary cannot be run.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary("dormouse"))
            .arg(format!("--data-dir={}", self.data_dir.display()))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the CLI's binary can be run")
    }
}

//! A visitor that writes bytes and looks at bytes.

use super::house::{House, in_time};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
pub(super) struct Raw {
    pub(super) stream: TcpStream,
    seen: Vec<u8>,
}

impl Raw {
    pub(super) async fn to(house: &House) -> Self {
        Self { stream: house.connect().await, seen: Vec::new() }
    }

    pub(super) async fn say(&mut self, text: impl AsRef<[u8]>) {
        in_time(self.stream.write_all(text.as_ref())).await.expect("it is taken");
    }

    /// All until the other side closes; an error closes too.
    pub(super) async fn hear_all(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Err(error) = in_time(self.stream.read_to_end(&mut bytes)).await {
            bytes.extend_from_slice(format!("<{}>", error.kind()).as_bytes());
        }
        self.seen.append(&mut bytes);
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    /// All up to and with `end`.
    pub(super) async fn hear_until(&mut self, end: &str) -> String {
        in_time(async {
            loop {
                let at = self.seen.windows(end.len()).position(|part| part == end.as_bytes());
                if let Some(at) = at {
                    let rest = self.seen.split_off(at + end.len());
                    let seen = std::mem::replace(&mut self.seen, rest);
                    return String::from_utf8_lossy(&seen).into_owned();
                }
                let n_read = self.stream.read_buf(&mut self.seen).await.expect("it can be read");
                assert!(n_read > 0, "closed after {:?}", String::from_utf8_lossy(&self.seen));
            }
        })
        .await
    }

    /// One whole answer with a length: head and body.
    pub(super) async fn hear_answer(&mut self) -> (String, String) {
        let head = self.hear_until("\r\n\r\n").await.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("a length").trim().parse().expect("a number");
        while self.seen.len() < length {
            let n_read = in_time(self.stream.read_buf(&mut self.seen)).await.expect("the body");
            assert!(n_read > 0, "the body is whole");
        }
        let rest = self.seen.split_off(length);
        let body = std::mem::replace(&mut self.seen, rest);
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

/// What a visitor that says only `text` hears until the connection is closed.
pub(super) async fn heard(house: &House, text: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::to(house).await;
    raw.say(text).await;
    raw.hear_all().await
}

//! A post as its sender writes it, and the message that it is.

use crate::write::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A message in JSON. What comes as another type of content is the text of the message itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// The text; what is not a text is kept as compact JSON.
    pub body: Json,
    /// Posting it twice is posting it once; the header `Idempotency-Key` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// It wakes the machine by itself, without a rule that reads the inbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<bool>,
    /// Machines that it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<u8>,
}

/// A post that is named twice, and not alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`id` and `Idempotency-Key` name two messages")]
pub struct TwoIds;

impl Post {
    /// The same under the name that its sender has written beside it. An empty one is none.
    ///
    /// # Errors
    /// [`TwoIds`].
    pub fn named(self, key: Option<&str>) -> Result<Self, TwoIds> {
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        match (self.id, key) {
            (Some(id), Some(key)) if id != key => Err(TwoIds),
            (id, key) => Ok(Self { id: id.or_else(|| key.map(str::to_owned)), ..self }),
        }
    }

    /// The message.
    #[must_use]
    pub fn into_message(self) -> Message {
        let body = match self.body {
            Json::String(text) => text,
            other => other.to_string(),
        };
        Message {
            id: self.id.filter(|id| !id.is_empty()),
            body,
            hops: self.hops.unwrap_or(0),
            wake: self.wake.unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(post: Json, key: Option<&str>, expected: Result<Message, TwoIds>) {
        let post: Post = serde_json::from_value(post).expect("a post");
        assert_eq!(post.named(key).map(Post::into_message), expected);
    }

    fn message(id: Option<&str>, body: &str) -> Message {
        Message { id: id.map(str::to_owned), body: body.to_owned(), ..Message::default() }
    }

    #[test]
    fn what_is_not_a_text_is_kept_as_json() {
        check(json!({"body": "x"}), None, Ok(message(None, "x")));
        check(json!({"body": {"b": 1, "a": [2]}}), None, Ok(message(None, r#"{"a":[2],"b":1}"#)));
        check(json!({"body": null}), None, Ok(message(None, "null")));
    }

    #[test]
    fn a_message_has_one_name() {
        let named = || Ok(message(Some("a"), "x"));
        check(json!({"body": "x", "id": "a"}), None, named());
        check(json!({"body": "x"}), Some(" a "), named());
        check(json!({"body": "x", "id": "a"}), Some("a"), named());
        check(json!({"body": "x", "id": "a"}), Some("b"), Err(TwoIds));
        check(json!({"body": "x", "id": ""}), Some(" "), Ok(message(None, "x")));
    }
}

//! Any bytes as a history of an inbox, a line for each step: `p` posts what follows as a text, `j` as
//! JSON, with a name of one letter before it, `t` takes as many as the next letter says, `a`
//! acknowledges that number, `w` waits for so many minutes.

#![no_main]

use fuzz::Pen;
use govern::post::Post;
use govern::write::{Message, Reply};
use govern::{Write, Writer};
use libfuzzer_sys::fuzz_target;
use model::DurationMs;
use serde_json::Value;
use std::collections::BTreeSet;

/// Steps of one history.
const STEPS_MAX: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let (mut pen, mut posted) = (Pen::default(), BTreeSet::new());
    for line in bytes.split(|byte| *byte == b'\n').take(STEPS_MAX) {
        let Some((step, rest)) = line.split_first() else { continue };
        let number = rest.first().map_or(0, |byte| byte.saturating_sub(b'0'));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let owner = Writer::Owner;
        match step {
            b'p' => {
                let body = Value::String(text(rest));
                let post = Post { body, wake: Some(number % 2 == 1), ..Post::default() };
                note(&mut posted, pen.write(&Write::Post(post.into_message()), &owner));
            }
            b'j' => {
                let (key, body) = rest.split_at(rest.len().min(1));
                let Some(message) = read(body, &text(key)) else { continue };
                note(&mut posted, pen.write(&Write::Post(message), &owner));
            }
            b't' => {
                let taken = pen.write(&Write::Take { max: u32::from(number) }, &Writer::Machine);
                if let Some(Reply::Taken { seqs, .. }) = taken {
                    assert!(seqs.len() <= usize::from(number) && seqs.is_sorted(), "{seqs:?}");
                    assert!(seqs.iter().all(|seq| posted.contains(seq)), "{seqs:?}");
                }
            }
            b'a' => {
                drop(pen.write(&Write::Ack { seqs: vec![u64::from(number)] }, &Writer::Machine))
            }
            b'w' => pen.wait(DurationMs::from_secs(60 * u64::from(number))),
            _ => {}
        }
    }
    pen.finish();
});

/// The message of a body in JSON, as the API reads it, under a name beside it.
fn read(body: &[u8], key: &str) -> Option<Message> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let post: Post = serde_json::from_value(value).ok()?;
    let own = post.id.clone();
    let message = post.named(Some(key)).ok()?.into_message();
    let name = message.id.as_deref();
    assert!(name.is_none_or(|name| own.as_deref() == Some(name) || name == key.trim()));
    Some(message)
}

/// A new message has a number that no other had.
fn note(posted: &mut BTreeSet<u64>, reply: Option<Reply>) {
    if let Some(Reply::Posted { seq, is_new }) = reply {
        assert_eq!(posted.insert(seq), is_new, "{seq}");
    }
}

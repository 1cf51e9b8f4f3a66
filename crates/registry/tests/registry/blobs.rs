//! Streams that break, stall, lie, or never end.

use crate::layout::{digest_of, noise};
use crate::server::{Reply, Seen, Server};
use crate::support::{anonymous, config, read, read_on};
use registry::{Descriptor, RegistryError, Repository, Verifier};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: usize = 200_000;

fn content() -> Vec<u8> {
    noise(SIZE, 1)
}

fn blob() -> Descriptor {
    let bytes = content();
    let size = bytes.len() as u64;
    Descriptor { media_type: String::new(), digest: digest_of(&bytes), size }
}

/// The part of the content that is asked for, as a server answers that knows of ranges.
fn part(seen: &Seen) -> Reply {
    let Some(first) = seen.first_byte() else { return Reply::new(200, &[], content()) };
    let range = format!("Content-Range: bytes {first}-{}/{SIZE}", SIZE - 1);
    Reply::new(206, &[&range], &content()[first..])
}

/// The first `n` bytes of an answer, of which all are promised.
fn beginning(seen: &Seen, n: usize) -> Reply {
    let first = seen.first_byte().unwrap_or(0);
    let length = format!("Content-Length: {}", SIZE - first);
    let end = (first + n).min(SIZE);
    if first == 0 {
        return Reply::raw(200, &[&length], &content()[..end]);
    }
    let range = format!("Content-Range: bytes {first}-{}/{SIZE}", SIZE - 1);
    Reply::raw(206, &[&length, &range], &content()[first..end])
}

async fn at(server: &Server) -> Repository {
    let repository = anonymous(config(), &format!("{}/a", server.address()));
    drop(repository.head().await);
    repository
}

async fn outcome(
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Result<Vec<u8>, RegistryError>, usize) {
    let server = Server::start(handler).await;
    let outcome = read(&at(&server).await, &blob()).await;
    (outcome, server.seen_at("/blobs/").len())
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_broke() {
    let n = AtomicUsize::new(0);
    let server = Server::start(move |seen| match n.fetch_add(1, Ordering::Relaxed) {
        0..6 => beginning(seen, 50_000).then_cut(),
        _ => part(seen),
    })
    .await;
    let bytes = read(&at(&server).await, &blob()).await.expect("in the end");
    assert!(bytes == content());
    let starts: Vec<_> = server.seen_at("/blobs/").iter().map(Seen::first_byte).collect();
    assert_eq!(starts, [None, Some(50_000), Some(100_000), Some(150_000)]);
}

#[tokio::test]
async fn a_server_without_ranges_sends_it_all_again() {
    let n = AtomicUsize::new(0);
    let (bytes, n_asked) = outcome(move |seen| {
        let is_blob = seen.target.contains("/blobs/");
        if is_blob && n.fetch_add(1, Ordering::Relaxed) == 0 {
            let length = format!("Content-Length: {SIZE}");
            return Reply::raw(200, &[&length], &content()[..70_001]).then_cut();
        }
        Reply::new(200, &[], content())
    })
    .await;
    assert!(bytes.expect("in the end") == content());
    assert_eq!(n_asked, 2);
}

#[tokio::test]
async fn what_is_there_already_is_not_fetched_again() {
    let server = Server::start(part).await;
    let repository = at(&server).await;
    let mut have = Verifier::new(&blob());
    have.feed(&content()[..123_456]).expect("fits");
    let rest = read_on(repository.blob(have)).await.expect("the rest");
    assert!(rest == content()[123_456..]);
    assert_eq!(server.seen_at("/blobs/")[0].first_byte(), Some(123_456));
    let mut whole = Verifier::new(&blob());
    whole.feed(&content()).expect("fits");
    assert!(read_on(repository.blob(whole)).await.expect("nothing is missing").is_empty());
    assert_eq!(server.seen_at("/blobs/").len(), 1);
}

#[tokio::test]
async fn a_wrong_beginning_is_noticed_at_the_end() {
    let server = Server::start(part).await;
    let mut have = Verifier::new(&blob());
    have.feed(&noise(1_000, 2)).expect("fits");
    let error = read_on(at(&server).await.blob(have)).await.expect_err("not the blob");
    assert!(matches!(error, RegistryError::DigestDiffers { .. }), "{error}");
}

#[tokio::test]
async fn a_stalled_stream_is_given_up_and_resumed() {
    let n = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let is_blob = seen.target.contains("/blobs/");
        if is_blob && n.fetch_add(1, Ordering::Relaxed) == 0 {
            return beginning(seen, 1_000).then_hang();
        }
        part(seen)
    })
    .await;
    let mut config = config();
    config.timeouts.stall = Duration::from_millis(200);
    let repository = anonymous(config, &format!("{}/a", server.address()));
    assert!(read(&repository, &blob()).await.expect("in the end") == content());
    assert_eq!(server.seen_at("/blobs/")[1].first_byte(), Some(1_000));
}

#[tokio::test]
async fn a_stream_that_breaks_without_progress_is_given_up() {
    let (error, n_asked) = outcome(|seen| beginning(seen, 0).then_cut()).await;
    let error = error.expect_err("given up");
    assert!(matches!(error, RegistryError::Interrupted { .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(n_asked, 5);
}

#[tokio::test]
async fn a_stream_that_breaks_for_ever_is_given_up() {
    let server = Server::start(|seen| beginning(seen, 10).then_cut()).await;
    let repository = at(&server).await;
    let error = read(&repository, &blob()).await.expect_err("given up");
    assert!(error.is_retryable(), "{error}");
    assert!(server.seen_at("/blobs/").len() <= 40);
}

#[tokio::test]
async fn other_sizes_than_promised_are_refused() {
    let (error, n_asked) = outcome(|_| Reply::new(200, &[], vec![0; SIZE + 1])).await;
    assert!(matches!(error, Err(RegistryError::SizeDiffers { .. })), "{error:?}");
    assert_eq!(n_asked, 1);
    let (error, _) = outcome(|_| Reply::new(200, &[], vec![0; SIZE - 1])).await;
    assert!(matches!(error, Err(RegistryError::SizeDiffers { .. })), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_at_its_size() {
    let (error, _) = outcome(|_| Reply::raw(200, &[], vec![0; 64 * 1024]).then_repeat()).await;
    assert!(matches!(error, Err(RegistryError::SizeDiffers { .. })), "{error:?}");
}

#[tokio::test]
async fn other_bytes_than_promised_are_refused() {
    let (error, _) = outcome(|_| Reply::new(200, &[], noise(SIZE, 2))).await;
    let error = error.expect_err("other bytes");
    assert!(matches!(error, RegistryError::DigestDiffers { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn another_part_than_asked_for_is_refused() {
    for range in
        ["Content-Range: bytes 0-9/10", "X-Range: none", "Content-Range: bytes 100-199999/7"]
    {
        let server = Server::start(move |seen| match seen.first_byte() {
            Some(first) => Reply::new(206, &[range], &content()[first..]),
            None => Reply::new(404, &[], ""),
        })
        .await;
        let mut have = Verifier::new(&blob());
        have.feed(&content()[..100]).expect("fits");
        let error = read_on(at(&server).await.blob(have)).await.expect_err("refused");
        assert!(matches!(error, RegistryError::BadAnswer { .. }), "{range}: {error}");
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_had_ends_it() {
    let server = Server::start(|_| Reply::new(416, &["Content-Range: bytes */100"], "")).await;
    let mut have = Verifier::new(&blob());
    have.feed(&content()[..100]).expect("fits");
    let error = read_on(at(&server).await.blob(have)).await.expect_err("refused");
    assert!(matches!(error, RegistryError::Status { status: 416, .. }), "{error}");
}

#[tokio::test]
async fn dropping_a_read_loses_nothing() {
    let server = Server::start(part).await;
    let repository = at(&server).await;
    let mut stream = repository.blob(Verifier::new(&blob()));
    let mut all = Vec::new();
    loop {
        // Most of these are dropped before anything has come.
        match tokio::time::timeout(Duration::from_micros(50), stream.next()).await {
            Ok(Ok(Some(bytes))) => all.extend_from_slice(&bytes),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => panic!("{error}"),
            Err(_elapsed) => {}
        }
    }
    assert!(all == content());
}

#[tokio::test]
async fn a_stream_may_move_to_another_task() {
    let server = Server::start(part).await;
    let mut stream = at(&server).await.blob(Verifier::new(&blob()));
    let first = tokio::spawn(async move { stream.next().await }).await.expect("no panic");
    assert!(first.expect("bytes").is_some());
}

#[tokio::test]
async fn an_empty_blob_needs_no_request() {
    let server = Server::start(part).await;
    let repository = at(&server).await;
    let empty = Descriptor { media_type: String::new(), digest: digest_of(b""), size: 0 };
    assert!(read(&repository, &empty).await.expect("empty").is_empty());
    let other = Descriptor { digest: digest_of(b"x"), ..empty };
    assert!(matches!(read(&repository, &other).await, Err(RegistryError::DigestDiffers { .. })));
    assert!(server.seen_at("/blobs/").is_empty());
}

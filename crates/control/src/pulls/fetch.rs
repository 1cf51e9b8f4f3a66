//! The blobs of one image on their way in: several at a time, each once, each from where it was left.

use super::board::Board;
use crate::blocking::{off_runtime, panicked};
use crate::error::ControlError;
use bytes::Bytes;
use image::{BlobRef, BlobState, BlobWriter, Pull};
use model::Digest;
use registry::{BlobStream, Descriptor, RegistryError, Repository, Verifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Blobs of one image that are fetched at once, as with Docker.
const BLOBS_AT_ONCE: usize = 3;

/// Pieces of a blob between the network and the disk; a piece is at most some 400 KiB.
const PIECES_MAX: usize = 16;

/// How long one look at a blob that another pull fetches lasts.
const ELSEWHERE_STEP: Duration = Duration::from_secs(1);

/// What all blobs of an image share.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) pull: Arc<Pull>,
    pub(super) repository: Repository,
    pub(super) board: Board,
}

impl Fetcher {
    /// Brings every blob that is not here. When one fails, the others stop where they are.
    ///
    /// Nothing of this holds the pull any more when it returns.
    pub(super) async fn fetch_all(self) -> Result<(), ControlError> {
        let turns = Arc::new(Semaphore::new(BLOBS_AT_ONCE));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for blob in self.pull.blobs() {
            let (fetcher, turns, stopped) = (self.clone(), Arc::clone(&turns), stopped.clone());
            tasks.spawn(async move {
                let _turn = turns.acquire_owned().await.expect("nobody closes it");
                fetcher.fetch(&blob, stopped).await
            });
        }
        drop(self);
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|panic| Err(panicked(&panic)));
            if let (Err(error), true) = (ended, result.is_ok()) {
                result = Err(error);
                stop.send_replace(true);
            }
        }
        result
    }

    async fn fetch(
        &self,
        blob: &BlobRef,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), ControlError> {
        while !*stopped.borrow() {
            failpoint::hit("pull.blob.begin");
            let (pull, wanted) = (Arc::clone(&self.pull), blob.clone());
            match off_runtime(move || Ok(pull.state(&wanted)?)).await? {
                BlobState::Present => {
                    self.board.put(&blob.digest, blob.size_bytes);
                    return Ok(());
                }
                BlobState::Wanted(writer) => return self.receive(writer, &mut stopped).await,
                BlobState::Elsewhere => {
                    let (pull, digest) = (Arc::clone(&self.pull), blob.digest.clone());
                    off_runtime(move || Ok(pull.wait(&digest, ELSEWHERE_STEP))).await?;
                }
            }
        }
        Ok(())
    }

    /// Brings what is missing of one blob.
    async fn receive(
        &self,
        writer: Box<BlobWriter>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), ControlError> {
        let blob = descriptor_of(writer.blob());
        let digest = blob.digest.clone();
        let have = Verifier::resumed(&blob, writer.hash(), writer.offset())?;
        self.board.put(&digest, writer.offset());
        let mut stream = self.repository.blob(have);
        let (pieces, inbox) = mpsc::channel(PIECES_MAX);
        let writing = tokio::task::spawn_blocking(move || write(writer, inbox));
        let streamed = tokio::select! {
            streamed = self.pump(&digest, &mut stream, pieces) => Some(streamed),
            // Also when nobody could stop it any more.
            _ = stopped.changed() => None,
        };
        let mut writer = writing.await.map_err(|panic| panicked(&panic))??;
        match streamed {
            Some(Ok(())) => {
                failpoint::hit("pull.blob.end");
                off_runtime(move || Ok((*writer).finish()?)).await
            }
            Some(Err(error)) => {
                if matches!(error, RegistryError::DigestDiffers { .. }) {
                    off_runtime(move || Ok(writer.restart()?)).await?;
                }
                Err(error.into())
            }
            None => Ok(()),
        }
    }

    /// Hands the bytes on as they come; ends early when nobody takes them any more.
    async fn pump(
        &self,
        digest: &Digest,
        stream: &mut BlobStream,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        while let Some(bytes) = stream.next().await? {
            if pieces.send(bytes).await.is_err() {
                break;
            }
            self.board.put(digest, stream.position());
        }
        Ok(())
    }
}

/// Writes what comes; gives the writer back at the end of it.
fn write(
    mut writer: Box<BlobWriter>,
    mut inbox: mpsc::Receiver<Bytes>,
) -> Result<Box<BlobWriter>, ControlError> {
    while let Some(bytes) = inbox.blocking_recv() {
        writer.write(&bytes)?;
    }
    Ok(writer)
}

fn descriptor_of(blob: &BlobRef) -> Descriptor {
    Descriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.clone(),
        size: blob.size_bytes,
    }
}

//! Messages to a machine: post, look, acknowledge.

use crate::path;
use crate::{Client, ClientError};
use api::contract::selfhood::{Acked, DeadLetters, InboxPage, MessagesAck, Post, Posted};

impl Client {
    /// Messages after number `after`, without delivering them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn inbox(
        &self,
        app: &str,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<InboxPage, ClientError> {
        let rest = format!("/inbox?after={after}&limit={limit}");
        self.get(&path::selfhood(app, id, &rest)).await
    }

    /// Posts a message.
    ///
    /// # Errors
    /// [`ClientError`]; codes `inbox_full`, `inbox_hops`, `self_too_long`.
    pub async fn post_message(
        &self,
        app: &str,
        id: &str,
        message: &Post,
    ) -> Result<Posted, ClientError> {
        self.post(&path::selfhood(app, id, "/inbox"), message).await
    }

    /// Acknowledges messages.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_missing`.
    pub async fn ack_messages(
        &self,
        app: &str,
        id: &str,
        seqs: &[u64],
    ) -> Result<Acked, ClientError> {
        let body = MessagesAck { seqs: seqs.to_vec() };
        self.post(&path::selfhood(app, id, "/inbox/ack"), &body).await
    }

    /// Messages that nobody acknowledged, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dead_letters(
        &self,
        app: &str,
        id: &str,
        limit: u32,
    ) -> Result<DeadLetters, ClientError> {
        self.get(&path::selfhood(app, id, &format!("/inbox/dead?limit={limit}"))).await
    }
}

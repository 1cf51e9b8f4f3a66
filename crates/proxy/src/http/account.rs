//! What became of a request: counted and written down when it is over, however it ends.

use super::notes::UnderWay;
use super::page::Page;
use super::tape::Tape;
use crate::access_log::Line;
use crate::desk::{Admitted, Desk};
use crate::visit::Visitor;
use std::sync::Arc;

/// Status in the log of a request whose visitor went away before its answer.
const GONE: u16 = 499;

/// A request's account; closed when dropped.
#[derive(Debug)]
pub(crate) struct Account {
    line: Line,
    desk: Desk,
    visitor: Arc<Visitor>,
    tape: Option<Arc<Tape>>,
    /// The request ends with its account.
    pub(crate) under_way: UnderWay,
}

impl Account {
    /// Of a request that begins.
    pub(crate) fn open(
        desk: &Desk,
        visitor: &Arc<Visitor>,
        under_way: UnderWay,
        protocol: &'static str,
    ) -> Self {
        let line = Line { status: GONE, ..Line::new(protocol) };
        let (desk, visitor) = (desk.clone(), Arc::clone(visitor));
        Self { line, desk, visitor, tape: None, under_way }
    }

    /// What it asks for, and its body.
    pub(crate) fn asked(&mut self, request: (String, String, String), tape: &Arc<Tape>) {
        self.line.request = Some(request);
        self.tape = Some(Arc::clone(tape));
    }

    /// Who answers.
    pub(crate) fn admitted(&mut self, admitted: &Admitted) {
        self.line.admitted(admitted);
    }

    /// We answer.
    pub(crate) fn turned(&mut self, page: &Page) {
        self.line.status = page.status.as_u16();
        self.line.code = Some(page.code.to_string());
        if !page.fly_code.is_empty() {
            tracing::debug!(code = %page.code, fly_code = page.fly_code, "{}", page.message);
        }
    }

    /// The answer's status.
    pub(crate) fn answered(&mut self, status: u16) {
        self.line.status = status;
    }

    /// It has become a WebSocket.
    pub(crate) fn switched(&mut self) {
        self.line.protocol = "websocket";
    }

    /// Bytes that went up.
    pub(crate) fn received(&mut self, n_bytes: u64) {
        self.line.received_bytes += n_bytes;
    }

    /// Bytes that went down.
    pub(crate) fn sent(&mut self, n_bytes: u64) {
        self.line.sent_bytes += n_bytes;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.line.received_bytes += self.tape.as_ref().map_or(0, |tape| tape.n_handed_bytes());
        if let Some(app) = &self.line.app {
            let meter = self.desk.metrics().of_app(app);
            meter.answered(self.line.status);
            meter.passed(self.line.received_bytes, self.line.sent_bytes);
        }
        self.line.write(&self.visitor);
    }
}

//! With which statuses an operation may be refused or fail.
//!
//! Most follow from what the operation is: whoever takes a body may be sent one that is too large. What
//! does not follow is said in its row, by [`Operation::refuses`].

use super::{Operation, Right};
use axum::http::Method;
use std::collections::BTreeSet;

impl Operation {
    /// The statuses beside those of success.
    pub(crate) fn refusals(&self) -> BTreeSet<u16> {
        let mut statuses: BTreeSet<u16> = self.also_refused.iter().copied().collect();
        if self.right != Right::Nobody {
            // No token, another one, too many calls; our mistake, and a host that cannot now.
            statuses.extend([401, 403, 429, 500, 503]);
        }
        if self.path.contains('{') {
            statuses.extend([400, 404]);
        }
        if self.right == Right::Machine {
            // Asked from outside.
            statuses.insert(404);
        }
        if !self.parameters.is_empty() {
            statuses.insert(400);
        }
        if !self.bodies.is_empty() {
            // What cannot be, came too slowly, is too large.
            statuses.extend([400, 408, 413]);
        }
        if self.bodies.iter().any(|body| body.schema.is_none()) {
            // Text that is none.
            statuses.insert(415);
        }
        if self.method != Method::GET && self.right != Right::Nobody {
            // Every change is written to the disk.
            statuses.insert(507);
        }
        if self.method != Method::GET && self.is_of_a_machine() {
            // Someone else's lease, somebody who was faster; a state in which it makes no sense.
            statuses.extend([409, 412]);
        }
        statuses
    }

    /// Whether it is about one machine, which answers it in its turn.
    fn is_of_a_machine(&self) -> bool {
        self.path.contains("/machines/{id}") || self.right == Right::Machine
    }
}

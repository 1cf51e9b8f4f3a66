//! A self in the place of one that cannot be read.

use crate::export::recount;
use crate::rights::Action;
use crate::selfhood::Selfhood;
use crate::trace::{TraceBody, TraceHead};
use crate::write::{MessageRow, cut};
use policy::Writer;

/// What is left of a self whose record cannot be read: messages and trace are rows beside it.
#[derive(Debug)]
pub struct Remains<'a> {
    /// The last revision that anybody has seen.
    pub revision: u64,
    /// The end of its trace; a new one when that does not hold.
    pub trace: TraceHead,
    /// Messages that wait for an ack, oldest first.
    pub inbox: &'a [MessageRow],
}

/// A self that has forgotten everything else, and the entry in which `writer` lets it begin. `kept`:
/// where the old record is.
#[must_use]
pub fn renew(remains: &Remains<'_>, writer: &Writer, kept: &str) -> (Selfhood, TraceBody) {
    let mut next = Selfhood {
        revision: remains.revision + 1,
        trace: remains.trace.clone(),
        ..Selfhood::default()
    };
    recount(&mut next.inbox, remains.inbox.iter());
    // Each message has taken a revision, so its number is not above that.
    next.inbox.next_seq = next.inbox.next_seq.max(next.revision);
    let last = remains.inbox.last().map_or(0, |row| row.seq);
    next.inbox.next_seq = next.inbox.next_seq.max(last + 1);
    let entry = TraceBody { rev_before: remains.revision, ..began_anew(&next, writer, kept) };
    (next, entry)
}

/// The entry that says so of a self that is `next` from now on.
#[must_use]
pub fn began_anew(next: &Selfhood, writer: &Writer, kept: &str) -> TraceBody {
    let line = format!("what it remembered cannot be read, and begins anew; it is kept as {kept}");
    TraceBody { changes: vec![cut(&line)], ..TraceBody::new(writer.clone(), Action::Import, next) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::UnixMs;

    #[test]
    fn a_renewed_self_counts_what_is_left_and_repeats_no_number() {
        let row = |seq: u64| MessageRow {
            seq,
            id: None,
            from: Writer::Owner,
            at: UnixMs(seq),
            bytes: 10,
            hops: 0,
            wake: seq == 4,
            deliveries: 0,
            hidden_until: UnixMs(0),
        };
        let inbox = [row(4), row(9)];
        let trace = TraceHead { first: 3, seq: 20, ..TraceHead::default() };
        let remains = Remains { revision: 12, trace: trace.clone(), inbox: &inbox };
        let (next, entry) = renew(&remains, &Writer::Owner, "quarantine/selves/x");
        assert_eq!((next.revision, &next.trace), (13, &trace));
        let found = &next.inbox;
        assert_eq!((found.depth, found.bytes, found.wakes, found.next_seq), (2, 20, 1, 13));
        assert_eq!((entry.rev_before, entry.rev_after), (12, 13));
        assert!(entry.changes[0].contains("quarantine/selves/x"));
    }
}

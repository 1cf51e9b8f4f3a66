//! One machine's self with its message rows, and what must hold of it after any write.

use govern::write::{MessageRow, Reply, RowOp, Seen};
use govern::{Ground, Rows, Selfhood, TraceEntry, Write, Writer, apply, refusal, verify};
use model::{BootId, DurationMs, UnixMs};
use policy::Policy;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// When the first write is made.
pub const NOW: UnixMs = UnixMs(1_790_000_000_000);

/// Room for messages that app and host leave, in bytes: less than an inbox may have, so that it shows.
const ROOM_BYTES: u64 = 64 * 1024;

/// The policy of every machine here, compiled once.
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(POLICY_TEXT).expect("the policy is right"));

/// Facts of every type, with guards, transitions and writers, and a rule that reads them.
const POLICY_TEXT: &[u8] = br#"{"facts":{
    "n":{"type":"int","min":0,"max":10,"guard":"new >= old","default":0},
    "d":{"type":"double","min":-1,"max":1,"writers":["self","owner"]},
    "t":{"type":"timestamp","ttl":"60s"},"p":{"type":"duration"},"l":{"type":"list"},
    "x":{"type":"json","secret":true},
    "s":{"type":"string","enum":["a","b"],
         "transitions":[{"from":null,"to":"a","by":["owner"]},{"from":"a","to":"b"}]}},
    "rules":[{"id":"w","effect":"wake","when":"memory.n > 3 && inbox.depth > 1"}]}"#;

/// A machine's record, rows and trace.
#[derive(Debug)]
pub struct Pen {
    selfhood: Selfhood,
    rows: Messages,
    trace: Vec<TraceEntry>,
    boot: BootId,
    now: UnixMs,
}

/// Message rows, as a store keeps them.
#[derive(Debug, Default)]
struct Messages {
    waiting: BTreeMap<u64, MessageRow>,
    bodies: BTreeMap<u64, String>,
    seen: BTreeMap<String, Seen>,
}

impl Default for Pen {
    fn default() -> Self {
        Self {
            selfhood: Selfhood::default(),
            rows: Messages::default(),
            trace: Vec::new(),
            boot: "00000000-0000-4000-8000-000000000001".parse().expect("a boot id"),
            now: NOW,
        }
    }
}

impl Pen {
    /// Lets time pass.
    pub fn wait(&mut self, time: DurationMs) {
        self.now = self.now.plus(time);
    }

    /// Writes; checks what must hold whether it was refused or not.
    pub fn write(&mut self, write: &Write, writer: &Writer) -> Option<Reply> {
        let used: u64 = self.rows.waiting.values().map(|row| row.bytes).sum();
        let ground = Ground {
            selfhood: &self.selfhood,
            policy: &POLICY,
            rows: &self.rows,
            inbox_room: ROOM_BYTES.saturating_sub(used),
            now: self.now,
        };
        let applied = match apply(&ground, write, writer) {
            Ok(applied) => applied,
            Err(why) => {
                assert!((400..500).contains(&why.status()), "a refusal is the caller's: {why}");
                let entry = refusal(&ground, write, writer, &why);
                self.note(entry);
                return None;
            }
        };
        let is_change = applied.entry.is_some();
        assert_eq!(applied.next.revision, self.selfhood.revision + u64::from(is_change));
        self.selfhood = applied.next;
        applied.ops.iter().for_each(|op| self.rows.carry_out(op));
        if let Some(entry) = applied.entry {
            self.note(entry);
        }
        self.check();
        Some(applied.reply)
    }

    fn note(&mut self, entry: govern::TraceBody) {
        let entry = self.selfhood.record(entry, self.now, &self.boot);
        self.trace.push(entry);
    }

    fn check(&self) {
        let text = self.selfhood.to_text();
        assert_eq!(Selfhood::read(&text).expect("it was written"), self.selfhood);
        let inbox = &self.selfhood.inbox;
        let waiting = self.rows.waiting.values();
        assert_eq!(usize::try_from(inbox.depth).ok(), Some(self.rows.waiting.len()), "the index");
        assert_eq!(inbox.bytes, waiting.map(|row| row.bytes).sum::<u64>(), "the index");
        assert!(inbox.bytes <= ROOM_BYTES, "the quota");
        for (seq, row) in &self.rows.waiting {
            assert_eq!(u64::try_from(self.rows.bodies[seq].len()).ok(), Some(row.bytes), "{row:?}");
        }
    }

    /// Whether the trace is whole.
    pub fn finish(self) {
        verify(&self.trace, &self.selfhood.trace).expect("the chain holds");
    }
}

impl Rows for Messages {
    fn after(&self, seq: u64) -> Option<MessageRow> {
        self.waiting.range(seq.checked_add(1)?..).next().map(|(_, row)| row.clone())
    }

    fn message(&self, seq: u64) -> Option<MessageRow> {
        self.waiting.get(&seq).cloned()
    }

    fn seen(&self, id: &str) -> Option<Seen> {
        self.seen.get(id).copied()
    }
}

impl Messages {
    fn carry_out(&mut self, op: &RowOp) {
        match op {
            RowOp::PutMessage { row, body } => {
                if let Some(id) = &row.id {
                    self.seen.insert(id.clone(), Seen { seq: row.seq, forget_at: None });
                }
                self.waiting.insert(row.seq, row.clone());
                self.bodies.insert(row.seq, body.clone());
            }
            RowOp::MarkDelivered { seq, deliveries, hidden_until } => {
                let row = self.waiting.get_mut(seq).expect("a delivered message waits");
                (row.deliveries, row.hidden_until) = (*deliveries, *hidden_until);
            }
            RowOp::RemoveMessage { seq, forget_at } | RowOp::BuryMessage { seq, forget_at, .. } => {
                let row = self.waiting.remove(seq).expect("it waited");
                self.bodies.remove(seq);
                if let Some(id) = row.id {
                    self.seen.insert(id, Seen { seq: *seq, forget_at: Some(*forget_at) });
                }
            }
            RowOp::ForgetIds { before } => {
                self.seen.retain(|_, seen| seen.forget_at.is_none_or(|at| *before < at));
            }
            RowOp::PutPolicy { .. } => {}
        }
    }
}

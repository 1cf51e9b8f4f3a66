//! The task of one active machine: the only one who changes its state.
//!
//! It reads its record from the store when it begins, hears commands, its shim and its timers, and
//! ends when the machine is settled without a shim and nobody waits. A sleeping machine is a row.

mod admission;
mod adopt;
mod answers;
mod commit;
mod effects;
mod guest;
mod launch;
mod metering;
mod on_disk;
mod place;
mod requests;
pub(crate) mod selfhood;
mod shim_news;
mod streams;
mod task;
mod thaw;
mod timers;
mod timings;

pub(crate) use launch::words_of;

use crate::capacity::Reservation;
use crate::error::ControlError;
use crate::facade::{ExecStream, Notice, SelfWritten, StopOverride, Wanted};
use crate::inner::{Inner, MACHINE_QUEUE_MAX};
use govern::{Export, Write, Writer};
use guest_proto::message::{Answer, ExecOrders, Question};
use model::{Cause, MachineId, VersionId, Want};
use std::sync::Arc;
use store::MachineRecord;
use tokio::sync::{mpsc, oneshot};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// What a machine's task can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Room on the host that was promised before the machine had a task: when it was created.
    Promise(Reservation),
    /// Somebody wants it up or down. Answered when it is up, or when the way down has begun.
    Want { want: Want, cause: Cause, stop: StopOverride, reply: Reply<Wanted> },
    /// Stop and start again. Answered when it is up again.
    Restart { cause: Cause, stop: StopOverride, reply: Reply<Wanted> },
    /// Remove it. Answered when the removal has begun.
    Destroy { cause: Cause, force: bool, reply: Reply<()> },
    /// Its record was changed by an update plan that begins now.
    Update { cause: Cause, change: Box<VersionChange>, reply: Reply<MachineRecord> },
    /// A signal for its program.
    Signal { signal: i32, cause: Cause, reply: Reply<()> },
    /// A question for its init.
    Ask { question: Question, reply: Reply<Answer> },
    /// What does its run use?
    Usage { reply: Reply<shim_proto::message::Usage> },
    /// Run a command in it.
    Exec { orders: ExecOrders, cause: Cause, reply: Reply<ExecStream> },
    /// A write to its self. Answered when it is on the disk.
    SelfWrite { write: Box<Write>, writer: Writer, reply: Reply<SelfWritten> },
    /// A self from elsewhere, to be put in the place of its own. Answered as above.
    SelfImport { export: Box<Export>, writer: Writer, reply: Reply<u64> },
    /// Somebody inside waits to be told of a rest. Answered when one is coming.
    Notices { reply: Reply<Notice> },
    /// A plan of it has ended.
    PlanEnded(PlanEnd),
    /// Its record in the store was changed by somebody else (metadata, lease, cordon).
    Reread,
    /// Look whether anything follows from what it remembers; ends with `Governor::set_next`.
    Evaluate,
    /// Take over what an earlier control process left; answered when that is done.
    Adopt { reply: oneshot::Sender<()> },
}

/// A new version to put in place.
#[derive(Debug)]
pub(crate) struct VersionChange {
    pub(crate) record: MachineRecord,
    /// The version that it takes the place of, if only that may be.
    pub(crate) expected: Option<VersionId>,
    pub(crate) launch: bool,
    /// The text of a policy that it shall have.
    pub(crate) policy: Option<String>,
}

/// How a plan ended.
#[derive(Debug)]
pub(crate) enum PlanEnd {
    /// Image and disk are ready.
    Prepared,
    /// Image or disk cannot be had.
    PrepareFailed { code: String, message: String },
    /// Everything of the machine is gone.
    Removed,
}

/// Makes the task of a machine; the caller keeps the sender in the table of tasks.
pub(crate) fn spawn(inner: Arc<Inner>, id: MachineId) -> mpsc::Sender<Command> {
    let (sender, inbox) = mpsc::channel(MACHINE_QUEUE_MAX);
    tokio::spawn(task::run(inner, id, inbox));
    sender
}

//! What can go wrong in this room.

use model::SlotId;
use std::io;
use std::path::{Path, PathBuf};

/// Why a namespace, link, address or rule is not as it should be.
///
/// Every operation may be tried again after any of these: each makes something true and accepts
/// what is already there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, directory or mount point could not be used.
    #[error("cannot {doing} `{path}`")]
    Path {
        /// The attempt, as a verb phrase.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A namespace could not be made or entered.
    #[error("cannot {doing}")]
    Namespace {
        /// The attempt, as a verb phrase.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No router of the instance can be entered: it has not been made yet, or is gone.
    #[error(
        "no router is pinned for the instance in `{runtime_dir}`; its control process makes it"
    )]
    NoRouter {
        /// The instance's runtime directory.
        runtime_dir: PathBuf,
    },
    /// A link, address, route or pinned address was refused.
    #[error("the kernel refused to {doing}")]
    Netlink {
        /// The attempt, with the link or address in it.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's answer to a link, address or route request made no sense.
    #[error("the kernel's answer to \"{doing}\" is cut short")]
    NetlinkAnswer {
        /// The request.
        doing: String,
    },
    /// `nft` could not be run; it comes with the package `nftables`.
    #[error("cannot run `nft`")]
    NftMissing {
        /// Why not.
        source: io::Error,
    },
    /// `nft` refused the rules; nothing has changed.
    #[error("`nft` refused to {doing}: {message}")]
    NftRefused {
        /// The attempt, as a verb phrase.
        doing: &'static str,
        /// What `nft` wrote, cut to a bounded length.
        message: String,
    },
    /// The slot helper could not be run or did not answer as it should.
    #[error("the slot helper `{helper}` failed: {problem}")]
    Helper {
        /// The program.
        helper: PathBuf,
        /// What it did or said.
        problem: String,
    },
    /// The host makes no tap devices.
    #[error("this host makes no taps: there is no `/dev/net/tun`; `modprobe tun` may bring it")]
    TunMissing {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something has a tap's queue open: another virtual machine monitor, as there is but one queue.
    #[error("the queue of tap {slot} is open elsewhere; end the process that has it")]
    QueueInUse {
        /// Number of the tap.
        slot: SlotId,
    },
    /// Every slot number of this instance is in use.
    #[error("all {max} slots are in use")]
    NoFreeSlot {
        /// The bound that was reached.
        max: u16,
    },
    /// A slot or tap lacks a part; remove it, nothing can run there.
    #[error("slot {slot} is not whole, it lacks {lacks}")]
    SlotNotWhole {
        /// Which one.
        slot: SlotId,
        /// The missing part.
        lacks: &'static str,
    },
    /// The slot or tap is not one of those found at the start that nobody has claimed yet.
    #[error("slot {slot} is not an unclaimed slot of an earlier daemon")]
    SlotNotUnclaimed {
        /// Which one.
        slot: SlotId,
    },
    /// Every /24 block of the IPv4 range belongs to a network.
    #[error("no free IPv4 block is left in the range")]
    NoFreeBlock,
    /// The text or number is not a usable range, block or network.
    #[error("`{given}` is not {expected}")]
    Invalid {
        /// What was given.
        given: String,
        /// What was expected, with its article.
        expected: &'static str,
    },
}

impl From<netlink::Error> for Error {
    fn from(error: netlink::Error) -> Self {
        match error {
            netlink::Error::Socket { source } => namespace("open a netlink socket")(source),
            netlink::Error::Refused { doing, source } => {
                Self::Netlink { doing, source: source.into() }
            }
            netlink::Error::Answer { doing } => Self::NetlinkAnswer { doing },
        }
    }
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Turns a failed system call about `path` into an [`Error::Path`].
pub(crate) fn at<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Path { doing, path, source: source.into() }
}

/// Turns a failed namespace call into an [`Error::Namespace`].
pub(crate) fn namespace<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Namespace { doing, source: source.into() }
}

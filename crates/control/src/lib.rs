//! Who makes it happen?
//!
//! Control carries out what `model` decides. [`Control`] is the one face towards API, CLI and (later)
//! proxy and governor; [`Control::want`] is the one door for everybody who wants a machine up or
//! down. Each active machine has one task (`machine`) that owns its state: it admits, steps,
//! commits, carries the effects out and hears the shim. A sleeping machine has no task.
//!
//! * [`facade`]: what others may call, as types.
//! * `machine`: the task of one active machine.
//! * `governor`: what governs machines from outside any single one of them.
//! * `app_secrets`, `keys`, `vault`: secrets and keys of apps, and how they are sealed.
//! * `egress`: where machines may speak to, in the store and in the router.
//! * `hostnames`: own names of apps and their certificates.
//! * `hooks`, `notify`: what comes to inboxes from outside, and what `notify` rules send out.
//! * `shim`: the connection to a shim.
//! * `plans`: durable plans: create, update, destroy.
//! * `pressure`: what happens before the data file system is full.
//! * `pulls`: images from registries.
//! * `recover`: starting is recovering.
//! * `vms`: what virtual machines are copies of.

mod app_secrets;
mod blocking;
mod capacity;
mod checkpoints;
pub mod control;
mod egress;
pub mod error;
pub mod facade;
mod governor;
mod hooks;
mod hostnames;
mod inner;
mod keys;
mod leftovers;
mod logs;
mod machine;
mod meters;
mod names;
mod notify;
mod orders;
mod plans;
mod policies;
mod pressure;
mod proxy;
mod pulls;
mod recover;
mod shim;
mod vault;
mod vms;
mod watch;

pub use app_secrets::{AppSecret, AppSecrets, SECRET_BYTES_MAX, SECRETS_BYTES_MAX, SECRETS_MAX};
pub use capacity::{CPU_OVERCOMMIT, RAM_OVERCOMMIT};
pub use checkpoints::CHECKPOINT_RETENTION;
pub use control::{Control, EventFollower, Export as SelfExport, SecretKey};
pub use error::{Advice, ControlError, Fault, StateConflict};
pub use facade::*;
pub use hooks::{
    BadSignature, HOOK_BURST, HOOK_NAME_MAX_BYTES, HOOK_PER_SECOND, HOOK_WRITER_PREFIX, HOOKS_MAX,
    Hook, HookPost, HookPosted, HookRefused, HookSignature, HookWish, InvalidHookSignature,
    OLD_SECRETS_MAX, OVERLAP, OVERLAP_MAX, Retiring, SecretWish, SignatureScheme, SigningSecret,
};
pub use hostnames::{
    CERTIFICATES_MAX_BYTES, CertificateSource, CertificateView, ChainRefused, HOSTNAME_MAX_BYTES,
    HOSTNAMES_MAX, Hostname, HostnamePage, HostnameRefused, HostnameView, InvalidHostname,
    LookedUp, OwnCertificate, PAGE_MAX as HOSTNAME_PAGE_MAX,
};
pub use inner::{ControlConfig, GuestApi};
pub use keys::{KeyKind, SECRET_KEYS_MAX};
pub use meters::{Histogram, METER_BOUNDS_S, Metered};
pub use notify::{NOTIFY_GIVE_UP_AFTER, NOTIFY_WAIT_FIRST, NotifySettings};
pub use orders::{LOG_MAX_BYTES, LOG_MAX_FILES, PIDS_MAX};
pub use proxy::{
    CheckResult, Proxies, Replaced, SOCKET_FILE as PROXY_SOCKET_FILE, listen as listen_for_proxy,
};
pub use proxy_proto::message::Health as CheckHealth;
pub use pulls::ImageSettings;
pub use recover::Parts;
pub use store::EventsOf;
pub use vault::SECRETS_KEY_FILE;
pub use vms::{Accel, VmConfig, WarmStats};

//! The wire types of the API.
//!
//! Three habits of the clients we serve shape them: `null` means absent, unknown fields are ignored,
//! and a length of time is a Go duration. Answers add fields, they never change the meaning of one.
//! Source of names and defaults: the Machines API of 2026.

pub mod addresses;
pub mod app;
pub mod bytes;
pub mod certificates;
pub mod config;
pub mod duration;
pub mod egress;
pub mod error;
pub mod events;
pub mod exec;
pub mod frame;
pub mod hooks;
pub mod host;
pub mod image;
pub mod index;
pub mod lease;
pub mod machine;
pub mod memory;
pub mod moment;
pub mod platform;
pub mod registry_auth;
pub mod request;
pub mod secret_keys;
pub mod secrets;
pub mod selfhood;
pub mod service;
pub mod shapes;
pub mod shell_words;
pub mod signal;
pub mod volumes;

pub use app::{App, AppCreated, AppList, CreateApp, Organization};
pub use config::MachineConfig;
pub use duration::GoDuration;
pub use error::ErrorBody;
pub use exec::{AttachRequest, ExecReply, ExecRequest, TerminalSize};
pub use host::{CreateToken, Doctor, Region, Regions, TokenCreated, TokenInfo, Usage};
pub use image::{
    ImageDetail, ImageInfo, ImportImage, LayerProgress, PruneImages, PrunedImages, PullImage,
    PullLine, PullProgress, Pulled,
};
pub use lease::{Lease, LeaseReply, LeaseRequest};
pub use machine::{
    CheckStatus, Event, ImageRef, Machine, MachineVersion, OrgMachine, OrgMachines, Sleep,
};
pub use request::{
    CreateMachine, MetadataChange, MetadataValue, Ok, SignalRequest, Started, StopRequest,
    WaitReply,
};

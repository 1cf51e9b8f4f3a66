//! How does it run? (behind the shim)
//!
//! An engine brings one run of one machine up and takes it down again. It lives inside the shim,
//! one instance per shim, and is as synchronous as the shim: each verb returns when it is done.
//! What the guest says is not its business; it only hands out the channel.
//!
//! * [`engine`]: the verbs, and what an engine may lack.
//! * [`container`]: namespaces of the host's kernel.
//! * [`microvm`]: a virtual machine with a kernel of its own.
//! * [`fake`]: no isolation at all, with knobs for tests.
//! * [`conformance`]: what every engine must do, as one suite.

pub mod ahead;
mod bare;
mod bpf;
mod capabilities;
mod cgroup;
pub mod conformance;
pub mod container;
pub mod engine;
pub mod error;
pub mod fake;
mod first_process;
mod launch;
pub mod microvm;
mod report;
mod sys;
mod wait;
mod watch;

pub use ahead::Ahead;
pub use cgroup::DeviceGuard;
pub use container::Container;
pub use engine::{Capabilities, Engine, Resumed, Running};
pub use error::EngineError;
pub use fake::Fake;
pub use microvm::{Microvm, unix_ns};

use shim_proto::spec::EngineSpec;

/// The engine that `spec` asks for; `ahead` is what was made before the run was known.
#[must_use]
pub fn for_spec(spec: &EngineSpec, ahead: Ahead) -> Box<dyn Engine> {
    match spec {
        EngineSpec::Container(_) => Box::new(Container::new(ahead)),
        EngineSpec::Microvm(_) => Box::new(Microvm::new(ahead)),
        EngineSpec::Fake(_) => Box::new(Fake::new()),
    }
}

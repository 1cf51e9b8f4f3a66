//! Virtual machines, by the API: what holds for every machine holds for them.
//!
//! QEMU emulates their processor here, so each test boots a kernel once, for its template.

mod accel;
mod crash;
mod crowd;
mod hostile;
mod life;
mod refused;
mod suspend;
mod together;
mod warm;

use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::{Builder, Instance, instance, report};
use tests::fixture;

/// A machine that waits.
const WAIT: &str = "exec sleep 1000";

/// An instance that has a kernel for virtual machines, and keeps none warm; `None`, and said, where none
/// can be had.
#[track_caller]
fn house() -> Option<Instance> {
    house_with("0,0")
}

/// An instance that keeps so many virtual machines warm: fewest and most.
#[track_caller]
fn house_with(warm: &str) -> Option<Instance> {
    house_of(Builder::default(), warm)
}

/// As [`house_with`], with more arguments.
#[track_caller]
fn house_of(builder: Builder, warm: &str) -> Option<Instance> {
    let builder = arguments(warm)?.iter().fold(builder, |builder, argument| builder.arg(argument));
    let probe = instance::binary("guest-probe");
    Some(fixture::with_image(builder, &[("bin/guest-probe", &probe)]))
}

/// Arguments of such an instance: emulated everywhere, so that a test is the same one on every host.
fn arguments(warm: &str) -> Option<[String; 3]> {
    Some([kernel_argument()?, format!("--vms-ready={warm}"), "--accel=tcg".to_owned()])
}

fn kernel_argument() -> Option<String> {
    kernel().map(|kernel| format!("--guest-kernel={}", kernel.display()))
}

/// The directory of the unpacked kernel.
fn kernel() -> Option<PathBuf> {
    match testkit::kernel::Kernel::fetch() {
        Ok(kernel) => Some(kernel.package()),
        Err(why) => {
            report::line("microvm", &format!("skipped virtual machines: {why}"));
            None
        }
    }
}

/// The configuration of a virtual machine that runs `script`, with `more` on top.
fn config(script: &str, more: &Value) -> Value {
    let mut config = fixture::config(script, &json!({"engine": "microvm"}));
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    config
}

/// A virtual machine that runs `script`, once it does.
#[track_caller]
fn started(instance: &Instance, script: &str, more: &Value) -> String {
    let id = instance.create_with(&json!({"config": config(script, more)}));
    instance.wait_for(&id, "started");
    id
}

//! What runs the code of guests: found out by a boot.

use crate::{WAIT, config, kernel_argument};
use serde_json::{Value, json};
use std::fs;
use testkit::{Builder, Instance};
use tests::fixture;

/// What the doctor says of virtual machines.
#[track_caller]
fn finding(instance: &Instance) -> Value {
    let doctor = instance.get("/v1/doctor").expect(200);
    let findings = doctor["findings"].as_array().expect("a list");
    findings.iter().find(|found| found["check"] == "microvm").expect("one of them").clone()
}

/// The engine of a machine that leaves it to the host, and what runs its code.
#[track_caller]
fn chosen(instance: &Instance) -> (Value, Value) {
    let id = fixture::started(instance, WAIT, &json!({"engine": "auto"}));
    let view = instance.get(&Instance::path(&id)).expect(200);
    fixture::destroy(instance, &id);
    (view["engine"].clone(), view["accel"].clone())
}

#[test]
fn kvm_is_used_where_a_guest_boots_by_it_and_nowhere_else() {
    let Some(kernel) = kernel_argument() else { return };
    let builder = Builder::default().arg(&kernel).arg("--vms-ready=0,0");
    let mut instance = fixture::with_image(builder, &[]);
    let said = finding(&instance);
    let accel = if said["level"] == "ok" { "kvm" } else { "tcg" };
    let why = said["message"].as_str().expect("a text");
    let expected = match fs::File::options().read(true).write(true).open("/dev/kvm") {
        Err(_) => "cannot be opened",
        Ok(_) if accel == "kvm" => "a guest has booted by KVM",
        Ok(_) => "no guest boots by it",
    };
    assert!(why.contains(expected), "{why}");
    let is_kvm = accel == "kvm";
    let of_host =
        if is_kvm { (json!("microvm"), json!("kvm")) } else { (json!("container"), Value::Null) };
    assert_eq!(chosen(&instance), of_host);
    // Who asks for a virtual machine gets one in any case, and is told what runs it.
    let id = instance.create_with(&json!({"config": config(WAIT, &json!({}))}));
    instance.wait_for(&id, "started");
    let view = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!((&view["engine"], &view["accel"]), (&json!("microvm"), &json!(accel)));
    let listed = instance.get("/v1/apps/test/machines?summary=true").expect(200);
    assert_eq!(listed[0]["accel"], accel, "{listed}");
    fixture::destroy(&instance, &id);
    // It is not tried again before the host boots, or anything of it is another.
    let record = instance.data_dir().join("vm/kvm.json");
    let before = fs::metadata(&record).and_then(|file| file.modified()).ok();
    instance.start_again();
    assert_eq!(finding(&instance), said);
    assert_eq!(fs::metadata(&record).and_then(|file| file.modified()).ok(), before);
}

#[test]
fn who_leaves_the_engine_to_a_host_that_emulates_gets_a_container() {
    let Some(kernel) = kernel_argument() else { return };
    let builder = Builder::default().arg(&kernel).arg("--accel=tcg");
    let instance = fixture::with_image(builder, &[]);
    assert_eq!(chosen(&instance), (json!("container"), Value::Null));
    assert_eq!(finding(&instance)["level"], "degraded");
    let instance = fixture::with_image(Builder::default().arg("--guest-kernel=/nowhere"), &[]);
    assert_eq!(chosen(&instance), (json!("container"), Value::Null), "it could run none");
    assert_eq!(finding(&instance)["level"], "missing");
}

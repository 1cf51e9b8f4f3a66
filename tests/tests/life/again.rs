//! A machine whose preparation failed for good: the cause is removed, and it is started again.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use testkit::Instance;
use tests::fixture::{config, destroy, events, with_busybox};

/// Machines' disks cannot be made while a file stands where half-made ones are put.
struct NoDisks {
    place: PathBuf,
}

impl NoDisks {
    fn below(data_dir: &Path) -> Self {
        let place = data_dir.join("tmp/disk");
        fs::remove_dir_all(&place).expect("the directory can be removed");
        fs::write(&place, "in the way").expect("a file can be put there");
        Self { place }
    }

    fn mend(self) {
        fs::remove_file(&self.place).expect("the file can be removed");
        fs::create_dir(&self.place).expect("the directory can be made again");
    }
}

/// A machine that could not be prepared, and what was in the way.
fn failed(instance: &Instance) -> (String, NoDisks) {
    let no_disks = NoDisks::below(instance.data_dir());
    let id = instance.create(&["/bin/sleep", "1000"]);
    instance.wait_for(&id, "failed");
    (id, no_disks)
}

#[test]
fn a_failed_create_is_taken_up_again_by_a_start() {
    let instance = with_busybox();
    let (id, no_disks) = failed(&instance);
    let start = format!("{}/start", Instance::path(&id));
    // As long as the cause is there, a start says what it is.
    let refusal = instance.post(&start, &Value::Null).refusal(503);
    assert!(refusal.error.contains("tmp/disk"), "{refusal:?}");
    assert_eq!(instance.state(&id), "failed");
    no_disks.mend();
    drop(instance.post(&start, &Value::Null).expect(200));
    assert_eq!(instance.state(&id), "started");
    drop(instance.sh(&id, "echo kept > /root/kept"));
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /root/kept"), "kept\n");
    destroy(&instance, &id);
}

#[test]
fn that_it_was_never_prepared_is_remembered_over_a_stop_and_a_death_of_control() {
    let instance = with_busybox();
    let (id, no_disks) = failed(&instance);
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/stop"), &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    no_disks.mend();
    instance.kill_control();
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo up"), "up\n");
    destroy(&instance, &id);
}

#[test]
fn an_update_of_what_was_never_prepared_prepares_it() {
    let instance = with_busybox();
    let (id, no_disks) = failed(&instance);
    no_disks.mend();
    let config = config("exec sleep 1000", &json!({}));
    let body = json!({"config": config, "skip_launch": false});
    drop(instance.post(&Instance::path(&id), &body).expect(200));
    instance.wait_for(&id, "started");
    assert!(events(&instance, &id).iter().any(|event| event["type"] == "failure"));
    destroy(&instance, &id);
}

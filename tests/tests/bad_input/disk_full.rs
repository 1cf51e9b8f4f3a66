//! A data directory without room. Every refusal says so, and the store opens again.

use crate::small_disk::SmallDisk;
use crate::{MACHINES, refused};
use serde_json::{Value, json};
use testkit::{Builder, Instance, Reply};
use tests::fixture;

/// Size of the file system that holds the data directory: the ballast, an image, and some.
const SIZE_BYTES: u64 = 300 * 1024 * 1024;

/// It worked, or there was no room: none for the call, or none for the outcome of the last start.
#[track_caller]
fn worked_or_full(reply: Reply) -> bool {
    if reply.status < 300 {
        return true;
    }
    let status = reply.status;
    let text = reply.text.clone();
    let refusal = reply.refusal(status);
    let is_clear = matches!(&*refusal.code, "disk_full" | "disk_pressure" | "still_starting");
    assert!(is_clear, "{text}");
    false
}

#[test]
fn without_room_everything_says_so_and_nothing_is_lost() {
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let disk = SmallDisk::at(dir.path().join("data"), SIZE_BYTES);
    let mut instance = Builder::default().in_dir(dir).start();
    instance.import_busybox(&[]);
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    drop(instance.sh(&id, "echo kept > /kept; sync"));
    instance.stop_machine(&id);

    let path = Instance::path(&id);
    for left_kib in [4096, 512, 64, 0] {
        let filler = disk.fill(left_kib);
        let config = fixture::config("exec sleep 600", &json!({}));
        let made = instance.post(MACHINES, &json!({ "config": config }));
        assert!(!worked_or_full(made), "a machine was made with {left_kib} KiB left");
        let tarball = instance.dir().join("busybox.tar");
        let import = json!({"path": tarball, "name": "again:2"});
        worked_or_full(instance.post("/v1/images/import", &import));
        worked_or_full(instance.post(&format!("{path}/start"), &Value::Null));
        worked_or_full(instance.post(&format!("{path}/stop"), &Value::Null));
        assert_eq!(instance.get("/healthz").status, 200);
        drop(filler);
        // What could not be written is written now that it can.
        instance.wait_for(&id, "settled");
        if instance.state(&id) == "started" {
            assert_eq!(instance.sh(&id, "cat /kept"), "kept\n");
            instance.stop_machine(&id);
        }
    }
    let filler = disk.fill(0);
    instance.kill_control();
    assert_eq!(instance.get("/healthz").status, 200);
    drop(filler);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /kept"), "kept\n");

    // With room again, the next create puts some aside, so that destroying always works.
    let other = fixture::started(&instance, "exec sleep 600", &json!({}));
    let filler = disk.fill(0);
    fixture::destroy(&instance, &other);
    fixture::destroy(&instance, &id);
    drop(filler);
    instance.end_process();
    instance.start_again();
    refused(instance.get(&format!("{MACHINES}/00000000000000")), 404, "machine_not_found");
    let dir = instance.into_dir();
    drop(disk);
    dir.close().expect("nothing is left in the directory");
}

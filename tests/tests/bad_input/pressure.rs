//! A data directory that fills up: nothing new is made, the fastest writer is frozen and told why, and
//! it goes on when there is room.

use crate::small_disk::{Filler, SmallDisk};
use crate::{MACHINES, refused};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use testkit::{Builder, Instance, wait};
use tests::fixture;

/// Size of the file system: sparse, and large enough that five percent of it are more than what a
/// writer still has in the page cache when it is frozen.
const SIZE_BYTES: u64 = 32 << 30;

/// What is left when the writers begin: six percent.
const LEFT_KIB: u64 = SIZE_BYTES / 1024 / 100 * 6;

/// Writes as fast as it can, once it may: more than there is room for at first.
const WRITER: &str = "until [ -e /go ]; do sleep 0.05; done; \
                      dd if=/dev/zero of=/big bs=1M count=1400 && echo done; exec sleep 600";

/// Writes a little at a time, and leaves nothing behind in the page cache.
const STEADY_WRITER: &str = "until [ -e /go ]; do sleep 0.05; done; i=0; \
    while [ $i -lt 200 ]; do dd if=/dev/zero of=/f$i bs=1M count=8 conv=fsync; i=$((i+1)); done; \
    exec sleep 600";

/// Messages of the machine's events that begin like this.
fn messages(instance: &Instance, id: &str, begin: &str) -> Vec<String> {
    let events = fixture::events(instance, id);
    let texts = events.iter().filter_map(|event| event["message"].as_str());
    texts.filter(|text| text.starts_with(begin)).map(str::to_owned).collect()
}

/// Takes all room but a little; a refusal makes the host look at what has changed so suddenly.
#[track_caller]
fn fill(disk: &SmallDisk, instance: &Instance) -> Filler {
    let filler = disk.fill(LEFT_KIB);
    let new = json!({ "config": fixture::config("exec sleep 600", &json!({})) });
    refused(instance.post(MACHINES, &new), 507, "disk_pressure");
    filler
}

/// Lets the writer write, and waits until the host has frozen it.
#[track_caller]
fn write_until_frozen(instance: &Instance, id: &str) {
    drop(instance.sh(id, "touch /go"));
    instance.wait_for(id, "suspended");
    let told = messages(instance, id, "frozen: the data disk has ");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("and this machine wrote "), "{told:?}");
}

/// Whether the room that keeps destroying possible is set aside.
fn has_ballast(instance: &Instance) -> bool {
    let file = instance.data_dir().join("ballast").metadata();
    file.is_ok_and(|file| file.blocks() * 512 >= 64 << 20)
}

#[track_caller]
fn start_is_refused(instance: &Instance, id: &str) {
    let start = instance.post(&format!("{}/start", Instance::path(id)), &Value::Null);
    refused(start, 507, "disk_pressure");
}

#[test]
fn the_fastest_writer_is_frozen_before_the_disk_is_full_and_thawed_when_there_is_room() {
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let disk = SmallDisk::at(dir.path().join("data"), SIZE_BYTES);
    let instance = Builder::default().in_dir(dir).start();
    instance.import_busybox(&[]);
    let writer = fixture::started(&instance, WRITER, &json!({}));
    let second = fixture::started(&instance, WRITER, &json!({}));
    let quiet = fixture::started(&instance, "exec sleep 600", &json!({}));

    let filler = fill(&disk, &instance);
    let import = json!({"path": instance.dir().join("busybox.tar"), "name": "again:2"});
    refused(instance.post("/v1/images/import", &import), 507, "disk_pressure");

    write_until_frozen(&instance, &writer);
    assert!(disk.free_kib() > 0, "it was frozen before the disk was full");
    assert_eq!(instance.sh(&quiet, "echo here"), "here\n");
    assert_eq!(instance.state(&second), "started", "it has not written");
    start_is_refused(&instance, &writer);
    instance.kill_control();
    assert_eq!(instance.state(&writer), "suspended");
    start_is_refused(&instance, &writer);

    drop(filler);
    instance.wait_for(&writer, "started");
    assert_eq!(messages(&instance, &writer, "thawed: the data disk has ").len(), 1);
    wait::eventually("it writes all", || {
        instance.log(&writer).contains(&"done".into()).then_some(())
    });

    let filler = fill(&disk, &instance);
    write_until_frozen(&instance, &second);
    let to_the_brim = disk.fill(0);
    assert_eq!(instance.state(&second), "suspended");
    fixture::destroy(&instance, &second);
    drop(to_the_brim);
    drop(filler);
    wait::eventually("the ballast is made again", || has_ballast(&instance).then_some(()));
    assert_eq!(instance.sh(&quiet, "echo here"), "here\n");
    assert!(messages(&instance, &quiet, "frozen").is_empty());
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    for id in [id, quiet, writer] {
        fixture::destroy(&instance, &id);
    }
    let dir = instance.into_dir();
    drop(disk);
    dir.close().expect("nothing is left in the directory");
}

#[test]
fn a_machine_put_to_sleep_by_its_owner_meanwhile_sleeps_on() {
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let disk = SmallDisk::at(dir.path().join("data"), SIZE_BYTES);
    let instance = Builder::default().in_dir(dir).start();
    instance.import_busybox(&[]);
    let kept = fixture::started(&instance, STEADY_WRITER, &json!({}));
    let thawed = fixture::started(&instance, STEADY_WRITER, &json!({}));
    let filler = fill(&disk, &instance);
    write_until_frozen(&instance, &kept);
    drop(instance.post(&format!("{}/suspend", Instance::path(&kept)), &Value::Null).expect(200));
    write_until_frozen(&instance, &thawed);
    drop(filler);
    instance.wait_for(&thawed, "started");
    assert_eq!(instance.state(&kept), "suspended");
    instance.start_machine(&kept);
    for id in [kept, thawed] {
        fixture::destroy(&instance, &id);
    }
    let dir = instance.into_dir();
    drop(disk);
    dir.close().expect("nothing is left in the directory");
}

/// The time of a start must not grow with what the run before has left: the disk is not emptied, it
/// gives way to a new one.
#[test]
fn a_disk_that_is_never_kept_gives_way_to_a_new_one_however_many_files_were_on_it() {
    let instance = fixture::with_busybox();
    let script = "cd /root; echo $(ls | wc -l); mkdir a && cd a; i=0; \
                  while [ $i -lt 20000 ]; do : >f$i; i=$((i+1)); done; echo full; exec sleep 600";
    let never = json!({"rootfs": {"persist": "never"}});
    let id = fixture::started(&instance, script, &never);
    let full = || instance.log(&id).iter().filter(|line| *line == "full").count();
    let disk = instance.data_dir().join("machines").join(&id).join("disk.ext4");
    let inode = || std::fs::metadata(&disk).expect("a disk").ino();
    for n in 1..=3 {
        wait::eventually("it has written its files", || (full() == n).then_some(()));
        instance.stop_machine(&id);
        let old = inode();
        instance.start_machine(&id);
        assert_ne!(inode(), old, "the disk is the one of the run before");
    }
    let lines = instance.log(&id);
    assert!(lines.iter().all(|line| line == "0" || line == "full"), "{lines:?}");
    fixture::destroy(&instance, &id);
}

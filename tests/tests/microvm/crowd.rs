//! Many virtual machines from one template: each is itself.

use crate::{WAIT, house, started};
use model::clock;
use serde_json::json;
use std::collections::HashSet;
use std::thread;
use testkit::Instance;
use tests::fixture::{self, PROBE};

/// Machines that are compared.
const N_COMPARED: usize = 20;

/// Machines that wake at once.
const N_WOKEN: usize = 50;

/// What a guest's clock may be off, in milliseconds.
const CLOCK_OFF_MAX_MS: u64 = 50;

/// What two machines must not have in common: what their kernels drew, and what a program draws to tell
/// itself from others, as its host key or the machine's id.
const OWN: &str = "cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; \
                   busybox hexdump -n 32 -v -e '32/1 \"%02x\" \"\\n\"' /dev/urandom; busybox hostname";

/// The guest's clock lies between two looks at the host's.
#[track_caller]
fn assert_has_the_time(instance: &Instance, id: &str) {
    let before = clock::now().0;
    let said = instance.sh(id, &format!("{PROBE} clock"));
    let after = clock::now().0;
    let inside: u64 = said.trim().parse().expect("milliseconds");
    let right = before - CLOCK_OFF_MAX_MS..=after + CLOCK_OFF_MAX_MS;
    assert!(right.contains(&inside), "{inside} is not in {right:?}");
}

#[test]
fn those_from_one_template_have_nothing_of_each_other() {
    let Some(instance) = house() else { return };
    let ids: Vec<String> = (0..N_COMPARED).map(|_| started(&instance, WAIT, &json!({}))).collect();
    let mut seen = HashSet::new();
    for id in &ids {
        let said = instance.sh(id, OWN);
        assert_eq!(said.lines().count(), 4, "{said}");
        for line in said.lines() {
            assert!(seen.insert(line.to_owned()), "twice: {line}");
        }
        assert_has_the_time(&instance, id);
    }
    for id in &ids {
        fixture::destroy(&instance, id);
    }
}

#[test]
fn many_wake_from_disk_at_once() {
    let Some(instance) = house() else { return };
    let ids: Vec<String> = (0..N_WOKEN)
        .map(|n| {
            let id = started(&instance, WAIT, &json!({}));
            drop(instance.sh(&id, &format!("echo {n} >/dev/shm/number")));
            drop(
                instance.post(&format!("{}/suspend", Instance::path(&id)), &json!({})).expect(200),
            );
            instance.wait_for(&id, "suspended");
            id
        })
        .collect();
    thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| instance.start_machine(id));
        }
    });
    for (n, id) in ids.iter().enumerate() {
        let said = instance.sh(id, "cat /dev/shm/number");
        assert_eq!(said.trim(), n.to_string());
        fixture::destroy(&instance, id);
    }
}

#[test]
fn disks_of_all_sizes_come_from_one_template() {
    let Some(instance) = house() else { return };
    for gib in [1_u64, 8, 20] {
        let id = started(&instance, WAIT, &json!({"rootfs": {"size_gb": gib}}));
        let sectors = instance.sh(&id, "cat /sys/class/block/vdb/size");
        assert_eq!(sectors.trim(), ((gib << 30) / 512).to_string());
        fixture::destroy(&instance, &id);
    }
}

//! A guest that does not keep to what is said between it and its host: somebody with all rights in it has
//! taken init's port, or holds init. It harms itself alone, and can be got rid of.

use crate::life::last_exit;
use crate::{WAIT, house, started};
use serde_json::json;
use testkit::{Instance, eventually};
use tests::fixture;

/// A file on the disk of the machine, written when its script has come to its point.
const DONE: &str = "/done";

/// A virtual machine that does not come up again by itself, in which `script` has been begun, and a
/// container that has nothing to do with it.
#[track_caller]
fn with_script(instance: &Instance, script: &str) -> [String; 2] {
    let container = fixture::started(instance, WAIT, &json!({}));
    let more = json!({"restart": {"policy": "no"}, "stop_config": {"timeout": "1s"}});
    let id = started(instance, WAIT, &more);
    drop(instance.sh(&id, script));
    [id, container]
}

/// The container notices nothing, the machine stops when it is asked to, and nothing is left of either.
#[track_caller]
fn check(instance: &Instance, [id, container]: [String; 2]) {
    assert_eq!(instance.sh(&container, "echo here").trim(), "here");
    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &json!({})).expect(200));
    instance.wait_for(&id, "stopped");
    // What was hostile in its RAM is gone with that.
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, &format!("cat {DONE}")).trim(), "done");
    fixture::destroy(instance, &id);
    fixture::destroy(instance, &container);
}

/// Waits until a command in the machine is not answered within a second.
#[track_caller]
fn wait_until_unheard(instance: &Instance, id: &str) {
    let body = json!({"command": ["/bin/true"], "timeout": 1});
    let path = format!("{}/exec", Instance::path(id));
    eventually("nothing is heard of init", || {
        (instance.post(&path, &body).status != 200).then_some(())
    });
}

/// Takes init's port from it, to say on it what `what` stands for.
fn abuse(what: &str) -> String {
    format!("guest-probe port {what} {DONE} >/dev/null 2>&1 &")
}

#[track_caller]
fn check_unheard(what: &str) {
    let Some(instance) = house() else { return };
    let machines = with_script(&instance, &abuse(what));
    wait_until_unheard(&instance, &machines[0]);
    check(&instance, machines);
}

#[test]
fn garbage_from_a_guest_is_its_end() {
    let Some(instance) = house() else { return };
    let [id, container] = with_script(&instance, &abuse("garbage"));
    instance.wait_for(&id, "stopped");
    let exit = last_exit(&instance, &id);
    assert_eq!(exit["guest_signal"], 9, "{exit}");
    assert_eq!(exit["guest_error"], "the guest init spoke nonsense", "{exit}");
    check(&instance, [id, container]);
}

#[test]
fn a_flood_from_a_guest_drowns_nobody() {
    check_unheard("flood");
}

#[test]
fn what_a_guest_says_of_things_that_are_not_is_not_believed() {
    check_unheard("lies");
}

/// Puts init into a control group, and stops that for `$FOR` seconds once this command is over.
const HOLD: &str = "d=/sys/fs/cgroup/held; mkdir $d; echo 1 >$d/cgroup.procs; echo done >/done; sync; \
                    (sleep 0.2; echo 1 >$d/cgroup.freeze; sleep $FOR; echo 0 >$d/cgroup.freeze) \
                    >/dev/null 2>&1 &";

#[test]
fn a_guest_that_answers_no_more_can_be_stopped() {
    let Some(instance) = house() else { return };
    let machines = with_script(&instance, &format!("FOR=1000; {HOLD}"));
    wait_until_unheard(&instance, &machines[0]);
    check(&instance, machines);
}

#[test]
fn a_guest_that_answers_late_is_heard() {
    let Some(instance) = house() else { return };
    let [id, container] = with_script(&instance, &format!("FOR=4; {HOLD}"));
    wait_until_unheard(&instance, &id);
    assert_eq!(instance.sh(&id, "echo late").trim(), "late");
    check(&instance, [id, container]);
}

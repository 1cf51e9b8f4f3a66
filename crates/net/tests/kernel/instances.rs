//! Instances: side by side, half made, gone.

use crate::world::{RED, World, eventually, ip, on_private_host, output_of};
use model::InstanceTag;
use net::instance;
use net::router::{Egress, uplink_name};
use rustix::mount::UnmountFlags;
use std::fs;
use std::path::Path;

fn mounts_below(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().expect("text");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    mounts.lines().filter(|line| line.contains(dir)).map(str::to_owned).collect()
}

#[test]
fn two_instances_with_the_same_addresses_never_meet() {
    let mut left = World::new();
    let left_guests = [left.guest(RED, 1), left.guest(RED, 2)];
    left.step_out();
    let right = World::new();
    let right_guests = [right.guest(RED, 1), right.guest(RED, 3)];
    for own in left_guests[1].ips() {
        left_guests[0].greets(&left_guests[1], own).expect("on the left");
        right_guests[0].greets(&left_guests[1], own).expect_err("nobody has it on the right");
    }
    for own in right_guests[1].ips() {
        right_guests[0].greets(&right_guests[1], own).expect("on the right");
        left_guests[0].greets(&right_guests[1], own).expect_err("nobody has it on the left");
    }
}

/// Links into the router and into a slot stand for the two namespaces: each is gone when the
/// namespace of its other end is.
#[test]
fn destroying_an_instance_leaves_nothing() {
    on_private_host(|| {
        let mut world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);
        let host = rustix::thread::gettid().as_raw_nonzero();
        a.run(|| ip(&format!("link add probe type veth peer name probe-host netns {host}")));
        drop(a);
        let dir = world.runtime_dir().to_owned();
        let up = uplink_name(&world.tag);
        let links = || ip("-o link show");
        assert!(links().contains("probe-host") && links().contains(&up));
        assert!(output_of("nft", "list tables").contains("dormouse_"));

        world.step_out();
        drop(world);
        eventually("no link", || !links().contains("probe-host") && !links().contains(&up));
        assert_eq!(output_of("nft", "list tables"), "");
        assert_eq!(mounts_below(&dir), Vec::<String>::new());
    });
}

#[test]
fn entering_again_finds_the_same_instance() {
    let host_mount = fs::File::open("/proc/thread-self/ns/mnt").expect("the host's");
    let world = World::new();
    let a = world.guest(RED, 1);
    let mine = fs::read_link("/proc/thread-self/ns/mnt").expect("a link");
    let again = std::thread::spawn({
        let dir = world.runtime_dir().to_owned();
        move || {
            enter_mount(&host_mount);
            instance::enter(&dir).expect("entered again");
            fs::read_link("/proc/thread-self/ns/mnt").expect("a link")
        }
    });
    assert_eq!(again.join().expect("no panic"), mine);
    drop(a);
}

fn enter_mount(fd: &fs::File) {
    use std::os::fd::AsFd as _;
    // SAFETY: only the thread's view of the file system becomes its own.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }.expect("own view");
    let kind = rustix::thread::LinkNameSpaceType::Mount;
    rustix::thread::move_into_link_name_space(fd.as_fd(), Some(kind)).expect("entered");
}

#[test]
fn a_half_made_instance_is_completed_or_destroyed() {
    let tag: InstanceTag = "abcde".parse().expect("a tag");
    let bind = |dir: &Path| rustix::mount::mount_bind(dir, dir).expect("bound");
    type MakeHalf<'a> = &'a dyn Fn(&Path);
    let halves: [(&str, MakeHalf<'_>); 5] = [
        ("nothing", &|_| {}),
        ("a self-bind", &bind),
        ("two self-binds", &|dir| {
            bind(dir);
            bind(dir);
        }),
        ("a pin file below the self-bind", &|dir| {
            fs::write(dir.join("mnt"), "").expect("written");
            bind(dir);
        }),
        ("an empty directory for pins", &|dir| {
            bind(dir);
            fs::write(dir.join("mnt"), "").expect("written");
            fs::create_dir(dir.join("ns")).expect("made");
        }),
    ];
    for (what, make_half) in halves {
        for complete in [true, false] {
            let dir = tempfile::tempdir().expect("a directory");
            make_half(dir.path());
            if complete {
                instance::enter(dir.path()).expect(what).leave().expect(what);
            }
            instance::destroy(dir.path(), &tag).expect(what);
            instance::destroy(dir.path(), &tag).expect("twice is once");
            assert_eq!(mounts_below(dir.path()), Vec::<String>::new(), "{what}");
            assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "{what}");
        }
    }
}

/// A child that copies the instance's mounts as a slave must not keep unmounted ones alive.
#[test]
fn unmounts_reach_the_copies_of_children() {
    let world = World::new();
    let place = world.instance().pins().join("mounted-later");
    fs::create_dir(&place).expect("made");
    rustix::mount::mount_bind(&place, &place).expect("bound");
    let (to_child, from_parent) = std::sync::mpsc::channel::<()>();
    let (to_parent, from_child) = std::sync::mpsc::channel::<usize>();
    let child = std::thread::spawn({
        let place = place.clone();
        move || {
            use rustix::mount::MountPropagationFlags;
            // SAFETY: the thread gets its own mounts; its descriptors stay shared.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
                .expect("own mounts");
            let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", slave).expect("a slave");
            to_parent.send(mounts_below(&place).len()).expect("heard");
            from_parent.recv().expect("told");
            to_parent.send(mounts_below(&place).len()).expect("heard");
        }
    });
    assert_eq!(from_child.recv().expect("said"), 1);
    rustix::mount::unmount(&place, UnmountFlags::empty()).expect("unmounted");
    to_child.send(()).expect("told");
    assert_eq!(from_child.recv().expect("said"), 0);
    child.join().expect("no panic");
}

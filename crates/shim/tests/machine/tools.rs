//! The tools of the host, in every machine and part of no image.

use crate::world::{World, init_path};
use shim_proto::RunSpec;
use shim_proto::spec::EngineSpec;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

/// Runs `script` in a machine that has a tool `dm`.
#[track_caller]
fn output(world: &World, script: &str) -> Vec<String> {
    let record = world.run_to_end(with_tool(world, world.sh(script)));
    assert_eq!(record.code, Some(0), "{:?}", world.log());
    world.log().iter().map(|line| line.trim_start_matches("stdout F ").to_owned()).collect()
}

fn with_tool(world: &World, mut spec: RunSpec) -> RunSpec {
    let (init, tool) = (world.path("init/dormouse-init"), world.path("init/bin/dm"));
    fs::create_dir_all(world.path("init/bin")).expect("made");
    fs::copy(init_path(), &init).expect("copied");
    fs::write(&tool, "#!/bin/sh\necho the tool has \"$@\"\n").expect("written");
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).expect("changed");
    let EngineSpec::Container(container) = &mut spec.engine else { panic!("a container") };
    container.init_path = init;
    spec
}

#[test]
fn programs_and_commands_find_the_tool() {
    let world = World::new();
    let lines = output(
        &world,
        "echo $PATH; dm 1; /.fly/dm 2; /.dormouse/dm 3; busybox su -s /bin/sh me -c '/.fly/dm 4'",
    );
    let expected =
        ["/bin:/.fly/bin", "the tool has 1", "the tool has 2", "the tool has 3", "the tool has 4"];
    assert_eq!(lines, expected);
    world.assert_nothing_left();
}

#[test]
fn nobody_inside_can_change_the_tool() {
    let world = World::new();
    let attempts = [
        "echo x >>/.fly/bin/dm",
        "busybox rm -f /.fly/bin/dm",
        "busybox chmod 777 /.fly/bin/dm",
        "busybox touch /.fly/bin/more",
        "busybox mv /.fly/bin /.fly/elsewhere",
        "busybox umount /.fly/bin",
        "busybox mount -o remount,rw /.fly/bin",
    ];
    let script: String = attempts
        .iter()
        .map(|attempt| format!("({attempt}) >/dev/null 2>&1 && echo \"{attempt}\"\n"))
        .collect();
    let lines = output(&world, &format!("{script} dm still"));
    assert_eq!(lines, ["the tool has still"]);
    let tool = fs::read_to_string(world.path("init/bin/dm")).expect("read");
    assert_eq!(tool.lines().count(), 2);
}

#[test]
fn a_program_of_the_image_comes_first() {
    let world = World::dressed(|tree| {
        fs::write(tree.join("bin/dm"), "#!/bin/sh\necho its own\n").expect("written");
        fs::set_permissions(tree.join("bin/dm"), Permissions::from_mode(0o755)).expect("changed");
    });
    assert_eq!(output(&world, "dm 1; /.fly/dm 2"), ["its own", "the tool has 2"]);
}

//! Every engine is held to the same promises.

use crate::world::World;
use engine::{Ahead, conformance, for_spec};
use shim_proto::spec::{EngineSpec, FakeSpec};

#[test]
fn the_container_engine_conforms() {
    let world = World::new();
    let spec = world.run(&["/bin/sleep", "1000"]);
    conformance::run(&mut || for_spec(&spec.engine, Ahead::nothing()), &spec);
    world.assert_nothing_left();
}

#[test]
fn the_container_engine_conforms_without_a_user_namespace() {
    let world = World::new();
    let mut spec = world.run(&["/bin/sleep", "1000"]);
    if let EngineSpec::Container(container) = &mut spec.engine {
        container.userns_path = None;
    }
    conformance::run(&mut || for_spec(&spec.engine, Ahead::nothing()), &spec);
    world.assert_nothing_left();
}

#[test]
fn the_fake_engine_conforms() {
    let world = World::new();
    let mut spec = world.run(&["anything"]);
    for freeze_fails in [false, true] {
        let knobs = FakeSpec { freeze_fails, ..FakeSpec::default() };
        spec.engine = EngineSpec::Fake(knobs);
        conformance::run(&mut || for_spec(&spec.engine, Ahead::nothing()), &spec);
    }
}

//! Random stacks of layers become what another tool makes of them.
//!
//! Each round draws layers, lets `umoci unpack` and this room make a tree of them, and compares the
//! trees: names, types, permissions, owners, contents, targets, attributes, hard links and the times
//! of files. The seed is printed; `DORMOUSE_SEED=<n>` draws the same stacks again.

mod draw;
mod tree;

use crate::archive::LayoutWriter;
use crate::common::{Bench, run};
use draw::stacks;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};
use tree::tree_of;

/// Time for all rounds.
const ROUNDS_MAX: Duration = Duration::from_secs(20);

/// Rounds, if there is time for them: what 20 s suffice for on two slow cores, and more.
const N_ROUNDS: u32 = 120;

/// Rounds that any host must get through to call this a test.
const N_ROUNDS_MIN: u32 = 5;

const SEED_VARIABLE: &str = "DORMOUSE_SEED";

fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => RandomState::new().hash_one("a new seed for each run"),
    }
}

/// Unpacks a stack both ways and compares.
fn compare(layers: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let bench = Bench::new();
    let layout = LayoutWriter::new(&bench.path("oci"));
    let mut manifest = layout.image(layers);
    manifest["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "stack"});
    layout.finish(&[manifest]);
    run(bench.dir.path(), "umoci", &["unpack", "--image", "oci:stack", "bundle"]);
    let expected = tree_of(&bench.path("bundle/rootfs"));
    let imported =
        bench.store.import(image::ImportSource::Path(bench.path("oci")), "test:stack", &());
    let imported = imported.map_err(|error| TestCaseError::fail(crate::common::chain(&error)))?;
    let actual = bench.view(&imported.image_ref.digest, tree_of);
    for name in expected.keys().chain(actual.keys()) {
        let (ours, theirs) = (actual.get(name), expected.get(name));
        if ours != theirs {
            return Err(TestCaseError::fail(format!("`{name}`: {ours:?}, umoci: {theirs:?}")));
        }
    }
    Ok(())
}

#[test]
fn a_stack_of_layers_is_what_umoci_makes_of_it() {
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: N_ROUNDS, failure_persistence: None, ..Config::default() };
    // A failure gets as much time again to become small.
    let deadline = Cell::new(Instant::now() + ROUNDS_MAX);
    let n_done = Cell::new(0);
    let result = TestRunner::new_with_rng(config, rng).run(&stacks(), |stack| {
        if Instant::now() > deadline.get() {
            return Ok(());
        }
        n_done.set(n_done.get() + 1);
        let compared = compare(&stack.layers());
        if compared.is_err() {
            deadline.set(deadline.get().max(Instant::now() + ROUNDS_MAX / 2));
        }
        compared
    });
    match result {
        Ok(()) => {
            println!("{} stacks, seed {seed}", n_done.get());
            assert!(n_done.get() >= N_ROUNDS_MIN, "only {} rounds in time", n_done.get());
        }
        Err(TestError::Fail(why, stack)) => {
            panic!("{SEED_VARIABLE}={seed}: {why}\nsmallest stack found:\n{}", stack.described(),)
        }
        Err(error) => panic!("{SEED_VARIABLE}={seed}: {error}"),
    }
}

//! Images that nobody needs go; those that somebody needs stay, whatever the plan said.

use crate::archive::{Archive, write_layout};
use crate::common::{Bench, open_store};
use image::{ImageSizes, Keep, PruneCandidate, plan_prune};
use model::ids::Digest;
use model::units::UnixMs;
use std::collections::HashSet;
use std::str::FromStr as _;

/// More images than a busy host has.
const N_IMAGES: usize = 300;

fn import(bench: &Bench, n: u8) -> Digest {
    let dir = bench.path(&format!("oci{n}"));
    write_layout(&dir, &[Archive::new().file("a", &[n]).finish()]);
    bench.import(&dir).unwrap().image_ref.digest
}

fn candidate(bench: &Bench, digest: &Digest, last_used: u64, is_in_use: bool) -> PruneCandidate {
    let size_bytes = bench.store.sizes().unwrap()[digest].size_bytes;
    let (digest, last_used_at) = (digest.clone(), UnixMs(last_used));
    PruneCandidate { digest, size_bytes, last_used_at, is_in_use }
}

fn listed(bench: &Bench) -> HashSet<Digest> {
    bench.store.list().unwrap().into_iter().map(|meta| meta.digest).collect()
}

#[test]
fn a_plan_is_carried_out_as_far_as_the_record_lets_go() {
    let bench = Bench::new();
    let [used, old, contested, recent] = [1, 2, 3, 4].map(|n| import(&bench, n));
    let candidates = [
        candidate(&bench, &used, 1, true),
        candidate(&bench, &old, 2, false),
        candidate(&bench, &contested, 3, false),
        candidate(&bench, &recent, 4, false),
    ];
    let plan = plan_prune(&candidates, Keep::Last(1));
    assert_eq!(listed(&bench).len(), 4, "a plan changes nothing");
    // Between the plan and its execution somebody made a machine from this one.
    let let_go = |digest: &Digest| *digest != contested;
    let outcome = bench.store.prune(&plan, let_go, model::clock::now()).unwrap();
    assert_eq!((outcome.removed, outcome.kept), (vec![old], vec![contested.clone()]));
    assert_eq!(outcome.freed_bytes, candidates[1].size_bytes);
    assert_eq!(listed(&bench), HashSet::from([used, contested.clone(), recent]));
    // The mark of the attempt is gone: it is not taken for one that nobody recorded.
    let moved = bench.store.reconcile(&HashSet::new()).unwrap();
    let is_it = |name: String| name.contains(contested.hex());
    assert!(moved.iter().any(|path| is_it(path.display().to_string())), "{moved:?}");
}

#[test]
fn documents_that_others_have_too_count_as_shared_and_stay() {
    let bench = Bench::new();
    let digest = import(&bench, 1);
    let alone = bench.store.sizes().unwrap()[&digest];
    let meta = bench.store.meta(&digest).unwrap();
    assert_eq!(alone.shared_bytes, 0);
    assert!(alone.size_bytes > meta.size_bytes, "documents count");
    // Another manifest of the same config: an annotation makes the difference.
    let layout = crate::archive::LayoutWriter::new(&bench.path("other"));
    let layers = [Archive::new().file("a", &[1]).finish()];
    let manifest = layout.image(&layers);
    let path = bench.path("other/blobs/sha256");
    let hex = manifest["digest"].as_str().unwrap().replace("sha256:", "");
    let mut document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join(hex)).unwrap()).unwrap();
    document["annotations"] = serde_json::json!({"made": "again"});
    let manifest = layout.document(&document, crate::archive::MANIFEST);
    layout.finish(&[manifest]);
    let other = bench.import(&bench.path("other")).unwrap().image_ref.digest;
    assert_ne!(other, digest);
    let config_bytes = crate::archive::config_of(&layers).len();
    let shared = bench.store.sizes().unwrap()[&digest].shared_bytes;
    assert_eq!(shared, u64::try_from(config_bytes).unwrap());
    bench.store.remove(&other).unwrap();
    bench.store.verify(&digest).unwrap();
    assert_eq!(bench.store.sizes().unwrap()[&digest], alone);
}

#[test]
fn prune_takes_the_blobs_of_pulls_that_ended() {
    let bench = Bench::new();
    let remote = crate::pull::Remote::of_file(b"1");
    let ended = remote.begin(&bench.store).unwrap();
    remote.send_all(&ended).unwrap();
    drop(ended);
    let other = crate::pull::Remote::of_file(b"2");
    let under_way = other.begin(&bench.store).unwrap();
    other.send_all(&under_way).unwrap();
    let plan = plan_prune(&[], Keep::Nothing);
    bench.store.prune(&plan, |_| true, model::clock::now()).unwrap();
    assert_eq!(std::fs::read_dir(bench.path("data/blobs/sha256")).unwrap().count(), 2);
    assert_eq!(under_way.missing_bytes(), 0, "what is under way keeps its blobs");
    drop(under_way);
    open_store(bench.dir.path()).prune(&plan, |_| true, model::clock::now()).unwrap();
    bench.assert_nothing_left();
}

#[test]
fn the_sizes_of_many_images_come_from_one_look_at_each() {
    let bench = Bench::new();
    let digest = import(&bench, 1);
    let record =
        std::fs::read_to_string(bench.path("data/images").join(digest.hex()).join("meta.json"));
    let record = record.unwrap();
    let others = (1..N_IMAGES).map(|n| Digest::from_str(&format!("sha256:{n:064x}")).unwrap());
    for other in others.clone() {
        let dir = bench.path("data/images").join(other.hex());
        std::fs::create_dir(&dir).unwrap();
        let record = record.replace(digest.as_str(), other.as_str());
        std::fs::write(dir.join("meta.json"), record).unwrap();
    }
    let sizes = bench.store.sizes().unwrap();
    assert_eq!(sizes.len(), N_IMAGES);
    let (meta, shared_bytes) = (bench.store.meta(&digest).unwrap(), sizes[&digest].shared_bytes);
    assert!(shared_bytes > 0, "they have the same config");
    for other in others.clone() {
        let expected = ImageSizes { size_bytes: meta.size_bytes + shared_bytes, shared_bytes };
        assert_eq!(sizes[&other], expected, "{other}");
    }
    let gone = others.clone().next().unwrap();
    std::fs::remove_dir_all(bench.path("data/images").join(gone.hex())).unwrap();
    assert_eq!(bench.store.sizes().unwrap().len(), N_IMAGES - 1);
}

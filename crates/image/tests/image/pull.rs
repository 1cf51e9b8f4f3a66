//! Blobs that come from elsewhere become an image, or go.

use crate::archive::{Archive, CONFIG, INDEX, LAYER, MANIFEST, config_of, descriptor, gzip, zstd};
use crate::common::{Bench, chain, open_store};
use image::{BlobRef, BlobState, BlobWriter, ImageError, ImageStore, ImportedImage, Limits, Pull};
use model::spec::ImageRef;
use model::units::UnixMs;
use serde_json::json;
use sha2::Digest as _;
use std::time::Duration;

/// An image as a registry has it.
pub(crate) struct Remote {
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Remote {
    /// The image of these layers: each an archive, its blob, and the blob's type.
    pub(crate) fn new(layers: &[(Vec<u8>, Vec<u8>, &str)]) -> Self {
        let plain: Vec<_> = layers.iter().map(|(plain, ..)| plain.clone()).collect();
        let config = config_of(&plain);
        let refs = layers.iter().map(|(_, blob, media_type)| descriptor(blob, media_type));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(&config, CONFIG),
            "layers": refs.collect::<Vec<_>>(),
        });
        let blobs = [config].into_iter().chain(layers.iter().map(|(_, blob, _)| blob.clone()));
        Self { manifest: manifest.to_string().into_bytes(), blobs: blobs.collect() }
    }

    /// The image of one file.
    pub(crate) fn of_file(content: &[u8]) -> Self {
        let plain = Archive::new().file("a", content).finish();
        let blob = gzip(&plain);
        Self::new(&[(plain, blob, LAYER)])
    }

    pub(crate) fn begin(&self, store: &ImageStore) -> Result<Pull, ImageError> {
        store.begin_pull(MANIFEST, self.manifest.clone(), vec![], model::clock::now())
    }

    fn bytes(&self, blob: &BlobRef) -> &[u8] {
        let is_it = |bytes: &&Vec<u8>| crate::archive::hex_digest(bytes) == blob.digest.hex();
        self.blobs.iter().find(is_it).expect("a blob of this image")
    }

    /// Writes what is missing of a blob.
    fn send(&self, mut writer: Box<BlobWriter>) -> Result<(), ImageError> {
        let bytes = self.bytes(writer.blob()).to_vec();
        let from = usize::try_from(writer.offset()).unwrap();
        for chunk in bytes[from..].chunks(100_000) {
            writer.write(chunk)?;
        }
        writer.finish()
    }

    /// Brings every blob.
    pub(crate) fn send_all(&self, pull: &Pull) -> Result<(), ImageError> {
        pull.blobs().iter().try_for_each(|blob| match pull.state(blob)? {
            BlobState::Present => Ok(()),
            BlobState::Wanted(writer) => self.send(writer),
            BlobState::Elsewhere => panic!("nobody else pulls"),
        })
    }

    /// The whole way.
    pub(crate) fn pull(&self, store: &ImageStore) -> Result<ImportedImage, ImageError> {
        let pull = self.begin(store)?;
        self.send_all(&pull)?;
        let image_ref = name(&pull);
        store.derive(pull, image_ref, &())
    }
}

pub(crate) fn name(pull: &Pull) -> ImageRef {
    ImageRef {
        registry: "registry.test".to_owned(),
        repository: "team/app".to_owned(),
        tag: "1".to_owned(),
        digest: pull.digest().clone(),
    }
}

fn writer(pull: &Pull, blob: &BlobRef) -> Box<BlobWriter> {
    match pull.state(blob).unwrap() {
        BlobState::Wanted(writer) => writer,
        other => panic!("{other:?}"),
    }
}

fn names(bench: &Bench, dir: &str) -> usize {
    std::fs::read_dir(bench.path("data/blobs").join(dir)).unwrap().count()
}

/// Checks that only what the images need is left of all pulls.
#[track_caller]
fn assert_blobs(bench: &Bench, n_documents: usize) {
    let n = ["partial", "pulls", "sha256"].map(|dir| names(bench, dir));
    assert_eq!(n, [0, 0, n_documents], "partial blobs, records of pulls, whole blobs");
}

#[test]
fn a_pulled_image_is_derived_and_its_layers_go() {
    let bench = Bench::new();
    let [low, high] = [("a", b"1"), ("b", b"2")];
    let low = Archive::new().file(low.0, low.1).finish();
    let high = Archive::new().file(high.0, high.1).file(".wh.a", b"").finish();
    let (gz, zst) = (gzip(&low), zstd(&high));
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let oci = "application/vnd.oci.image.layer.v1.tar+zstd";
    let plain = Archive::new().file("c", b"3").finish();
    let remote = Remote::new(&[
        (low, gz, docker),
        (high, zst, oci),
        (plain.clone(), plain, "application/vnd.oci.image.layer.v1.tar"),
    ]);
    let pulled = remote.pull(&bench.store).unwrap();
    assert!(pulled.is_new);
    assert_eq!(pulled.image_ref.registry, "registry.test");
    bench.view(&pulled.image_ref.digest, |root| {
        assert!(!root.join("a").exists());
        assert_eq!(std::fs::read(root.join("b")).unwrap(), b"2");
        assert_eq!(std::fs::read(root.join("c")).unwrap(), b"3");
    });
    assert_blobs(&bench, 2);
    let again = remote.pull(&bench.store).unwrap();
    assert!(!again.is_new);
    assert_blobs(&bench, 2);
    bench.store.remove(&pulled.image_ref.digest).unwrap();
    bench.assert_nothing_left();
}

#[test]
fn a_pulled_image_and_an_imported_one_are_the_same() {
    let bench = Bench::new();
    let layers = [Archive::new().file("a", b"1").finish()];
    crate::archive::write_layout(&bench.path("oci"), &layers);
    let imported = bench.import(&bench.path("oci")).unwrap();
    let manifest = bench.path("oci/blobs/sha256").join(imported.image_ref.digest.hex());
    let remote = Remote {
        manifest: std::fs::read(manifest).unwrap(),
        blobs: vec![config_of(&layers), gzip(&layers[0])],
    };
    let pulled = remote.pull(&bench.store).unwrap();
    assert_eq!((pulled.is_new, &pulled.image_ref.digest), (false, &imported.image_ref.digest));
}

#[test]
fn a_blob_is_taken_up_where_it_was_left() {
    let bench = Bench::new();
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let remote = Remote::of_file(&content);
    let pull = remote.begin(&bench.store).unwrap();
    let missing = pull.missing_bytes();
    let blob = pull.blobs()[1].clone();
    let bytes = remote.bytes(&blob).to_vec();
    let mut first = writer(&pull, &blob);
    first.write(&bytes[..70_000]).unwrap();
    let short = first.finish().unwrap_err();
    assert!(matches!(short, ImageError::BlobTooShort { has_bytes: 70_000, .. }), "{short}");
    drop(pull);
    // As after the death of the process.
    let store = open_store(bench.dir.path());
    let pull = remote.begin(&store).unwrap();
    assert_eq!(pull.missing_bytes(), missing - 70_000);
    let second = writer(&pull, &blob);
    assert_eq!(second.offset(), 70_000);
    remote.send(second).unwrap();
    let mut third = writer(&pull, &pull.blobs()[0]);
    third.write(b"wrong").unwrap();
    third.restart().unwrap();
    assert_eq!(third.offset(), 0);
    remote.send(third).unwrap();
    let image_ref = name(&pull);
    store.derive(pull, image_ref, &()).unwrap();
    assert_blobs(&bench, 2);
}

#[test]
fn a_blob_of_wrong_content_or_size_is_refused() {
    let bench = Bench::new();
    let remote = Remote::of_file(b"1");
    let pull = remote.begin(&bench.store).unwrap();
    let blob = pull.blobs()[1].clone();
    let mut wrong = remote.bytes(&blob).to_vec();
    wrong[20] ^= 1;
    let mut liar = writer(&pull, &blob);
    liar.write(&wrong).unwrap();
    assert!(matches!(liar.finish(), Err(ImageError::DigestDiffers { .. })));
    let mut long = writer(&pull, &blob);
    assert_eq!(long.offset(), 0, "what was wrong is not taken up");
    long.write(&wrong).unwrap();
    let refused = long.write(b"x").unwrap_err();
    assert_eq!(refused.code(), "image_too_large", "{refused}");
    drop(long);
    let image_ref = name(&pull);
    let early = bench.store.derive(pull, image_ref, &()).unwrap_err();
    assert!(matches!(early, ImageError::BlobMissing { .. }), "{early}");
    let pull = remote.begin(&bench.store).unwrap();
    bench.store.abandon(pull).unwrap();
    assert_blobs(&bench, 0);
}

#[test]
fn a_whole_blob_that_was_damaged_is_noticed_and_goes() {
    let bench = Bench::new();
    let remote = Remote::of_file(b"1");
    let pull = remote.begin(&bench.store).unwrap();
    remote.send_all(&pull).unwrap();
    let path = bench.path("data/blobs/sha256").join(pull.blobs()[1].digest.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let image_ref = name(&pull);
    let refused = bench.store.derive(pull, image_ref, &()).unwrap_err();
    assert!(!refused.is_host_fault(), "{}", chain(&refused));
    bench.assert_nothing_left();
    remote.pull(&bench.store).unwrap();
}

#[test]
fn two_pulls_share_a_layer_and_neither_loses_it() {
    let bench = Bench::new();
    let shared = Archive::new().file("shared", &[7; 100_000]).finish();
    let own = |name: &str| Archive::new().file(name, b"own").finish();
    let image = |own: Vec<u8>| {
        let layers = [&shared, &own].map(|plain| (plain.clone(), gzip(plain), LAYER));
        Remote::new(&layers)
    };
    let (first, second) = (image(own("first")), image(own("second")));
    let (one, two) = (first.begin(&bench.store).unwrap(), second.begin(&bench.store).unwrap());
    let again = first.begin(&bench.store).unwrap_err();
    assert_eq!(again.code(), "image_under_way");
    let layer = one.blobs()[1].clone();
    let writing = writer(&one, &layer);
    assert!(matches!(two.state(&layer).unwrap(), BlobState::Elsewhere));
    assert!(!two.wait(&layer.digest, Duration::from_millis(5)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| two.wait(&layer.digest, Duration::from_secs(20)));
        first.send(writing).unwrap();
        assert!(waiting.join().unwrap());
    });
    assert!(matches!(two.state(&layer).unwrap(), BlobState::Present));
    first.send_all(&one).unwrap();
    let image_ref = name(&one);
    bench.store.derive(one, image_ref, &()).unwrap();
    assert!(matches!(two.state(&layer).unwrap(), BlobState::Present), "the other needs it still");
    second.send_all(&two).unwrap();
    let image_ref = name(&two);
    bench.store.derive(two, image_ref, &()).unwrap();
    assert_blobs(&bench, 4);
}

#[test]
fn blobs_of_a_forgotten_pull_go_after_a_day() {
    let bench = Bench::new();
    let remote = Remote::of_file(b"1");
    let begin_at = |now| bench.store.begin_pull(MANIFEST, remote.manifest.clone(), vec![], now);
    let now = model::clock::now();
    let pull = begin_at(now).unwrap();
    remote.send_all(&pull).unwrap();
    drop(pull);
    open_store(bench.dir.path());
    assert_eq!(names(&bench, "sha256"), 2, "a day is not over");
    let long_ago = UnixMs(now.0 - image::RESUME_WINDOW_MS - 1);
    drop(begin_at(long_ago).unwrap());
    open_store(bench.dir.path());
    assert_blobs(&bench, 0);
}

#[test]
fn blobs_that_no_pull_explains_go_at_open() {
    let bench = Bench::new();
    for dir in ["partial", "sha256", "pulls"] {
        let path = bench.path("data/blobs").join(dir);
        std::fs::write(path.join("0".repeat(64)), "left by a crash").unwrap();
    }
    open_store(bench.dir.path());
    assert_blobs(&bench, 0);
}

#[test]
fn manifests_that_cannot_be_pulled_are_refused_at_once() {
    let limits = Limits { total_bytes: 1000, ..Limits::default() };
    let bench = Bench::with_limits(limits);
    let refuse = |media_type: &str, manifest: Vec<u8>| {
        let begun = bench.store.begin_pull(media_type, manifest, vec![], UnixMs(0));
        begun.unwrap_err()
    };
    let index = json!({"mediaType": INDEX, "manifests": []}).to_string().into_bytes();
    assert_eq!(refuse(INDEX, index.clone()).code(), "image_malformed");
    assert_eq!(refuse(MANIFEST, index).code(), "image_malformed");
    let noise: Vec<u8> = (0..2000_u32).map(|n| (n.pow(3) >> 3).to_le_bytes()[0]).collect();
    let large = Remote::new(&[(noise.clone(), noise, LAYER)]);
    assert_eq!(refuse(MANIFEST, large.manifest).code(), "image_too_large");
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let foreign = Remote::new(&[(vec![1], vec![2], foreign)]);
    let refused = refuse(MANIFEST, foreign.manifest);
    assert_eq!(refused.code(), "image_unsupported");
    assert!(refused.hint().contains("all of its layers"), "{refused}");
    assert_blobs(&bench, 0);
}

#[test]
fn a_pull_that_cannot_fit_is_refused_at_once() {
    let limits = Limits { total_bytes: u64::MAX, ..Limits::default() };
    let bench = Bench::with_limits(limits);
    let mut layer = descriptor(b"x", LAYER);
    layer["size"] = json!(1_u64 << 60);
    let config = descriptor(&config_of(&[]), CONFIG);
    let manifest = json!({"config": config, "layers": [layer]}).to_string().into_bytes();
    let refused = bench.store.begin_pull(MANIFEST, manifest, vec![], model::clock::now());
    let refused = refused.unwrap_err();
    assert!(refused.is_disk_full(), "{refused}");
    assert_blobs(&bench, 0);
}

#[test]
fn a_config_that_is_known_already_does_not_come_again() {
    let bench = Bench::new();
    let remote = Remote::of_file(b"1");
    let pull = remote.begin(&bench.store).unwrap();
    let config = pull.blobs()[0].clone();
    let refused = pull.give_config(b"{}").unwrap_err();
    assert!(matches!(refused, ImageError::BlobTooShort { .. }), "{refused}");
    pull.give_config(remote.bytes(&config)).unwrap();
    pull.give_config(remote.bytes(&config)).unwrap();
    assert!(matches!(pull.state(&config).unwrap(), BlobState::Present));
    let said = image::config_of(&config.digest, remote.bytes(&config)).unwrap();
    remote.send_all(&pull).unwrap();
    let image_ref = name(&pull);
    assert_eq!(bench.store.derive(pull, image_ref, &()).unwrap().config, said);
    let refused = image::config_of(&config.digest, b"[]").unwrap_err();
    assert!(refused.to_string().contains(config.digest.hex()), "{refused}");
}

#[test]
fn a_blob_that_is_resumed_is_read_once() {
    let bench = Bench::new();
    let remote = Remote::of_file(&[7; 1000]);
    let pull = remote.begin(&bench.store).unwrap();
    let layer = pull.blobs()[1].clone();
    let (first, rest) = remote.bytes(&layer).split_at(10);
    writer(&pull, &layer).write(first).unwrap();
    let resumed = writer(&pull, &layer);
    assert_eq!(resumed.offset(), 10);
    // Who checks the download goes on from here, and does not look at the file.
    let whole = resumed.hash().chain_update(rest).finalize();
    assert_eq!(model::ids::hex_of(&whole), layer.digest.hex());
}

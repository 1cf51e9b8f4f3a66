//! Bombs: little that becomes much.

use super::{Case, Image, check, refused, refused_image};
use crate::archive::{Archive, LayoutWriter, gzip, zstd};
use image::Limits;
use std::io::Read as _;
use tar::EntryType;

const LARGE: &str = "image_too_large";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = headers();
    cases.extend(counts());
    cases
}

fn headers() -> Vec<Case> {
    vec![
        refused("PAX header of 2 MiB", LARGE, "extended header exceeds", |_| {
            Archive::new().pax(&[("comment", &vec![b'x'; 2 << 20])]).file("a", b"").finish()
        }),
        refused("GNU long name of 2 MiB", LARGE, "extended header exceeds", |_| {
            Archive::new().gnu_long_name(&vec![b'x'; 2 << 20]).file("a", b"").finish()
        }),
        refused("sparse entry", "image_unsupported", "sparse", |_| {
            Archive::new().entry(EntryType::GNUSparse, "a", "", b"", |_| {}).finish()
        }),
        refused("sparse entry by PAX", "image_unsupported", "sparse", |_| {
            let records: [(&str, &[u8]); 2] =
                [("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"1099511627776")];
            Archive::new().pax(&records).file("a", b"").finish()
        }),
        refused(
            "size of a terabyte, three bytes of content",
            "image_truncated",
            "cut short",
            |_| {
                let lie = |header: &mut tar::Header| header.set_size(1 << 40);
                Archive::new().entry(EntryType::Regular, "a", "", b"abc", lie).finish()
            },
        ),
        refused("size beyond all numbers", "image_malformed", "impossible size", |_| {
            let lie = |header: &mut tar::Header| header.set_size(u64::MAX);
            Archive::new().entry(EntryType::Regular, "a", "", b"abc", lie).finish()
        }),
        refused("PAX size that lies", "image_truncated", "cut short", |_| {
            Archive::new().pax(&[("size", b"99999999999999")]).file("a", b"abc").finish()
        }),
    ]
}

fn counts() -> Vec<Case> {
    vec![
        refused_image("128 layers", LARGE, "number of layers", |_| {
            Image::Layers(vec![Archive::new().file("a", b"1").finish(); 128])
        }),
        refused_image("index in index, ten deep", LARGE, "nesting of indexes", |scene| {
            let layout = LayoutWriter::new(&scene.oci());
            let mut inner = layout.image(&[Archive::new().file("a", b"1").finish()]);
            for _ in 0..10 {
                let index = serde_json::json!({"schemaVersion": 2, "manifests": [inner]});
                inner = layout.document(&index, crate::archive::INDEX);
            }
            layout.finish(&[inner]);
            Image::Directory
        }),
        refused_image("index of 5 MiB", LARGE, "a document of the image exceeds", |scene| {
            let layout = LayoutWriter::new(&scene.oci());
            let padding = serde_json::json!({"padding": "x".repeat(5 << 20)});
            layout.finish(&[padding]);
            Image::Directory
        }),
    ]
}

/// Archives that are refused by bounds as small as this test needs them.
fn bombs() -> Vec<Case> {
    fn zeros() -> Vec<u8> {
        Archive::new().file("zeros", &vec![0; 64 << 20]).finish()
    }
    vec![
        refused("gzip bomb", LARGE, "limit of 1048576", |_| gzip(&zeros())),
        refused("zstd bomb", LARGE, "limit of 1048576", |_| zstd(&zeros())),
        refused("gzip bomb behind the archive's end", LARGE, "limit of 1048576", |_| {
            let tail = [Archive::new().file("a", b"1").finish(), vec![0; 64 << 20]];
            gzip(&tail.concat())
        }),
        refused("archive larger than the limit", LARGE, "the archive of the image", |_| zeros()),
        refused_image("gzip bomb spread over layers", LARGE, "limit of 1048576", |_| {
            let layer = |n: u8| Archive::new().file("a", &vec![n; 400 << 10]).finish();
            Image::Layers(vec![layer(1), layer(2), layer(3)])
        }),
    ]
}

#[test]
fn bombs_are_bounded() {
    let limits = Limits { total_bytes: 1 << 20, n_entries: 100, ..Limits::default() };
    bombs().iter().for_each(|case| check(case, limits));
}

/// A million and one devices: the cheapest entries, because nothing is made of them.
fn million() -> Case {
    refused(
        "a million and one entries",
        LARGE,
        "number of entries exceeds the limit of 1000000",
        |_| {
            let entry = Archive::new().device("d", 1, 3).unfinished();
            let n_entries = 1_000_001;
            let all = entry.repeat(1000);
            let mut many = Vec::new();
            let mut encoder = flate2::read::GzEncoder::new(
                Repeated { block: &all, n_left: n_entries / 1000 + 1, at: 0 },
                flate2::Compression::fast(),
            );
            encoder.read_to_end(&mut many).unwrap();
            many
        },
    )
}

/// A block again and again.
struct Repeated<'a> {
    block: &'a [u8],
    n_left: usize,
    at: usize,
}

impl std::io::Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.n_left == 0 {
            return Ok(0);
        }
        let n = (&self.block[self.at..]).read(buffer)?;
        self.at += n;
        if self.at == self.block.len() {
            (self.at, self.n_left) = (0, self.n_left - 1);
        }
        Ok(n)
    }
}

#[test]
fn a_million_entries_are_the_most() {
    check(&million(), Limits::default());
}

/// Those that the table runs apart.
pub(super) fn apart() -> Vec<Case> {
    let mut cases = bombs();
    cases.push(million());
    cases
}

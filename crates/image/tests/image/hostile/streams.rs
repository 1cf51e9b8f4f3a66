//! Streams that are not what they should be, or not all of it.

use super::{Case, Image, refused, shown_image};
use crate::archive::{Archive, gzip, zstd};
use tar::EntryType;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cut_short();
    cases.extend(other_things());
    cases.extend(oddities());
    cases
}

fn some_archive() -> Archive {
    Archive::new().dir("d").file("d/a", &[7; 5000]).file("b", b"x")
}

fn cut(name: &'static str, at: usize) -> Case {
    refused(name, "image_truncated", "cut short", move |_| {
        some_archive().unfinished()[..at].to_vec()
    })
}

fn cut_short() -> Vec<Case> {
    let truncated = "image_truncated";
    vec![
        cut("nothing at all", 0),
        cut("archive cut within a header", 700),
        cut("archive cut between header and content", 1024),
        cut("archive cut within a content", 3000),
        cut("archive cut within the padding", 512 + 512 + 5000 + 10),
        cut("archive cut between two entries", 512 + 512 + 5120),
        refused("archive without its end", truncated, "cut short", |_| some_archive().unfinished()),
        refused("gzip stream cut short", truncated, "cut short", |_| {
            let whole = gzip(&Archive::new().file("a", &[7; 50_000]).finish());
            whole[..whole.len() / 2].to_vec()
        }),
        refused("zstd stream cut short", truncated, "cut short", |_| {
            let whole = zstd(&Archive::new().file("a", &[7; 50_000]).finish());
            whole[..whole.len() / 2].to_vec()
        }),
    ]
}

fn other_things() -> Vec<Case> {
    let (malformed, unsupported) = ("image_malformed", "image_unsupported");
    vec![
        refused("bytes that are no archive", malformed, "not a tar archive", |_| vec![0xA5; 4096]),
        refused("header with a wrong checksum", malformed, "not a tar archive", |_| {
            let mut bytes = some_archive().finish();
            bytes[0] ^= 1;
            bytes
        }),
        refused("gzip stream that is none", malformed, "malformed", |_| {
            [&[0x1f, 0x8b][..], &[9; 40]].concat()
        }),
        refused("gzip stream with a wrong checksum", malformed, "malformed", |_| {
            let mut bytes = gzip(&some_archive().finish());
            let at = bytes.len() - 6;
            bytes[at] ^= 1;
            bytes
        }),
        refused("xz stream", unsupported, "xz compression", |_| b"\xfd7zXZ\0 and so on".to_vec()),
        refused("bzip2 stream", unsupported, "bzip2", |_| b"BZh91AY&SY".to_vec()),
        refused("entry of an unknown type", unsupported, "type 'Z'", |_| {
            Archive::new().entry(EntryType::new(b'Z'), "a", "", b"", |_| {}).finish()
        }),
        refused("PAX header that is none", malformed, "PAX header", |_| {
            let tar = Archive::new().entry(EntryType::XHeader, "pax", "", b"7 nonsense", |_| {});
            tar.file("a", b"").finish()
        }),
    ]
}

fn oddities() -> Vec<Case> {
    vec![
        shown_image(
            "entries behind the archive's end",
            |_| {
                let second = Archive::new().file("behind", b"x").finish();
                Image::Stream([some_archive().finish(), second].concat())
            },
            |image| {
                image.assert_file("b", b"x");
                image.assert_absent("behind");
            },
        ),
        shown_image(
            "gzip stream of several members",
            |_| {
                let whole = some_archive().finish();
                let (first, second) = whole.split_at(1000);
                Image::Stream([gzip(first), gzip(second)].concat())
            },
            |image| image.assert_file("d/a", &[7; 5000]),
        ),
        shown_image(
            "archive of nothing",
            |_| Image::Stream(Archive::new().finish()),
            |image| assert_eq!(std::fs::read_dir(image.root).unwrap().count(), 0),
        ),
    ]
}

//! What must hold for any bytes: driven by the fuzz targets and by the property tests.
//!
//! Each function panics when a promise of this crate is broken.

use crate::limits::{LAYERS_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES};
use crate::oci::{Document, read_config};
use crate::unpack::check::{read_entries, whole_name};
use std::collections::HashSet;

/// Reads `bytes` as a tar archive, in one piece and `cut` bytes at a time.
///
/// # Panics
/// When the pieces read differently, there is more content than there are bytes, or a name is
/// accepted that could leave the root or not exist.
pub fn archive(bytes: &[u8], cut: usize) {
    let whole = read_entries(bytes, bytes.len().max(1));
    let pieces = read_entries(bytes, cut.max(1));
    assert_eq!(whole, pieces, "the same entries, however they come");
    assert!(whole.n_content <= bytes.len(), "content out of nothing");
    for path in &whole.paths {
        if let Ok(name) = whole_name(path) {
            assert!(name.len() <= PATH_MAX_BYTES && !name.contains(&0), "{name:?}");
            let parts = || name.split(|b| *b == b'/');
            assert!(parts().all(|part| part != b".." && part != b"."), "{name:?}");
            assert!(parts().all(|part| part.len() <= NAME_MAX_BYTES), "{name:?}");
            assert_eq!(whole_name(&name).as_ref(), Ok(&name), "normal names stay as they are");
        }
    }
}

/// Reads `bytes` as an index or a manifest, whatever it is said to be.
///
/// # Panics
/// When it is accepted as two different things, or a manifest has a blob twice or too many.
pub fn document(bytes: &[u8]) {
    let declared = [
        "",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    ];
    let [any, index, manifest] = declared.map(|said| Document::read("document", said, bytes).ok());
    assert!(index.is_none() || manifest.is_none(), "an index and a manifest at once");
    match any {
        Some(Document::Index(list)) => {
            assert!(manifest.is_none(), "an index is no manifest");
            drop(list.choose("latest"));
        }
        Some(Document::Manifest(made_of)) => {
            assert!(index.is_none(), "a manifest is no index");
            let blobs = made_of.blobs();
            let names: HashSet<_> = blobs.iter().map(|blob| &blob.digest).collect();
            assert!(blobs.len() <= LAYERS_MAX + 1 && made_of.layers.len() <= LAYERS_MAX);
            assert_eq!(names.len(), blobs.len(), "each blob once");
        }
        None => assert!(index.is_none() && manifest.is_none(), "refused when nothing is said"),
    }
}

/// Reads `bytes` as the config of an image.
///
/// # Panics
/// When a stop signal comes out that is none.
pub fn config(bytes: &[u8]) {
    if let Ok((config, _)) = read_config("config", bytes) {
        assert!(config.stop_signal.is_none_or(|signal| (1..=64).contains(&signal)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// An archive with everything that is read specially, to be spoilt.
    fn some_archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(700);
        header.set_cksum();
        let pax: [(&str, &[u8]); 2] = [("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b")];
        builder.append_pax_extensions(pax).unwrap();
        builder.append_data(&mut header, "d/".repeat(90) + "long", [7; 700].as_slice()).unwrap();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "link", "../../etc").unwrap();
        builder.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn spoilt_archives_are_read_alike_in_pieces(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            length in any::<prop::sample::Index>(),
            cut in 1..2000_usize,
        ) {
            let mut bytes = some_archive();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            super::archive(&bytes[..=length.index(bytes.len())], cut);
        }

        #[test]
        fn any_text_is_a_document_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::document(&bytes);
            super::config(&bytes);
        }

        #[test]
        fn spoilt_documents_are_one_thing_or_nothing(
            keys in proptest::collection::vec(0..6_usize, 0..6),
            media in 0..4_usize,
        ) {
            let types = ["index.v1+json", "manifest.v1+json", "config.v1+json", "layer.v1.tar"];
            let media = format!("application/vnd.oci.image.{}", types[media]);
            let blob = serde_json::json!({
                "digest": format!("sha256:{}", "0".repeat(64)), "size": 1, "mediaType": media,
            });
            let values = [
                ("manifests", serde_json::json!([blob])),
                ("config", blob.clone()),
                ("layers", serde_json::json!([blob, blob])),
                ("mediaType", serde_json::json!(media)),
                ("fsLayers", serde_json::json!([])),
                ("os", serde_json::json!("linux")),
            ];
            let fields: serde_json::Map<_, _> =
                keys.iter().map(|key| (values[*key].0.to_owned(), values[*key].1.clone())).collect();
            let text = serde_json::Value::Object(fields).to_string();
            super::document(text.as_bytes());
            super::config(text.as_bytes());
        }
    }
}

//! Many small layers, as a build with many steps makes them: each adds a directory, overwrites files
//! of the layer below and removes others; now and then one empties an older directory.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// Layers of the image, the base included.
pub(super) const N_LAYERS: usize = 40;

/// Files that a layer adds.
const ADDED: Range<usize> = 0..48;

/// Which of them the next layer overwrites.
const OVERWRITTEN: Range<usize> = 0..8;

/// Which of them the next layer removes.
const REMOVED: Range<usize> = 40..48;

/// Each layer whose number is a multiple empties the directory of the layer two below.
const EMPTYING_STEP: usize = 10;

/// Size of a file.
const FILE_BYTES: usize = 8 * 1024;

/// Bytes that [`push_word`] adds.
const WORD_BYTES: usize = 16;

/// Writes layer `idx`, counted from the base that is 0, to the file at `path`. The same number gives
/// the same bytes.
pub(super) fn write_layer(path: &Path, idx: usize) -> io::Result<()> {
    let mut layer = Layer { idx, archive: Builder::new(BufWriter::new(File::create(path)?)) };
    layer.add_dir("srv")?;
    layer.add_dir(&dir(idx))?;
    for number in ADDED {
        layer.add_file(&file(idx, number))?;
    }
    if idx > 1 {
        layer.change(idx - 1)?;
    }
    if idx.is_multiple_of(EMPTYING_STEP) {
        layer.empty(idx - 2)?;
    }
    layer.archive.into_inner()?.flush()
}

struct Layer {
    idx: usize,
    archive: Builder<BufWriter<File>>,
}

impl Layer {
    /// Overwrites and removes files of the layer `below`.
    fn change(&mut self, below: usize) -> io::Result<()> {
        self.add_dir(&dir(below))?;
        for number in OVERWRITTEN {
            self.add_file(&file(below, number))?;
        }
        for number in REMOVED {
            self.add(&format!("{}/.wh.{number}", dir(below)), EntryType::Regular, &[])?;
        }
        Ok(())
    }

    /// Leaves one file in the directory of the layer `below`.
    fn empty(&mut self, below: usize) -> io::Result<()> {
        self.add_dir(&dir(below))?;
        self.add(&format!("{}/.wh..wh..opq", dir(below)), EntryType::Regular, &[])?;
        self.add_file(&file(below, ADDED.start))
    }

    fn add_dir(&mut self, path: &str) -> io::Result<()> {
        self.add(path, EntryType::Directory, &[])
    }

    fn add_file(&mut self, path: &str) -> io::Result<()> {
        let text = text(&format!("{} {path}", self.idx));
        self.add(path, EntryType::Regular, &text)
    }

    fn add(&mut self, path: &str, kind: EntryType, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len().try_into().map_err(io::Error::other)?);
        self.archive.append_data(&mut header, path, bytes)
    }
}

fn dir(idx: usize) -> String {
    format!("srv/layer{idx}")
}

fn file(idx: usize, number: usize) -> String {
    format!("{}/{number}", dir(idx))
}

/// Text that compresses by half, as programs and documents do, and that is another for each `seed`.
fn text(seed: &str) -> Vec<u8> {
    // FNV-1a: spreads short names over all bits, so that no two begin alike.
    let mut state = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .max(1);
    let mut text = Vec::with_capacity(FILE_BYTES);
    while text.len() < FILE_BYTES {
        // xorshift64: chance that is the same in each run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        push_word(&mut text, state);
    }
    text
}

fn push_word(text: &mut Vec<u8>, word: u64) {
    text.extend_from_slice(format!("{word:0WORD_BYTES$x}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{FILE_BYTES, text, write_layer};
    use std::collections::BTreeSet;
    use std::fs::File;

    #[test]
    fn a_layer_adds_overwrites_removes_and_empties() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer.tar");
        write_layer(&path, 20).unwrap();
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let entries = archive.entries().unwrap();
        let names: BTreeSet<String> = entries
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        for name in ["layer20/47", "layer19/0", "layer19/.wh.47", "layer18/.wh..wh..opq"] {
            assert!(names.contains(&format!("srv/{name}")), "{name} is not in {names:?}");
        }
    }

    #[test]
    fn texts_differ_and_repeat() {
        assert_eq!(text("1 a").len(), FILE_BYTES);
        assert_eq!(text("1 a"), text("1 a"));
        assert_ne!(text("1 a"), text("2 a"));
    }
}

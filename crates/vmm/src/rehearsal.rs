//! The image of a machine that nobody owns, whose start guests rehearse.

use crate::command_line::PLACEHOLDER_BYTES;
use durable::DurableError;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its program, found by the usual search: the guest init, which has a word for this.
pub const PROGRAM: &str = "rehearsal";

/// Directories that images have, so that mounts find their places as they do there.
const DIRS: [&str; 6] = ["bin", "dev", "etc", "proc", "sys", "tmp"];

/// Accounts: one file more that a start looks at.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n";

/// An image that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// A file cannot be written.
    #[error("cannot write the image of a rehearsal in `{}`", dir.display())]
    Io {
        /// Where.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nor can a directory be made or removed.
    #[error("cannot make the image of a rehearsal")]
    Place(#[from] DurableError),
    /// `mkfs.erofs` failed.
    #[error("`mkfs.erofs` failed: {said}")]
    Mkfs {
        /// What it said.
        said: String,
    },
}

/// Makes the image, anew each time, as `rehearsal.erofs` in `dir`, which nobody else uses.
///
/// # Errors
/// The files cannot be written, or there is no `mkfs.erofs`.
pub fn make_image(dir: &Path, init: &[u8]) -> Result<PathBuf, RehearsalError> {
    let (tree, image) = (dir.join("rehearsal"), dir.join("rehearsal.erofs"));
    durable::make_private_dir(dir)?;
    durable::remove_tree(&tree)?;
    let failed = |source| RehearsalError::Io { dir: dir.to_owned(), source };
    fill(&tree, init).map_err(failed)?;
    durable::remove_file(&image)?;
    let output = Command::new("mkfs.erofs")
        .arg("--quiet")
        .args([&image, &tree])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(failed)?;
    durable::remove_tree(&tree)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RehearsalError::Mkfs { said });
    }
    // As long as any image may be: a guest that knew of less would read no more of the next one.
    fs::File::options()
        .write(true)
        .open(&image)
        .and_then(|file| file.set_len(PLACEHOLDER_BYTES))
        .map_err(failed)?;
    Ok(image)
}

fn fill(tree: &Path, init: &[u8]) -> io::Result<()> {
    for dir in DIRS {
        fs::create_dir_all(tree.join(dir))?;
    }
    let program = tree.join("bin").join(PROGRAM);
    fs::write(&program, init)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    fs::write(tree.join("etc/passwd"), PASSWD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn it_is_made_anew_each_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = make_image(dir.path(), b"init").expect("made");
        fs::write(&image, "damaged").expect("ours");
        assert_eq!(make_image(dir.path(), b"init").expect("made"), image);
        let mut magic = [0; 4];
        fs::File::open(&image).expect("there").read_exact_at(&mut magic, 1024).expect("read");
        assert_eq!(magic, 0xe0f5_e1e2_u32.to_le_bytes());
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
    }
}

//! Files written into the guest before each start.

use crate::contract::config::File;
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::spec::FileSpec;

/// Largest content of all files together: the body of a request has no more room anyway, and they
/// are sent to the guest at each start.
const TOTAL_MAX_BYTES: usize = 1024 * 1024;

/// Longest path. Source: `PATH_MAX`.
const PATH_MAX_BYTES: usize = 4096;

const MODE_DEFAULT: u32 = 0o644;
const MODE_MAX: u32 = 0o7777;

pub(super) fn files(files: &[File]) -> Result<Vec<FileSpec>, Problem> {
    let mut total_bytes = 0;
    files
        .iter()
        .enumerate()
        .map(|(file_idx, file)| {
            let spec = one(&format!("config.files[{file_idx}]"), file)?;
            total_bytes += spec.content.len();
            if total_bytes > TOTAL_MAX_BYTES {
                let message = "config.files are larger than 1 MiB together";
                return Err(Problem::invalid("too_large", message)
                    .hint("put large data into the image, or fetch it when the program starts"));
            }
            Ok(spec)
        })
        .collect()
}

fn one(field: &str, file: &File) -> Result<FileSpec, Problem> {
    let path = file.guest_path.as_deref().unwrap_or_default();
    if !is_file_path(path) {
        let message = format!("{field}.guest_path `{path}` is not an absolute path of a file");
        return Err(Problem::invalid("invalid_file", message)
            .hint("begin it with `/`, without `..`, without a `/` at its end"));
    }
    let secret = file.secret_name.clone().filter(|name| !name.is_empty());
    if secret.is_some() && file.raw_value.as_ref().is_some_and(|text| !text.is_empty()) {
        let message = format!("{field}.raw_value and {field}.secret_name exclude each other");
        return Err(Problem::invalid("invalid_file", message)
            .hint("give the content as base64, or name the secret that has it"));
    }
    let none = secret.as_ref().map(|_| String::new());
    let Some(text) = file.raw_value.as_ref().or(none.as_ref()) else {
        return Err(Problem::invalid("invalid_file", format!("{field}.raw_value is required"))
            .hint("give the content as base64, or `secret_name`; an empty text is an empty file"));
    };
    let content = STANDARD.decode(text.trim_ascii()).map_err(|error| {
        Problem::invalid("invalid_file", format!("{field}.raw_value is not base64: {error}"))
            .hint("use the standard alphabet with padding, as `base64 -w0` prints")
    })?;
    let mode = file.mode.unwrap_or(MODE_DEFAULT);
    if mode > MODE_MAX {
        return Err(Problem::invalid(
            "invalid_file",
            format!("{field}.mode {mode} is out of range"),
        )
        .hint("JSON has no octal numbers: 0644 is 420, 0755 is 493"));
    }
    Ok(FileSpec { guest_path: path.to_owned(), content, mode, secret })
}

fn is_file_path(path: &str) -> bool {
    path.len() > 1
        && path.len() < PATH_MAX_BYTES
        && path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains('\0')
        && path.split('/').all(|part| part != ".." && part.len() <= 255)
}

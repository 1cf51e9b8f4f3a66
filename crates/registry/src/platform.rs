//! Which of several images is for this host.

use std::fmt;

/// Levels of amd64 and what each adds, so far as the standard library can tell.
/// Source: the x86-64 psABI, "Micro-architecture levels".
const AMD64_BASE: u8 = 1;
/// The only level of arm64 in images.
const ARM64_BASE: u8 = 8;
/// The level of 32-bit ARM that is meant when none is written. Source: containerd, `platforms`.
const ARM_BASE: u8 = 7;

/// What programs of an image run on, in the words of image configs (those of Go).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Operating system: `linux`.
    pub os: String,
    /// Architecture: `amd64`.
    pub architecture: String,
    /// Level of the architecture: an image of a higher one does not run.
    pub level: u8,
}

impl Platform {
    /// This host's.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), level: host_level() }
    }

    /// How well an image for `os`, `architecture` and `variant` suits: the higher the better.
    pub(crate) fn suits(&self, os: &str, architecture: &str, variant: &str) -> Option<u8> {
        let level = level_of(architecture, variant)?;
        let is_ours = os == self.os && architecture == self.architecture && level <= self.level;
        is_ours.then_some(level)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// `v3` is 3; no variant is the base of the architecture; anything else is nothing we know.
fn level_of(architecture: &str, variant: &str) -> Option<u8> {
    if variant.is_empty() {
        return Some(base_level(architecture));
    }
    variant.strip_prefix('v')?.parse().ok()
}

fn base_level(architecture: &str) -> u8 {
    match architecture {
        "amd64" => AMD64_BASE,
        "arm64" => ARM64_BASE,
        "arm" => ARM_BASE,
        _ => 0,
    }
}

#[cfg(target_arch = "x86_64")]
fn host_level() -> u8 {
    let has_v2 = std::is_x86_feature_detected!("sse4.2")
        && std::is_x86_feature_detected!("popcnt")
        && std::is_x86_feature_detected!("ssse3");
    let has_v3 = std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("f16c")
        && std::is_x86_feature_detected!("lzcnt")
        && std::is_x86_feature_detected!("movbe");
    let has_v4 = std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512cd")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl");
    match (has_v2, has_v3, has_v4) {
        (true, true, true) => 4,
        (true, true, false) => 3,
        (true, false, _) => 2,
        (false, ..) => AMD64_BASE,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn host_level() -> u8 {
    base_level(if cfg!(target_arch = "aarch64") { "arm64" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_runs_its_base() {
        let host = Platform::host();
        assert!(host.suits("linux", &host.architecture, "").is_some());
        assert!(host.suits("windows", &host.architecture, "").is_none());
        assert!(host.suits("unknown", "unknown", "").is_none());
    }

    #[test]
    fn the_highest_level_that_runs_is_the_best() {
        let host = Platform { os: "linux".into(), architecture: "amd64".into(), level: 3 };
        let suits = |variant| host.suits("linux", "amd64", variant);
        assert_eq!(
            (suits(""), suits("v1"), suits("v2"), suits("v3")),
            (Some(1), Some(1), Some(2), Some(3))
        );
        assert_eq!((suits("v4"), suits("x"), suits("v")), (None, None, None));
    }
}

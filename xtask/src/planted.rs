//! Planted bugs: a test suite that cannot go red proves nothing.
//!
//! Each bug is a cargo feature of one crate, off in every normal build. This builds with one bug at
//! a time, runs the tests that should notice, and fails unless each bug turned some test red. The
//! same tests run first without any bug and must be green, so that a host that cannot run them is
//! not taken for a bug that was caught. Needs root, as the tests do.
//!
//! All of it is built in a directory of its own, so that no other build or test can ever pick up a
//! binary with a bug in it.

use crate::workspace::{self, Workspace};
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

/// What the features are called.
const FEATURE_PREFIX: &str = "planted-";

/// Exit code of `cargo nextest run` when tests failed, as against a build that failed. Source:
/// nextest's list of exit codes, `TEST_RUN_FAILED`.
const EXIT_TESTS_FAILED: i32 = 100;

/// Failed tests named for each bug; the rest is counted.
const NAMED_MAX: usize = 3;

/// Where all of it is built, from the root of the repository. Tests look for binaries beside
/// themselves, so they find those of this directory.
const TARGET_DIR: &str = "target/planted";

/// Leaves out the tests that boot other kernels: what they run is run on this host as well.
const NOT_IN_VMS: &str = "not binary(hosts)";

/// Packages with the binaries that tests of the whole start.
const BINARIES: [&str; 4] = ["cli", "dm", "init", "shim"];

/// A bug planted on purpose.
struct Bug {
    /// `<package>/<feature>`.
    feature: &'static str,
    /// What goes wrong.
    story: &'static str,
    /// Package whose tests should notice.
    noticed_by: &'static str,
}

/// Every bug, one for each feature that begins with [`FEATURE_PREFIX`].
const BUGS: [Bug; 7] = [
    Bug {
        feature: "model/planted-lost-wake",
        story: "a wake that comes while the machine falls asleep is forgotten",
        noticed_by: "model",
    },
    Bug {
        feature: "model/planted-double-start",
        story: "a second start launches a second run",
        noticed_by: "model",
    },
    Bug {
        feature: "net/planted-leaked-namespace",
        story: "the end of an instance forgets to let a namespace go",
        noticed_by: "net",
    },
    Bug {
        feature: "store/planted-skipped-fsync",
        story: "a commit is answered before the disk has it",
        noticed_by: "store",
    },
    Bug {
        feature: "store/planted-early-reply",
        story: "a change is answered before its commit",
        noticed_by: "store",
    },
    Bug {
        feature: "policy/planted-wrong-writer",
        story: "a fact is written by somebody whom its schema does not name",
        noticed_by: "policy",
    },
    Bug {
        feature: "proxy/planted-stale-route",
        story: "an older record of a machine replaces a newer one",
        noticed_by: "proxy",
    },
];

impl Bug {
    fn package(&self) -> &'static str {
        self.feature.split('/').next().unwrap_or(self.feature)
    }

    fn name(&self) -> &'static str {
        self.feature.split(FEATURE_PREFIX).last().unwrap_or(self.feature)
    }
}

/// Plants every bug in turn, or the one called `only`, and prints which tests caught it.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> anyhow::Result<()> {
    let faults = check_table(workspace);
    anyhow::ensure!(faults.is_empty(), "the table of bugs is wrong: {}", faults.join("; "));
    let is_chosen = |bug: &&Bug| only.is_none_or(|name| bug.name() == name);
    let bugs: Vec<&Bug> = BUGS.iter().filter(is_chosen).collect();
    anyhow::ensure!(!bugs.is_empty(), "there is no bug `{}`", only.unwrap_or_default());
    let began = Instant::now();
    expect_green(&bugs)?;
    plant_all(&bugs)?;
    let seconds = began.elapsed().as_secs();
    crate::say(&format!("planted: all {} were caught, {seconds} s", bugs.len()))
}

/// Differences between the table and the features of the workspace.
pub(crate) fn check_table(workspace: &Workspace) -> Vec<String> {
    let listed: BTreeSet<String> = BUGS.iter().map(|bug| bug.feature.to_owned()).collect();
    let mut real = BTreeSet::new();
    for (name, package) in &workspace.packages {
        let planted = package.features.iter().filter(|f| f.starts_with(FEATURE_PREFIX));
        real.extend(planted.map(|feature| format!("{name}/{feature}")));
    }
    let unlisted = real.difference(&listed).map(|f| format!("the bug `{f}` is not in the table"));
    let unreal = listed.difference(&real).map(|f| format!("there is no feature `{f}`"));
    unlisted.chain(unreal).collect()
}

/// Runs the tests without any bug.
fn expect_green(bugs: &[&Bug]) -> anyhow::Result<()> {
    let packages: BTreeSet<&str> = bugs.iter().map(|bug| bug.noticed_by).collect();
    if needs_binaries(bugs) {
        build_binaries(None)?;
    }
    crate::note("running the tests without any bug");
    let output = run_tests(packages, None)?;
    anyhow::ensure!(
        output.status.success(),
        "the tests are not green without any bug:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn plant_all(bugs: &[&Bug]) -> anyhow::Result<()> {
    let mut n_missed = 0;
    for bug in bugs {
        crate::note(&format!("planting {}: {}", bug.name(), bug.story));
        let caught_by = plant(bug)?;
        n_missed += usize::from(caught_by.is_empty());
        crate::say(&format!("planted {}: {}", bug.name(), verdict(&caught_by)))?;
    }
    anyhow::ensure!(n_missed == 0, "{n_missed} planted bugs were not caught");
    Ok(())
}

/// The tests that went red with `bug`.
fn plant(bug: &Bug) -> anyhow::Result<Vec<String>> {
    if bug.package() != bug.noticed_by {
        build_binaries(Some(bug))?;
    }
    let feature = (bug.package() == bug.noticed_by).then_some(bug.feature);
    let output = run_tests([bug.noticed_by], feature)?;
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        Some(EXIT_TESTS_FAILED) => Ok(failed_tests(&String::from_utf8_lossy(&output.stderr))),
        _ => anyhow::bail!(
            "the tests could not be run with `{}`:\n{}",
            bug.feature,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Whether only tests of the built binaries can notice one of the bugs.
fn needs_binaries(bugs: &[&Bug]) -> bool {
    bugs.iter().any(|bug| bug.package() != bug.noticed_by)
}

/// A call of Cargo that builds in the directory of planted bugs.
fn cargo() -> Command {
    let mut command = workspace::cargo();
    command.env("CARGO_TARGET_DIR", TARGET_DIR);
    command
}

fn run_tests<'a>(
    packages: impl IntoIterator<Item = &'a str>,
    feature: Option<&str>,
) -> anyhow::Result<Output> {
    let scratch = tempfile::tempdir().context("cannot make a scratch directory")?;
    let mut command = cargo();
    command.env("TMPDIR", scratch.path());
    command.args(["nextest", "run", "--release", "--no-fail-fast", "--color=never"]);
    command.args(["--filterset", NOT_IN_VMS]);
    command.args(["--status-level=fail", "--final-status-level=none"]);
    // What a planted bug breaks is told by names; what is broken without one must be told in full.
    let detail = if feature.is_some() { "never" } else { "final" };
    command.arg(format!("--failure-output={detail}"));
    command.args(packages.into_iter().map(|package| format!("--package={package}")));
    command.args(feature.map(|feature| format!("--features={feature}")));
    let output = command.output().context("cannot run `cargo nextest`")?;
    unmount_below(scratch.path())?;
    Ok(output)
}

/// Unmounts what a bug has left mounted or pinned below `dir`, the newest first.
fn unmount_below(dir: &Path) -> anyhow::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mounts").context("cannot list the mounts")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| point.starts_with(dir)).collect::<Vec<_>>().iter().rev() {
        let status = Command::new("umount").arg(point).status().context("cannot run `umount`")?;
        anyhow::ensure!(status.success(), "a planted bug left {} mounted", point.display());
    }
    Ok(())
}

fn build_binaries(bug: Option<&Bug>) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["build", "--release", "--quiet"]);
    command.args(BINARIES.map(|package| format!("--package={package}")));
    if let Some(bug) = bug {
        command
            .args([format!("--package={}", bug.package()), format!("--features={}", bug.feature)]);
    }
    let status = command.status().context("cannot run `cargo build`")?;
    anyhow::ensure!(status.success(), "the binaries could not be built");
    Ok(())
}

/// Names of failed tests in what nextest says: `FAIL [ 0.013s] (1/9) <binary> <test>`.
fn failed_tests(said: &str) -> Vec<String> {
    let failures = said.lines().filter_map(|line| {
        let (word, rest) = line.trim_start().split_once(' ')?;
        let is_red = matches!(word, "FAIL" | "TIMEOUT" | "ABORT") || word.starts_with("SIG");
        let (_, test) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
        let binary_and_test = test.split_whitespace().rev().take(2).collect::<Vec<_>>();
        is_red.then(|| binary_and_test.into_iter().rev().collect::<Vec<_>>().join(" "))
    });
    failures.collect::<BTreeSet<_>>().into_iter().collect()
}

fn verdict(caught_by: &[String]) -> String {
    if caught_by.is_empty() {
        return "NOT CAUGHT".to_owned();
    }
    let named = caught_by.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match caught_by.len().saturating_sub(NAMED_MAX) {
        0 => format!("caught by {named}"),
        more => format!("caught by {named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_read_from_what_nextest_says() {
        let said = "   Starting 3 tests across 1 binary\n\
             \x20       PASS [   0.004s] (1/3) model step::a\n\
             \x20       FAIL [   0.004s] (2/3) model step::b\n\
             \x20    SIGABRT [   0.004s] (3/3) store::store crash::c\n\
             \x20    Summary [   0.010s] 3 tests run: 1 passed, 2 failed, 0 skipped\n";
        assert_eq!(failed_tests(said), ["model step::b", "store::store crash::c"]);
    }

    #[test]
    fn a_verdict_names_a_few_tests() {
        assert_eq!(verdict(&[]), "NOT CAUGHT");
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(verdict(&names[..1]), "caught by a");
        assert_eq!(verdict(&names), "caught by a, b, c and 1 more");
    }

    #[test]
    fn nothing_is_built_where_others_build() {
        let command = cargo();
        let mut variables = command.get_envs();
        let target = variables.find(|(name, _)| *name == "CARGO_TARGET_DIR");
        assert_eq!(target.and_then(|(_, value)| value), Some(TARGET_DIR.as_ref()));
        assert!(command.get_current_dir().is_some_and(|dir| dir.ends_with("..")));
    }

    #[test]
    fn bugs_have_names() {
        assert_eq!((BUGS[0].package(), BUGS[0].name()), ("model", "lost-wake"));
    }
}

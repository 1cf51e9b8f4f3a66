//! What is promised: for each figure the aim, and the floor that it must not miss.

use crate::report::Report;

/// Where a promised figure stands in the report.
#[derive(Clone, Copy, Debug)]
enum Place {
    Row(&'static str, &'static str),
    Ratio(&'static str),
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    bench: &'static str,
    place: Place,
    better: Better,
    limits: Limits,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
enum Limits {
    /// Numbers.
    Fixed { aim: f64, floor: f64 },
    /// The same figure in these rows: the aim is the best of them, the floor the worst.
    Rows(&'static [&'static str]),
}

const fn at_most(
    bench: &'static str,
    row: &'static str,
    figure: &'static str,
    aim: f64,
    floor: f64,
) -> Promise {
    let limits = Limits::Fixed { aim, floor };
    Promise { bench, place: Place::Row(row, figure), better: Better::Less, limits }
}

const fn at_least(
    bench: &'static str,
    row: &'static str,
    figure: &'static str,
    aim: f64,
    floor: f64,
) -> Promise {
    let limits = Limits::Fixed { aim, floor };
    Promise { bench, place: Place::Row(row, figure), better: Better::More, limits }
}

const fn ratio(name: &'static str, better: Better, aim: f64, floor: f64) -> Promise {
    let limits = Limits::Fixed { aim, floor };
    Promise { bench: "start", place: Place::Ratio(name), better, limits }
}

/// No slower than the slowest of `peers`, at best faster than all.
const fn no_slower(
    bench: &'static str,
    row: &'static str,
    figure: &'static str,
    peers: &'static [&'static str],
) -> Promise {
    let limits = Limits::Rows(peers);
    Promise { bench, place: Place::Row(row, figure), better: Better::Less, limits }
}

/// All promises that these benchmarks can judge. Source: design, section 9.
const PROMISES: [Promise; 58] = [
    at_most("start", "dormouse", "p50_ms", 5.0, 10.0),
    at_most("start", "dormouse", "p99_ms", 12.0, 25.0),
    at_most("start", "dormouse_cold", "p50_ms", 9.0, 25.0),
    ratio("docker", Better::More, 20.0, 8.0),
    ratio("podman", Better::More, 12.0, 8.0),
    ratio("floor", Better::Less, 2.0, 4.0),
    at_most("create", "dormouse", "p50_ms", 20.0, 60.0),
    at_most("burst", "dormouse", "p99_ms", 500.0, 1000.0),
    at_most("freeze", "thaw", "p50_ms", 1.0, 3.0),
    at_most("idle", "dormouse", "pss_mib", 60.0, 120.0),
    at_most("idle", "dormouse", "cpu_pct", 0.1, 0.3),
    at_most("idle", "dormouse", "list_ms", 10.0, 25.0),
    at_most("idle", "dormouse", "disk_mib_each", 0.5, 1.0),
    no_slower("pull", "dormouse_debian", "p50_ms", &["docker_debian", "podman_debian"]),
    no_slower("pull", "dormouse_layers", "p50_ms", &["docker_layers", "podman_layers"]),
    at_most("pull", "herd", "downloads", 1.0, 1.0),
    at_most("governor", "rules", "rule_us", 5.0, 10.0),
    at_most("governor", "write", "over_start_ms", 5.0, 10.0),
    at_most("governor", "sleepers", "cpu_pct", 0.5, 1.0),
    at_most("governor", "sleepers", "pss_mib", 60.0, 120.0),
    at_most("wake", "dormouse", "p50_ms", 7.0, 20.0),
    at_least("proxy", "dormouse_1", "of_nginx_pct", 80.0, 50.0),
    at_least("proxy", "dormouse_32", "of_nginx_pct", 80.0, 50.0),
    at_least("proxy", "dormouse_256", "of_nginx_pct", 80.0, 50.0),
    at_least("proxy", "dormouse_large", "of_nginx_pct", 80.0, 50.0),
    at_most("proxy", "dormouse_1", "added_p50_ms", 0.3, 1.0),
    at_most("herd", "one_sleeper", "starts", 1.0, 1.0),
    at_most("api", "dormouse", "list_ms", 10.0, 20.0),
    at_most("api", "dormouse", "get_ms", 0.5, 1.0),
    at_least("api", "dormouse", "writes_per_s", 500.0, 500.0),
    at_most("api", "dormouse", "write_p99_ms", 10.0, 20.0),
    at_most("api", "slow_disk", "list_ms", 10.0, 20.0),
    at_most("api", "slow_disk", "get_ms", 0.5, 1.0),
    at_least("api", "slow_disk", "writes_per_s", 500.0, 500.0),
    at_most("api", "slow_disk", "write_p99_ms", 15.0, 20.0),
    at_most("vm", "dormouse", "p50_ms", 30.0, 80.0),
    at_most("vm", "dormouse_miss", "p50_ms", 170.0, 250.0),
    at_most("depths", "suspend_256_0", "p50_ms", 60.0, 120.0),
    at_most("depths", "resume_256_0", "p50_ms", 150.0, 300.0),
    at_most("depths", "suspend_256_16", "p50_ms", 92.0, 184.0),
    at_most("depths", "resume_256_16", "p50_ms", 166.0, 332.0),
    at_most("depths", "suspend_256_64", "p50_ms", 188.0, 376.0),
    at_most("depths", "resume_256_64", "p50_ms", 214.0, 428.0),
    at_most("depths", "thaw_256", "p50_ms", 1.0, 3.0),
    at_most("depths", "suspend_512_0", "p50_ms", 60.0, 120.0),
    at_most("depths", "resume_512_0", "p50_ms", 150.0, 300.0),
    at_most("depths", "suspend_512_16", "p50_ms", 92.0, 184.0),
    at_most("depths", "resume_512_16", "p50_ms", 166.0, 332.0),
    at_most("depths", "suspend_512_64", "p50_ms", 188.0, 376.0),
    at_most("depths", "resume_512_64", "p50_ms", 214.0, 428.0),
    at_most("depths", "thaw_512", "p50_ms", 1.0, 3.0),
    at_most("depths", "suspend_1024_0", "p50_ms", 60.0, 120.0),
    at_most("depths", "resume_1024_0", "p50_ms", 150.0, 300.0),
    at_most("depths", "suspend_1024_16", "p50_ms", 92.0, 184.0),
    at_most("depths", "resume_1024_16", "p50_ms", 166.0, 332.0),
    at_most("depths", "suspend_1024_64", "p50_ms", 188.0, 376.0),
    at_most("depths", "resume_1024_64", "p50_ms", 214.0, 428.0),
    at_most("depths", "thaw_1024", "p50_ms", 1.0, 3.0),
];

/// How a figure stands to its promise.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// What was promised.
    pub(crate) what: String,
    /// The figure.
    pub(crate) measured: f64,
    /// The aim.
    pub(crate) aim: f64,
    /// The floor.
    pub(crate) floor: f64,
    /// `ok` at the aim or better, `short` between aim and floor, `FAIL` below.
    pub(crate) word: &'static str,
}

impl Verdict {
    /// Whether the figure is worse than the floor.
    pub(crate) fn is_below_floor(&self) -> bool {
        self.word == "FAIL"
    }
}

/// Compares `report` with its promises; what was not measured is not judged.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    PROMISES
        .iter()
        .filter(|promise| promise.bench == report.bench)
        .filter_map(|promise| {
            let (what, measured) = find(promise.place, report)?;
            let (aim, floor) = promise.limits(report)?;
            let word = promise.better.word(measured, aim, floor);
            Some(Verdict { what, measured, aim, floor, word })
        })
        .collect()
}

fn find(place: Place, report: &Report) -> Option<(String, f64)> {
    match place {
        Place::Row(row, figure) => {
            Some((format!("{row} {figure}"), report.row(row)?.figure(figure)?))
        }
        Place::Ratio(name) => {
            let (_, ratio) = report.ratios.iter().find(|(key, _)| key == name)?;
            let what = match name {
                "floor" => "dormouse / floor".to_owned(),
                peer => format!("{peer} / dormouse"),
            };
            Some((what, *ratio))
        }
    }
}

impl Promise {
    /// Aim and floor; none if nobody was measured to compare with.
    fn limits(&self, report: &Report) -> Option<(f64, f64)> {
        let (rows, figure) = match (self.limits, self.place) {
            (Limits::Fixed { aim, floor }, _) => return Some((aim, floor)),
            (Limits::Rows(rows), Place::Row(_, figure)) => (rows, figure),
            (Limits::Rows(_), Place::Ratio(_)) => return None,
        };
        let mut peers: Vec<f64> =
            rows.iter().filter_map(|row| report.row(row)?.figure(figure)).collect();
        peers.sort_by(f64::total_cmp);
        let (least, most) = (*peers.first()?, *peers.last()?);
        Some(match self.better {
            Better::Less => (least, most),
            Better::More => (most, least),
        })
    }
}

impl Better {
    fn word(self, measured: f64, aim: f64, floor: f64) -> &'static str {
        let keeps = |limit: f64| match self {
            Self::Less => measured <= limit,
            Self::More => measured >= limit,
        };
        if keeps(aim) {
            "ok"
        } else if keeps(floor) {
            "short"
        } else {
            "FAIL"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, Limits, PROMISES, judge};
    use crate::report::{Report, Row};

    #[track_caller]
    fn check(better: Better, measured: f64, aim: f64, floor: f64, expected: &str) {
        assert_eq!(better.word(measured, aim, floor), expected);
    }

    #[test]
    fn a_figure_is_ok_short_or_failed() {
        check(Better::Less, 5.0, 5.0, 10.0, "ok");
        check(Better::Less, 5.1, 5.0, 10.0, "short");
        check(Better::Less, 10.1, 5.0, 10.0, "FAIL");
        check(Better::More, 30.0, 20.0, 8.0, "ok");
        check(Better::More, 8.0, 20.0, 8.0, "short");
        check(Better::More, 7.9, 20.0, 8.0, "FAIL");
    }

    #[test]
    fn no_floor_is_better_than_its_aim() {
        for promise in PROMISES {
            let Limits::Fixed { aim, floor } = promise.limits else { continue };
            let is_right = match promise.better {
                Better::Less => aim <= floor,
                Better::More => aim >= floor,
            };
            assert!(is_right, "{promise:?}");
        }
    }

    #[track_caller]
    fn check_pull(rows: &[(&str, f64)], expected: &[(f64, f64, &str)]) {
        let row = |(name, ms): &(&str, f64)| Row::timed(name, &[*ms].into_iter().collect());
        let rows = rows.iter().map(row).collect();
        let report = Report { bench: "pull".to_owned(), rows, ..Report::default() };
        let verdicts = judge(&report);
        let found: Vec<_> = verdicts.iter().map(|v| (v.aim, v.floor, v.word)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_figure_can_be_held_against_those_of_peers() {
        let own = |ms| ("dormouse_debian", ms);
        let peers = [("docker_debian", 9.0), ("podman_debian", 7.0), ("docker_layers", 1.0)];
        let with_peers = |ms| [&[own(ms)], &peers[..]].concat();
        check_pull(&with_peers(6.0), &[(7.0, 9.0, "ok")]);
        check_pull(&with_peers(8.0), &[(7.0, 9.0, "short")]);
        check_pull(&with_peers(9.1), &[(7.0, 9.0, "FAIL")]);
        check_pull(&[own(8.0), peers[0]], &[(9.0, 9.0, "ok")]);
        check_pull(&[own(8.0)], &[]);
        check_pull(&peers, &[]);
    }
}

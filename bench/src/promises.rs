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
    aim: f64,
    floor: f64,
}

const fn at_most(
    bench: &'static str,
    row: &'static str,
    figure: &'static str,
    aim: f64,
    floor: f64,
) -> Promise {
    Promise { bench, place: Place::Row(row, figure), better: Better::Less, aim, floor }
}

const fn ratio(name: &'static str, better: Better, aim: f64, floor: f64) -> Promise {
    Promise { bench: "start", place: Place::Ratio(name), better, aim, floor }
}

/// All promises that these benchmarks can judge. Source: design, section 9.
const PROMISES: [Promise; 13] = [
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
            let Promise { aim, floor, .. } = *promise;
            Some(Verdict { what, measured, aim, floor, word: promise.word(measured) })
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
    fn word(&self, measured: f64) -> &'static str {
        let keeps = |limit: f64| match self.better {
            Better::Less => measured <= limit,
            Better::More => measured >= limit,
        };
        if keeps(self.aim) {
            "ok"
        } else if keeps(self.floor) {
            "short"
        } else {
            "FAIL"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, PROMISES, at_most, ratio};

    #[track_caller]
    fn check(promise: super::Promise, measured: f64, expected: &str) {
        assert_eq!(promise.word(measured), expected);
    }

    #[test]
    fn a_figure_is_ok_short_or_failed() {
        let time = at_most("start", "dormouse", "p50_ms", 5.0, 10.0);
        check(time, 5.0, "ok");
        check(time, 5.1, "short");
        check(time, 10.1, "FAIL");
        let times_faster = ratio("docker", Better::More, 20.0, 8.0);
        check(times_faster, 30.0, "ok");
        check(times_faster, 8.0, "short");
        check(times_faster, 7.9, "FAIL");
    }

    #[test]
    fn no_floor_is_better_than_its_aim() {
        for promise in PROMISES {
            let is_right = match promise.better {
                Better::Less => promise.aim <= promise.floor,
                Better::More => promise.aim >= promise.floor,
            };
            assert!(is_right, "{promise:?}");
        }
    }
}

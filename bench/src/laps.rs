//! One thing that is done in steps, again and again: how long it takes, and each of its steps.

use crate::clock::{ms_between, now_ns};
use crate::report::Row;
use crate::stats::{Parts, Samples};

/// What is being done now.
#[derive(Clone, Debug)]
pub(crate) struct Laps {
    began_ns: u64,
    ended_ns: u64,
    steps: Vec<(String, f64)>,
}

/// What was done before.
#[derive(Clone, Debug, Default)]
pub(crate) struct LapSamples {
    whole: Samples,
    steps: Parts,
}

impl Laps {
    /// It begins now.
    pub(crate) fn start() -> Self {
        let now = now_ns();
        Self { began_ns: now, ended_ns: now, steps: Vec::new() }
    }

    /// A step has just ended, and with it all, if no other follows.
    pub(crate) fn lap(&mut self, step: &str) {
        let now = now_ns();
        self.steps.push((step.to_owned(), ms_between(self.ended_ns, now)));
        self.ended_ns = now;
    }

    /// Milliseconds until the end of the last step.
    pub(crate) fn ms(&self) -> f64 {
        ms_between(self.began_ns, self.ended_ns)
    }

    /// The steps, and the milliseconds of each.
    pub(crate) fn into_steps(self) -> Vec<(String, f64)> {
        self.steps
    }
}

impl LapSamples {
    /// Adds what has been done.
    pub(crate) fn add(&mut self, laps: Laps) {
        self.whole.push(laps.ms());
        self.steps.add(laps.into_steps());
    }

    /// A row of all.
    pub(crate) fn row(&self, name: &str) -> Row {
        Row { split: self.steps.means(), ..Row::timed(name, &self.whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::{LapSamples, Laps};

    #[test]
    fn the_steps_are_the_whole() {
        let mut laps = Laps::start();
        laps.lap("first");
        laps.lap("second");
        let ms = laps.ms();
        let mut samples = LapSamples::default();
        samples.add(laps);
        let row = samples.row("all");
        assert_eq!(row.figure("p50_ms"), Some(ms));
        let names: Vec<&str> = row.split.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
        assert!((row.split.iter().map(|(_, ms)| ms).sum::<f64>() - ms).abs() < 1e-6);
    }
}

//! What was measured.

use crate::stats::Samples;
use serde_json::{Map, Value, json};

/// The outcome of a benchmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Its name.
    pub(crate) bench: String,
    /// What was done, for people: rounds, pauses, host.
    pub(crate) setting: String,
    /// One row for each contender.
    pub(crate) rows: Vec<Row>,
    /// How many times one row's p50 is another's.
    pub(crate) ratios: Vec<(String, f64)>,
    /// Who could not take part, and why.
    pub(crate) notes: Vec<String>,
}

/// The figures of one contender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// Figures by name; the unit is the name's end.
    pub(crate) figures: Vec<(&'static str, f64)>,
    /// Counts by name.
    pub(crate) counts: Vec<(&'static str, usize)>,
    /// Where the time goes, in milliseconds on average; parts may overlap.
    pub(crate) split: Vec<(String, f64)>,
}

impl Row {
    /// A row of times in milliseconds.
    pub(crate) fn timed(name: &str, samples: &Samples) -> Self {
        let figures = vec![
            ("p50_ms", samples.percentile(50)),
            ("p99_ms", samples.percentile(99)),
            ("mean_ms", samples.mean()),
        ];
        let counts = vec![("n", samples.len())];
        Self { name: name.to_owned(), figures, counts, split: Vec::new() }
    }

    /// One of its figures.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn to_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(self.name));
        row.extend(self.figures.iter().map(|(key, n)| ((*key).to_owned(), json!(rounded(*n)))));
        row.extend(self.counts.iter().map(|(key, n)| ((*key).to_owned(), json!(n))));
        if !self.split.is_empty() {
            row.insert("split_ms".to_owned(), object(&self.split));
        }
        Value::Object(row)
    }
}

impl Report {
    /// The row called `name`.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Adds `ratios.<peer>` = the peer's p50 / ours, and `ratios.floor` the other way round.
    pub(crate) fn add_ratios(&mut self) {
        self.add_ratios_to("dormouse", &["docker", "podman", "runc"]);
        if let (Some(own), Some(floor)) = (self.p50_ms("dormouse"), self.p50_ms("floor")) {
            self.ratios.push(("floor".to_owned(), own / floor));
        }
    }

    /// Adds `ratios.<peer>` = the peer's p50 / that of the row `own`, as far as both are there.
    pub(crate) fn add_ratios_to(&mut self, own: &str, peers: &[&str]) {
        let Some(own) = self.p50_ms(own) else { return };
        let over_own = |peer: &&str| Some(((*peer).to_owned(), self.p50_ms(peer)? / own));
        let ratios: Vec<_> = peers.iter().filter_map(over_own).collect();
        self.ratios.extend(ratios);
    }

    /// A p50 that can be compared.
    fn p50_ms(&self, row: &str) -> Option<f64> {
        self.row(row)?.figure("p50_ms").filter(|ms| *ms > 0.0)
    }

    /// The one object that programs read.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "bench": self.bench,
            "setting": self.setting,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "ratios": object(&self.ratios),
            "notes": self.notes,
        })
    }
}

fn object(pairs: &[(String, f64)]) -> Value {
    pairs.iter().map(|(key, n)| (key.clone(), json!(rounded(*n)))).collect::<Map<_, _>>().into()
}

/// To three decimals: microseconds, or a thousandth of a percent.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::{Report, Row};
    use crate::stats::Samples;

    fn row(name: &str, ms: f64) -> Row {
        Row::timed(name, &[ms].into_iter().collect::<Samples>())
    }

    #[test]
    fn ratios_compare_medians() {
        let rows = vec![row("dormouse", 5.0), row("docker", 150.0), row("floor", 2.5)];
        let mut report = Report { bench: "start".to_owned(), rows, ..Report::default() };
        report.add_ratios();
        let json = report.to_json();
        assert_eq!(json["bench"], "start");
        assert_eq!(json["rows"][0]["name"], "dormouse");
        assert_eq!(json["rows"][0]["p50_ms"], 5.0);
        assert_eq!(json["rows"][0]["n"], 1);
        assert_eq!(json["ratios"], serde_json::json!({"docker": 30.0, "floor": 2.0}));
    }

    #[test]
    fn ratios_of_one_image_are_called_after_the_peers_rows() {
        let rows = vec![row("dormouse_debian", 5.0), row("docker_debian", 150.0)];
        let mut report = Report { rows, ..Report::default() };
        report.add_ratios_to("dormouse_debian", &["docker_debian", "podman_debian"]);
        assert_eq!(report.ratios, [("docker_debian".to_owned(), 30.0)]);
    }

    #[test]
    fn without_our_own_row_there_is_no_ratio() {
        let mut report = Report { rows: vec![row("docker", 150.0)], ..Report::default() };
        report.add_ratios();
        assert!(report.ratios.is_empty());
    }
}

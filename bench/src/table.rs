//! The report for people.

use crate::promises::Verdict;
use crate::report::{Report, Row};

/// Lays `report` and `verdicts` out as text.
pub(crate) fn render(report: &Report, verdicts: &[Verdict]) -> String {
    let mut text = format!("{}: {}\n\n", report.bench, report.setting);
    text += &columns(&figures(&report.rows));
    for row in report.rows.iter().filter(|row| !row.split.is_empty()) {
        let parts: Vec<_> = row.split.iter().map(|(part, ms)| format!("{part} {ms:.2}")).collect();
        text += &format!("\n{}: mean ms of its parts: {}\n", row.name, parts.join(", "));
    }
    if !report.ratios.is_empty() {
        let ratios: Vec<_> =
            report.ratios.iter().map(|(name, n)| format!("{name} {n:.1}")).collect();
        text += &format!("\nratios: {}\n", ratios.join(", "));
    }
    if !verdicts.is_empty() {
        text.push('\n');
        text += &columns(&judgements(verdicts));
    }
    for note in &report.notes {
        text += &format!("\nnote: {note}");
    }
    text
}

fn figures(rows: &[Row]) -> Vec<Vec<String>> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        let keys = row.figures.iter().map(|(key, _)| *key);
        for key in keys.chain(row.counts.iter().map(|(key, _)| *key)) {
            if !names.contains(&key) {
                names.push(key);
            }
        }
    }
    let mut lines =
        vec![["row"].into_iter().chain(names.iter().copied()).map(str::to_owned).collect()];
    lines.extend(rows.iter().map(|row| {
        let cells = names.iter().map(|name| cell(row, name));
        [row.name.clone()].into_iter().chain(cells).collect::<Vec<_>>()
    }));
    lines
}

fn cell(row: &Row, name: &str) -> String {
    if let Some(value) = row.figure(name) {
        return number(value);
    }
    let count = row.counts.iter().find(|(key, _)| *key == name);
    count.map_or_else(|| "-".to_owned(), |(_, count)| count.to_string())
}

fn judgements(verdicts: &[Verdict]) -> Vec<Vec<String>> {
    let head = ["promise", "measured", "aim", "floor", "verdict"].map(str::to_owned).to_vec();
    let lines = verdicts.iter().map(|verdict| {
        vec![
            verdict.what.clone(),
            number(verdict.measured),
            number(verdict.aim),
            number(verdict.floor),
            verdict.word.to_owned(),
        ]
    });
    [head].into_iter().chain(lines).collect()
}

fn number(value: f64) -> String {
    if value.abs() < 1.0 { format!("{value:.3}") } else { format!("{value:.2}") }
}

/// Lines of cells, the first column to the left, the others to the right.
fn columns(lines: &[Vec<String>]) -> String {
    let n_columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..n_columns)
        .map(|idx| {
            lines.iter().filter_map(|line| line.get(idx)).map(String::len).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        for (idx, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &if idx == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_aligned() {
        let lines = [["a", "1.00"], ["long", "20.00"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(columns(&lines), "a      1.00\nlong  20.00\n");
    }
}

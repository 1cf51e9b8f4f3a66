//! The one way out for text.

use serde::Serialize;
use std::io::{self, Write as _};

/// Writes `text` and a line end to stdout.
///
/// # Errors
/// Nobody reads it any more.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes `value` as one line of JSON to stdout.
///
/// # Errors
/// Nobody reads it any more.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// Nobody reads it any more.
pub(crate) fn bytes_as_they_are(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a notice to stderr. That nobody reads it is no reason to stop.
pub(crate) fn notice(text: &str) {
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

/// Rows in aligned columns under `headers`.
pub(crate) fn table<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headers.map(|header| header.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![text(headers)];
    lines.extend(rows.iter().map(|row| text(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

/// Pairs, one a line, values aligned.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let line = |(name, value): &(&str, String)| {
        let label = format!("{name}:");
        format!("{label:width$} {value}").trim_end().to_owned()
    };
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Other people's text in one line: nothing in it may end a line or move a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

/// Bytes as a person reads them.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut tenths = u128::from(n) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit < UNITS.len() - 1 {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{bytes, one_line, pairs, table};

    #[test]
    fn tables_align_and_end_without_blanks() {
        let rows = [["a".to_owned(), String::new()], ["longer".to_owned(), "ü".to_owned()]];
        assert_eq!(table(["NAME", "X"], &rows), "NAME    X\na\nlonger  ü");
        assert_eq!(table(["NAME", "X"], &[]), "NAME  X");
        assert_eq!(
            pairs(&[("id", "1".to_owned()), ("state", "up".to_owned())]),
            "id:    1\nstate: up"
        );
    }

    #[test]
    fn foreign_text_stays_in_its_line() {
        assert_eq!(one_line("two\nlines, \u{1b}[2J ü"), "two\\nlines, \\u{1b}[2J ü");
    }

    #[test]
    fn sizes_read_well() {
        let sizes = [0, 1023, 1024, 1536, 1_048_576, 5_368_709_120, u64::MAX].map(bytes);
        assert_eq!(
            sizes,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "16777215.9 TiB"]
        );
    }
}

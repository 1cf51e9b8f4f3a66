//! The table "What a call gets" of docs/states.md.

const DOCUMENT: &str = include_str!("../../../docs/states.md");

/// The heading above the table.
const HEADING: &str = "## What a call gets\n";

/// A row: what each call gets in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Names of the states, with commas.
    pub(crate) state: String,
    /// Each call and its cell.
    pub(crate) cells: Vec<(String, String)>,
}

/// All rows.
#[track_caller]
pub(crate) fn rows() -> Vec<Row> {
    let (_, after) = DOCUMENT.split_once(HEADING).expect("the document has the table");
    let mut lines = after.lines().skip_while(|line| !line.starts_with('|'));
    let calls = cells(lines.next().expect("a head"));
    let lines = lines.skip(1).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let mut cells = cells(line).into_iter();
            let state = cells.next().expect("a state");
            Row { state, cells: calls.iter().skip(1).cloned().zip(cells).collect() }
        })
        .collect()
}

/// The row of a state.
#[track_caller]
pub(crate) fn row(state: &str) -> Row {
    let found = rows().into_iter().find(|row| row.state == state);
    found.unwrap_or_else(|| panic!("docs/states.md has no row `{state}`"))
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn the_table_has_fifteen_states_and_eight_calls() {
    let rows = rows();
    assert_eq!(rows.len(), 15, "{rows:#?}");
    assert!(rows.iter().all(|row| row.cells.len() == 8), "{rows:#?}");
}

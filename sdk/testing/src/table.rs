//! Tables of a page of `docs/`, whose cells are tests.

use std::path::Path;

/// A table: its heads, and its rows.
#[derive(Clone, Debug)]
pub struct Table {
    /// The cells of its first line.
    pub heads: Vec<String>,
    /// The cells of the others, as many in each.
    pub rows: Vec<Vec<String>>,
}

/// The table of `docs/<page>` whose first head is this. `manifest` is the caller's `CARGO_MANIFEST_DIR`.
#[track_caller]
pub fn table(manifest: &str, page: &str, first: &str) -> Table {
    let root =
        Path::new(manifest).ancestors().find(|folder| folder.join("docs").is_dir()).expect("a folder with docs/");
    let text = std::fs::read_to_string(root.join("docs").join(page)).expect("the page");
    let mut lines = text.lines().skip_while(|line| cells(line).is_none_or(|cells| cells[0] != first));
    let heads = lines.next().and_then(cells).unwrap_or_else(|| panic!("docs/{page} has no table {first:?}"));
    let rows: Vec<Vec<String>> = lines.skip(1).map_while(cells).collect();
    assert!(rows.iter().all(|row| row.len() == heads.len()), "docs/{page}: a row of {first:?} has not {}", heads.len());
    Table { heads, rows }
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(|cell| cell.trim().to_owned()).collect())
}

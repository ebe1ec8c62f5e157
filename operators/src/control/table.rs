//! A table that a user keeps as CSV, with the place of every cell, so that a mistake can be pointed at.
//!
//! The first line names the columns, in any order. Cells are separated by commas and trimmed; a cell with a comma or a
//! quote in it is put in double quotes, a quote in it doubled. Blank lines and lines that begin with `#` are skipped.

use std::path::{Path, PathBuf};

use lineside_model::options::did_you_mean;
use lineside_model::{At, Problem, Problems};

/// A table with known columns.
#[derive(Debug)]
pub struct Table {
    file: PathBuf,
    header_line: u32,
    /// For each known column that the table has: its name and the number of its cell.
    columns: Vec<(&'static str, usize)>,
    /// The rows whose number of cells is that of the header.
    pub rows: Vec<Row>,
}

/// One line of a table.
#[derive(Debug)]
pub struct Row {
    line: u32,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    column: u32,
    text: String,
}

impl Table {
    /// Reads a table, noting unknown, repeated and missing columns, and rows of another length than the header.
    pub fn read(
        file: &Path,
        text: &str,
        known: &[&'static str],
        required: &[&'static str],
        problems: &mut Problems,
    ) -> Self {
        let mut lines = (1..)
            .zip(text.trim_start_matches('\u{feff}').lines())
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .map(|(n, line)| Row { line: n, cells: cells(line) });
        let mut table = Self { file: file.to_owned(), header_line: 1, columns: Vec::new(), rows: Vec::new() };
        let Some(header) = lines.next() else {
            problems.push(table.at(1, 1, "the table is empty").hint(format!("its columns are {}", known.join(", "))));
            return table;
        };
        table.header_line = header.line;
        for (n, Cell { column, text }) in header.cells.iter().enumerate() {
            match known.iter().find(|name| *name == text) {
                None => problems.push(
                    table
                        .at(header.line, *column, format!("unknown column \"{text}\""))
                        .hint(did_you_mean(text, known.iter().copied())),
                ),
                Some(name) if table.columns.iter().any(|(seen, _)| seen == name) => {
                    problems.push(table.at(header.line, *column, format!("column \"{name}\" is there twice")));
                }
                Some(name) => table.columns.push((name, n)),
            }
        }
        for name in required.iter().filter(|name| !table.has(name)) {
            problems.push(table.at(header.line, 1, format!("column \"{name}\" is missing")));
        }
        for row in lines {
            if row.cells.len() == header.cells.len() {
                table.rows.push(row);
            } else {
                let (found, expected) = (row.cells.len(), header.cells.len());
                problems.push(table.at(row.line, 1, format!("the row has {found} cells, the header {expected}")));
            }
        }
        table
    }

    /// Whether the table has this column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| *name == column)
    }

    /// The text of a cell; `None` if it is empty or the table has no such column.
    pub fn get<'a>(&self, row: &'a Row, column: &str) -> Option<&'a str> {
        self.cell(row, column).map(|cell| cell.text.as_str()).filter(|text| !text.is_empty())
    }

    /// A problem with a cell; with the row, if the table has no such column.
    pub fn problem(&self, row: &Row, column: &str, message: impl Into<String>) -> Problem {
        self.at(row.line, self.cell(row, column).map_or(1, |cell| cell.column), message)
    }

    /// A problem with the table as a whole.
    pub fn problem_with_all(&self, message: impl Into<String>) -> Problem {
        self.at(self.header_line, 1, message)
    }

    fn cell<'a>(&self, row: &'a Row, column: &str) -> Option<&'a Cell> {
        let (_, n) = self.columns.iter().find(|(name, _)| *name == column)?;
        row.cells.get(*n)
    }

    fn at(&self, line: u32, column: u32, message: impl Into<String>) -> Problem {
        Problem { at: At::File { file: self.file.clone(), line, column }, message: message.into(), hint: None }
    }
}

impl Row {
    /// Its line in the file, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }
}

fn cells(line: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut quoted = false;
    let (mut start, mut text) = (1, String::new());
    let mut chars = (1u32..).zip(line.chars()).peekable();
    while let Some((column, c)) = chars.next() {
        match c {
            '"' if quoted && chars.next_if(|(_, next)| *next == '"').is_some() => text.push('"'),
            '"' if quoted || text.trim().is_empty() => {
                quoted = !quoted;
                if quoted {
                    text.clear();
                }
            }
            ',' if !quoted => {
                cells.push(Cell { column: start, text: text.trim().to_owned() });
                (start, text) = (column + 1, String::new());
            }
            // Blanks in front belong to no cell.
            c if c.is_whitespace() && text.is_empty() && !quoted && column == start => start += 1,
            c => text.push(c),
        }
    }
    cells.push(Cell { column: start, text: text.trim().to_owned() });
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_their_place_and_lose_their_quotes() {
        let found = cells(r#"a,  b ,"c, ""d""",,e"#).into_iter().map(|c| (c.column, c.text)).collect::<Vec<_>>();
        let expected = [(1, "a"), (5, "b"), (8, "c, \"d\""), (19, ""), (20, "e")];
        assert_eq!(found, expected.map(|(n, text)| (n, text.to_owned())));
    }

    #[test]
    fn a_table_names_all_its_mistakes() {
        let mut problems = Problems::default();
        let text = "# zones\nloop, pvv,loop\n\nz1,t1\nz2,t2,x\n";
        let table = Table::read(Path::new("loops.csv"), text, &["loop", "pv", "out"], &["loop", "out"], &mut problems);
        let said = problems.to_string();
        for part in [
            "loops.csv:2:7: unknown column \"pvv\"",
            "loops.csv:2:11: column \"loop\" is there twice",
            "loops.csv:2:1: column \"out\" is missing",
            "loops.csv:4:1: the row has 2 cells, the header 3",
        ] {
            assert!(said.contains(part), "{part} not in: {said}");
        }
        assert_eq!(table.rows.iter().map(|row| table.get(row, "loop")).collect::<Vec<_>>(), [Some("z2")]);
    }
}

//! A table that a user keeps as CSV, such as a register map or a loop table, with the place of every cell, so that each mistake
//! can be shown with its line and column.
//!
//! The first line names the columns, in any order. Table are separated by commas; a cell may be quoted
//! (`"a ""quoted"" word, with comma"`); spaces around a cell do not count. Blank lines and lines that begin with `#` are skipped.

use std::path::Path;

use crate::options::did_you_mean;
use crate::{At, Problem, Problems};

/// One cell: its text and where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Without quotes and without spaces around it; may be empty.
    pub text: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in the line, in characters, from 1.
    pub column: u32,
}

/// The rows of a table under a known header.
#[derive(Debug)]
pub struct Table {
    /// For each known column its place in a row, if the header has it.
    columns: Vec<Option<usize>>,
    /// Line of the header; `None` if the table has none.
    pub header_line: Option<u32>,
    /// The rows that have as many cells as the header, cells in the order of the header.
    pub rows: Vec<Vec<Cell>>,
}

/// A problem at a place of the file.
pub fn problem(file: &Path, line: u32, column: u32, message: impl Into<String>) -> Problem {
    Problem { at: At::File { file: file.to_owned(), line, column }, message: message.into(), hint: None }
}

impl Table {
    /// Reads a table whose header may name the columns `known`, each at most once, in any order.
    pub fn read(file: &Path, text: &str, known: &[&str], problems: &mut Problems) -> Self {
        let mut rows = split(file, text.trim_start_matches('\u{feff}'), problems).into_iter();
        let mut columns = vec![None; known.len()];
        let Some(header) = rows.next() else {
            let hint = format!("the first line names the columns, such as: {}", known.join(","));
            problems.push(problem(file, 1, 1, "the table has no header").hint(hint));
            return Self { columns, header_line: None, rows: Vec::new() };
        };
        for (place, cell) in header.iter().enumerate() {
            match known.iter().position(|name| name.eq_ignore_ascii_case(&cell.text)) {
                Some(n) if columns[n].is_none() => columns[n] = Some(place),
                Some(_) => {
                    let message = format!("column \"{}\" stands in the header twice", cell.text);
                    problems.push(problem(file, cell.line, cell.column, message));
                }
                None => {
                    let hint = if header.len() == 1 && cell.text.contains(';') {
                        "columns are separated by commas".to_owned()
                    } else {
                        did_you_mean(&cell.text, known.iter().copied())
                    };
                    let message = format!("unknown column \"{}\"", cell.text);
                    problems.push(problem(file, cell.line, cell.column, message).hint(hint));
                }
            }
        }
        let mut kept = Vec::new();
        for row in rows {
            if row.len() == header.len() {
                kept.push(row);
            } else if let Some(first) = row.first() {
                let message = format!("expected {} cells as in the header, found {}", header.len(), row.len());
                problems.push(problem(file, first.line, first.column, message));
            }
        }
        Self { columns, header_line: header.first().map(|cell| cell.line), rows: kept }
    }

    /// Whether the header has column number `known`, counted as the names given to [`Table::read`].
    pub fn has(&self, known: usize) -> bool {
        self.columns.get(known).is_some_and(Option::is_some)
    }

    /// The cell of a row in column number `known`; `None` if the header lacks it or the cell is empty.
    pub fn cell<'a>(&self, row: &'a [Cell], known: usize) -> Option<&'a Cell> {
        self.place(row, known).filter(|cell| !cell.text.is_empty())
    }

    /// The cell of a row in column number `known`, empty or not; `None` if the header lacks it.
    pub fn place<'a>(&self, row: &'a [Cell], known: usize) -> Option<&'a Cell> {
        row.get((*self.columns.get(known)?)?)
    }
}

fn split(file: &Path, text: &str, problems: &mut Problems) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = Cell { text: String::new(), line: 1, column: 1 };
    let (mut line, mut column) = (1, 1);
    let (mut quoted, mut was_quoted) = (false, false);
    let mut letters = text.chars().filter(|c| *c != '\r').chain(std::iter::once('\n')).peekable();
    while let Some(letter) = letters.next() {
        column += 1;
        if quoted {
            match letter {
                '"' if letters.peek() == Some(&'"') => {
                    letters.next();
                    column += 1;
                    cell.text.push('"');
                }
                '"' => quoted = false,
                '\n' => {
                    problems.push(problem(file, cell.line, cell.column, "the quoted cell is not closed on its line"));
                    quoted = false;
                }
                _ => cell.text.push(letter),
            }
            if letter != '\n' {
                continue;
            }
        }
        match letter {
            ',' | '\n' => {
                let after = if letter == ',' { (line, column) } else { (line + 1, 1) };
                let next = Cell { text: String::new(), line: after.0, column: after.1 };
                let mut done = std::mem::replace(&mut cell, next);
                if !was_quoted {
                    done.text.truncate(done.text.trim_end().len());
                }
                was_quoted = false;
                row.push(done);
                (line, column) = after;
                if letter == '\n' {
                    let whole = std::mem::take(&mut row);
                    let remark = whole.first().is_some_and(|first| first.text.starts_with('#'));
                    if !remark && (whole.len() > 1 || whole.iter().any(|c| !c.text.is_empty())) {
                        rows.push(whole);
                    }
                }
            }
            ' ' | '\t' if cell.text.is_empty() && !was_quoted => cell.column = column,
            ' ' | '\t' if was_quoted => {}
            '"' if cell.text.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            _ => cell.text.push(letter),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_know_where_they_begin() {
        let mut problems = Problems::default();
        let cells = Table::read(Path::new("m.csv"), "b, a\n\n 1 ,\"x, \"\"y\"\"\" \n", &["a", "b"], &mut problems);
        assert!(problems.0.is_empty(), "{problems}");
        let row = &cells.rows[0];
        let at = |text: &str, column| Cell { text: text.to_owned(), line: 3, column };
        assert_eq!(cells.cell(row, 0), Some(&at("x, \"y\"", 5)));
        assert_eq!(cells.cell(row, 1), Some(&at("1", 2)));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_with_its_place() {
        let mut problems = Problems::default();
        Table::read(Path::new("m.csv"), "name,adress,name\na,1\n\"open,1,2\n", &["name", "address"], &mut problems);
        let text = problems.to_string();
        for part in [
            "m.csv:1:6: unknown column \"adress\"",
            "m.csv:1:13: column \"name\" stands in the header twice",
            "m.csv:2:1: expected 3 cells",
            "m.csv:3:1: the quoted cell is not closed",
        ] {
            assert!(text.contains(part), "{part} not in: {text}");
        }
        assert!(problems.0.iter().any(|p| p.hint.as_deref() == Some("did you mean \"address\"?")));
    }

    #[test]
    fn remarks_and_blank_lines_are_no_rows() {
        let mut problems = Problems::default();
        let table = Table::read(Path::new("m.csv"), "# map\n\nname\n# one\na\n", &["name"], &mut problems);
        assert!(problems.0.is_empty(), "{problems}");
        assert_eq!((table.header_line, table.rows.len()), (Some(3), 1));
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let letters = ["a", ",", "\"", "\n", "\r", " ", "é", ";", "#"];
        for seed in 0..20_000_u32 {
            let text = (0..8).map(|n| letters[(seed.wrapping_mul(2_654_435_761) >> (n * 3)) as usize % letters.len()]);
            Table::read(Path::new("m.csv"), &text.collect::<String>(), &["a", "b"], &mut Problems::default());
        }
    }
}

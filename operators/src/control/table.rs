//! The loop table as its reader sees it: cells by the names of columns, and problems at their places.

use std::path::{Path, PathBuf};

use lineside_model::table::{Cell, Table as Cells, problem};
use lineside_model::{Problem, Problems};

/// A table with known columns.
#[derive(Debug)]
pub struct Table {
    file: PathBuf,
    known: &'static [&'static str],
    cells: Cells,
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(&'a [Cell]);

impl Table {
    /// Reads a table, noting unknown, repeated and missing columns, and rows of another length than the header.
    pub fn read(
        file: &Path,
        text: &str,
        known: &'static [&'static str],
        required: &[&'static str],
        problems: &mut Problems,
    ) -> Self {
        let table = Self { file: file.to_owned(), known, cells: Cells::read(file, text, known, problems) };
        let required = if table.cells.header_line.is_some() { required } else { &[] };
        for name in required.iter().filter(|name| !table.has(name)) {
            problems.push(table.problem_with_all(format!("column \"{name}\" is missing")));
        }
        table
    }

    /// The rows whose number of cells is that of the header.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.cells.rows.iter().map(|cells| Row(cells))
    }

    /// Whether the table has this column.
    pub fn has(&self, column: &str) -> bool {
        self.number(column).is_some_and(|n| self.cells.has(n))
    }

    /// The text of a cell; `None` if it is empty or the table has no such column.
    pub fn get<'a>(&self, row: Row<'a>, column: &str) -> Option<&'a str> {
        self.cell(row, column).map(|cell| cell.text.as_str())
    }

    /// A problem with a cell; with the row, if the table has no such column.
    pub fn problem(&self, row: Row<'_>, column: &str, message: impl Into<String>) -> Problem {
        let cell = self.number(column).and_then(|n| self.cells.place(row.0, n));
        let place = cell.map_or((row.line(), 1), |cell| (cell.line, cell.column));
        problem(&self.file, place.0, place.1, message)
    }

    /// A problem with the table as a whole.
    pub fn problem_with_all(&self, message: impl Into<String>) -> Problem {
        problem(&self.file, self.cells.header_line.unwrap_or(1), 1, message)
    }

    fn cell<'a>(&self, row: Row<'a>, column: &str) -> Option<&'a Cell> {
        self.cells.cell(row.0, self.number(column)?)
    }

    fn number(&self, column: &str) -> Option<usize> {
        self.known.iter().position(|name| *name == column)
    }
}

impl Row<'_> {
    /// Its line in the file, from 1.
    pub fn line(&self) -> u32 {
        self.0.first().map_or(1, |cell| cell.line)
    }
}

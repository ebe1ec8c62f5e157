//! A table, told once and shown twice: in columns of text for a terminal, and as HTML.

use std::borrow::Cow;

use super::units;

/// A table of more rows is folded on a page: nobody reads it, but somebody looks something up in it.
const LONG: usize = 60;

/// A table with a heading.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// What it is about; stands over the first column.
    pub(crate) title: &'static str,
    /// The other columns.
    pub(crate) columns: Vec<Column>,
    /// Its rows.
    pub(crate) rows: Vec<Row>,
}

/// A column behind the first.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: Cow<'static, str>,
    /// Numbers stand at the right, so that their digits are below each other.
    right: bool,
}

/// A column of numbers.
pub(crate) const fn number(name: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), right: true }
}

/// A column of words.
pub(crate) const fn words(name: &'static str) -> Column {
    Column { name: Cow::Borrowed(name), right: false }
}

impl Column {
    /// A column of numbers whose name is made up.
    pub(crate) fn number(name: String) -> Self {
        Self { name: Cow::Owned(name), right: true }
    }
}

/// A row: its name, its cells, and what is to be said below it.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Whether it was held, where that is the question.
    pub(crate) held: Option<bool>,
    /// What it is about.
    pub(crate) name: String,
    /// One for each column.
    pub(crate) cells: Vec<String>,
    /// What stands below it.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, cells: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.into(), cells: cells.into_iter().collect(), ..Self::default() }
    }

    fn mark(&self) -> &'static str {
        match self.held {
            None => "",
            Some(true) => "✓ ",
            Some(false) => "✗ ",
        }
    }
}

impl Table {
    /// As lines of text, aligned; nothing if it has no rows.
    pub(crate) fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let wide = |text: &str| text.chars().count();
        let first = self.rows.iter().map(|row| wide(row.mark()) + wide(&row.name) + 2).chain([wide(self.title)]).max();
        let widths: Vec<usize> = (self.columns.iter().enumerate())
            .map(|(at, column)| {
                let cells = self.rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| wide(cell));
                cells.chain([wide(&column.name)]).max().unwrap_or(0)
            })
            .collect();
        let line = |name: &str, cells: &[&str]| {
            let mut line = format!("{name:<0$}", first.unwrap_or(0));
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let spaces = " ".repeat(width - wide(cell));
                let (before, behind) = if column.right { (spaces.as_str(), "") } else { ("", spaces.as_str()) };
                line.push_str("  ");
                line.extend([before, cell, behind]);
            }
            format!("{}\n", line.trim_end())
        };
        let mut text = line(self.title, &self.columns.iter().map(|column| &*column.name).collect::<Vec<_>>());
        for row in &self.rows {
            let name = format!("  {}{}", row.mark(), row.name);
            text += &line(&name, &row.cells.iter().map(String::as_str).collect::<Vec<_>>());
            if !row.note.is_empty() {
                text += &format!("      {}\n", row.note);
            }
        }
        text
    }

    /// As HTML; nothing if it has no rows.
    pub(crate) fn html(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let (title, rows) = (escaped(self.title), units::count(self.rows.len() as u64));
        let folded = format!("<details><summary>{title} <small>{rows} rows</small></summary>\n");
        let (before, behind) = if self.rows.len() > LONG { (folded.as_str(), "</details>") } else { ("", "") };
        let mut html = format!("<div class=\"table\">{before}<table>\n<tr><th>{title}</th>");
        let class = |column: &Column| if column.right { " class=\"n\"" } else { "" };
        for column in &self.columns {
            html += &format!("<th{}>{}</th>", class(column), escaped(&column.name));
        }
        html += "</tr>\n";
        for row in &self.rows {
            let mark = match row.held {
                None => "",
                Some(true) => "<b class=\"yes\">✓</b> ",
                Some(false) => "<b class=\"no\">✗</b> ",
            };
            html += &format!("<tr><td>{mark}{}</td>", escaped(&row.name));
            for (cell, column) in row.cells.iter().zip(&self.columns) {
                html += &format!("<td{}>{}</td>", class(column), escaped(cell));
            }
            html += "</tr>\n";
            if !row.note.is_empty() {
                let wide = self.columns.len() + 1;
                html += &format!("<tr class=\"note\"><td colspan=\"{wide}\">{}</td></tr>\n", escaped(&row.note));
            }
        }
        html + &format!("</table>{behind}</div>\n")
    }
}

/// A text in which nothing is markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_folded_on_a_page() {
        let table = |rows| Table {
            title: "Stages",
            columns: vec![number("p50")],
            rows: (0..rows).map(|row| Row::new(format!("plc{row}"), ["1".to_owned()])).collect(),
        };
        assert!(!table(LONG).html().contains("<details>"));
        let html = table(1_200).html();
        assert!(html.contains("<details><summary>Stages <small>1,200 rows</small></summary>"));
        assert_eq!(html.matches("<tr>").count(), 1_201);
    }
}

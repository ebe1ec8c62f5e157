//! One row of a register map: reads its cells into a tag, and notes everything that is wrong with them.

use std::path::Path;

use lineside_model::Problems;
use lineside_model::options::did_you_mean;

use super::map::{Defaults, Table, Tag};
use super::value::{KINDS, Kind, ORDERS, Order};
use lineside_model::table::{Cell, Table as Cells, problem};

/// The columns whose cells mean something to us, in the order of [`COLUMNS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    UnitId,
    Table,
    Address,
    Type,
    Bit,
    Length,
    ByteOrder,
    Scale,
    Offset,
    Unit,
    Access,
    PollClass,
    Min,
    Max,
}

/// All columns that a header may have.
pub(crate) const COLUMNS: [&str; 16] = [
    "name",
    "unit_id",
    "table",
    "address",
    "type",
    "bit",
    "length",
    "byte_order",
    "scale",
    "offset",
    "unit",
    "access",
    "poll_class",
    "min",
    "max",
    "description",
];

impl Column {
    /// Its name in the header.
    pub(crate) fn word(self) -> &'static str {
        COLUMNS[self as usize]
    }
}

/// Reads one row and notes what is wrong with it.
pub(crate) struct Row<'a> {
    pub(crate) file: &'a Path,
    pub(crate) cells: &'a Cells,
    pub(crate) row: &'a [Cell],
    pub(crate) first: &'a Cell,
    pub(crate) problems: &'a mut Problems,
}

impl Row<'_> {
    fn wrong(&mut self, column: Column, message: impl Into<String>, hint: &str) {
        let at = self.cells.cell(self.row, column as usize).unwrap_or(self.first);
        let mut problem = problem(self.file, at.line, at.column, message);
        problem.hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems.push(problem);
    }

    fn text(&self, column: Column) -> Option<&str> {
        self.cells.cell(self.row, column as usize).map(|cell| cell.text.as_str())
    }

    /// A number of a column, or `None` if the cell is empty or wrong.
    fn number<T: std::str::FromStr>(&mut self, column: Column, expected: &str, good: impl Fn(&T) -> bool) -> Option<T> {
        let text = self.text(column)?.to_owned();
        let number = text.parse().ok().filter(good);
        if number.is_none() {
            self.wrong(column, format!("column \"{}\" expects {expected}, found \"{text}\"", column.word()), "");
        }
        number
    }

    /// One of a few words, or `None` if the cell is empty or wrong.
    fn word<T>(&mut self, column: Column, known: &[&str], of: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(column)?.to_owned();
        let value = of(&text);
        if value.is_none() {
            let hint = did_you_mean(&text, known.iter().copied());
            self.wrong(column, format!("unknown {} \"{text}\"", column.word().replace('_', " ")), &hint);
        }
        value
    }

    /// A column that has no meaning for this tag must be empty.
    fn unused(&mut self, column: Column, why: &str) {
        if self.text(column).is_some() {
            self.wrong(column, format!("column \"{}\" {why}", column.word()), "leave it empty");
        }
    }

    /// The tag of this row, or `None` if something is wrong with it.
    pub(crate) fn tag(&mut self, defaults: Defaults) -> Option<Tag> {
        let before = self.problems.0.len();
        let name = self.text(Column::Name).map(str::to_owned);
        if name.is_none() && self.cells.has(Column::Name as usize) {
            self.wrong(Column::Name, "the tag has no name", "");
        }
        let unit_id = self.number(Column::UnitId, "a number from 0 to 255", |_: &u8| true).unwrap_or(defaults.unit);
        let place = self.place(defaults);
        let kind = place.and_then(|(table, _)| self.kind(table));
        let order = self.word(Column::ByteOrder, &ORDERS, Order::from_word).unwrap_or_default();
        let finite = |number: &f64| number.is_finite();
        let scale =
            self.number(Column::Scale, "a number other than 0", |n: &f64| n.is_finite() && *n != 0.0).unwrap_or(1.0);
        let offset = self.number(Column::Offset, "a number", finite).unwrap_or(0.0);
        let min = self.number(Column::Min, "a number", finite);
        let max = self.number(Column::Max, "a number", finite);
        let (readable, writable) = self
            .word(Column::Access, &["RO", "RW", "WO"], |word| match word.to_ascii_uppercase().as_str() {
                "RO" => Some((true, false)),
                "RW" => Some((true, true)),
                "WO" => Some((false, true)),
                _ => None,
            })
            .unwrap_or((true, false));
        if let (Some(low), Some(high)) = (min, max)
            && low > high
        {
            self.wrong(Column::Min, format!("column \"min\" is above \"max\": {low} > {high}"), "");
        }
        if !writable {
            self.unused(Column::Min, "limits writing, and the tag is read only");
            self.unused(Column::Max, "limits writing, and the tag is read only");
        }
        let ((table, start), kind, name) = (place?, kind?, name?);
        if u32::from(start) + u32::from(kind.width()) > 65_536 {
            self.wrong(Column::Address, "the tag reaches beyond the last register, 65535", "");
        }
        if writable && !matches!(table, Table::Coil | Table::Holding) {
            self.wrong(Column::Access, format!("table \"{}\" can only be read", table.word()), "access RO");
        }
        match kind {
            Kind::Bit(_) if writable => {
                let cure = "give the whole register as u16, or use a coil if the device offers one";
                self.wrong(Column::Access, "one bit of a register cannot be written without touching the others", cure);
            }
            Kind::Text { .. } if writable => self.wrong(Column::Access, "a string can only be read", "access RO"),
            Kind::Text { .. } if order.low_word_first => {
                self.wrong(Column::ByteOrder, "in a string only the bytes can be swapped", "byte_order ABCD or BADC");
            }
            _ => {}
        }
        if matches!(kind, Kind::Bool | Kind::Bit(_) | Kind::Text { .. }) {
            self.unused(Column::Scale, "has no meaning for this type");
            self.unused(Column::Offset, "has no meaning for this type");
        }
        let class_at = self
            .cells
            .cell(self.row, Column::PollClass as usize)
            .or(self.cells.cell(self.row, Column::Name as usize))
            .unwrap_or(self.first);
        let tag = Tag {
            name,
            unit_id,
            table,
            start,
            kind,
            order,
            scale,
            offset,
            unit: self.text(Column::Unit).map(str::to_owned),
            readable,
            writable,
            poll_class: self.text(Column::PollClass).unwrap_or("default").to_owned(),
            min,
            max,
            class_at: (class_at.line, class_at.column),
        };
        (self.problems.0.len() == before).then_some(tag)
    }

    /// Table and address as sent.
    fn place(&mut self, defaults: Defaults) -> Option<(Table, u16)> {
        let words = Table::ALL.map(Table::word);
        let by_word = |word: &str| Table::ALL.into_iter().find(|table| table.word().eq_ignore_ascii_case(word));
        let named = self.text(Column::Table).is_some();
        let table = self.word(Column::Table, &words, by_word);
        let Some(text) = self.text(Column::Address).map(str::to_owned) else {
            if self.cells.has(Column::Address as usize) {
                self.wrong(Column::Address, "the tag has no address", "");
            }
            return None;
        };
        if named {
            let base = u32::from(defaults.base);
            let expected = format!("a number from {base} to {}", 65_535 + base);
            let address = self.number(Column::Address, &expected, |n: &u32| (base..=65_535 + base).contains(n))?;
            return Some((table?, u16::try_from(address - base).ok()?));
        }
        let found = text.chars().next().and_then(|digit| match digit {
            '0' => Some(Table::Coil),
            '1' => Some(Table::Discrete),
            '3' => Some(Table::Input),
            '4' => Some(Table::Holding),
            _ => None,
        });
        let number = text.get(1..).filter(|rest| matches!(rest.len(), 4 | 5)).and_then(|rest| rest.parse::<u32>().ok());
        match (found, number) {
            (Some(table), Some(number @ 1..=65_536)) => Some((table, u16::try_from(number - 1).ok()?)),
            _ => {
                let message = format!("address \"{text}\" does not say which table it is in");
                let hint = "fill the column table, or use 5 or 6 digits such as 40001 (holding) or 30001 (input)";
                self.wrong(Column::Address, message, hint);
                None
            }
        }
    }

    fn kind(&mut self, table: Table) -> Option<Kind> {
        let word = match self.text(Column::Type) {
            Some(word) => word.to_ascii_lowercase(),
            None if table.is_bits() => "bool".to_owned(),
            None => {
                self.wrong(Column::Type, "the tag has no type", &format!("there is: {}", KINDS.join(", ")));
                return None;
            }
        };
        if word != "bit" {
            self.unused(Column::Bit, "is for type bit");
        }
        if word != "string" {
            self.unused(Column::Length, "is for type string");
        }
        let kind = match word.as_str() {
            "bool" => Kind::Bool,
            "bit" => match self.number(Column::Bit, "a number from 0 to 15", |bit: &u8| *bit < 16) {
                Some(bit) => Kind::Bit(bit),
                None => {
                    if self.text(Column::Bit).is_none() {
                        self.wrong(Column::Type, "type \"bit\" needs the column \"bit\", 0 (lowest) to 15", "");
                    }
                    return None;
                }
            },
            "i16" => Kind::I16,
            "u16" => Kind::U16,
            "i32" => Kind::I32,
            "u32" => Kind::U32,
            "i64" => Kind::I64,
            "u64" => Kind::U64,
            "f32" => Kind::F32,
            "f64" => Kind::F64,
            "string" => {
                match self.number(Column::Length, "a number of registers from 1 to 125", |n| (1..=125).contains(n)) {
                    Some(registers) => Kind::Text { registers },
                    None => {
                        if self.text(Column::Length).is_none() {
                            self.wrong(Column::Type, "type \"string\" needs the column \"length\", in registers", "");
                        }
                        return None;
                    }
                }
            }
            _ => {
                let hint = did_you_mean(&word, KINDS);
                self.wrong(Column::Type, format!("unknown type \"{word}\""), &hint);
                return None;
            }
        };
        if table.is_bits() != (kind == Kind::Bool) {
            let (message, hint) = if table.is_bits() {
                (format!("table \"{}\" holds single bits, not {word}", table.word()), "type bool")
            } else {
                (format!("table \"{}\" holds registers, not bool", table.word()), "type bit with its number, or u16")
            };
            self.wrong(Column::Type, message, hint);
            return None;
        }
        if table.is_bits() {
            self.unused(Column::ByteOrder, "has no meaning for single bits");
        }
        Some(kind)
    }
}

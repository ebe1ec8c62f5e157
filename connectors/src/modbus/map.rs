//! The register map: which tag is where in which device, as a CSV table that a controls engineer keeps in a spreadsheet.
//!
//! | column | meaning | if empty |
//! | --- | --- | --- |
//! | `name` | the tag, such as `oven1.temperature` | required |
//! | `unit_id` | the device behind the connection, 0 to 255 | option `unit` |
//! | `table` | `coil`, `discrete`, `input` or `holding` | from a 5 or 6-digit address |
//! | `address` | first register: counted from the option `base`, or 5 or 6 digits such as `40001` without `table` | required |
//! | `type` | `bool`, `bit`, `i16`, `u16`, `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, `string` | `bool` for coils and discrete inputs |
//! | `bit` | which bit, 0 (lowest) to 15, for `bit` | |
//! | `length` | how many registers, for `string` | |
//! | `byte_order` | `ABCD`, `CDAB`, `BADC`, `DCBA`, see the table in `value.rs` | `ABCD` |
//! | `scale`, `offset` | value = register × scale + offset | 1, 0 |
//! | `unit` | engineering unit, for people | |
//! | `access` | `RO`, `RW`, `WO` | `RO` |
//! | `poll_class` | which poll reads it | `default` |
//! | `min`, `max` | limits for writing, in engineering units | none |
//! | `description` | for people | |
//!
//! Several tags may *read* the same registers: bits of a status word, or one value in every byte order to find the right
//! one. No two tags may *write* the same register, since nobody could say whose value stands there.

use std::collections::HashMap;
use std::path::Path;

use lineside_model::{Problem, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

use super::row::{COLUMNS, Column, Row};
use super::value::{Kind, Order, Raw};
use lineside_model::table::{Table as Cells, problem};

/// The four address spaces of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Table {
    /// Bits that can be read and written.
    Coil,
    /// Bits that can be read.
    Discrete,
    /// Registers that can be read.
    Input,
    /// Registers that can be read and written.
    Holding,
}

/// What the first address of a device is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// The unit id of tags that give none.
    pub(crate) unit: u8,
    /// 0 or 1.
    pub(crate) base: u16,
}

/// One tag of the map.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) unit_id: u8,
    pub(crate) table: Table,
    /// The first register as it is sent, counted from 0.
    pub(crate) start: u16,
    pub(crate) kind: Kind,
    pub(crate) order: Order,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    pub(crate) unit: Option<String>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) poll_class: String,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Where the tag's poll class, or else its name, stands in the file.
    pub(crate) class_at: (u32, u32),
}

/// All tags, in the order of the file.
#[derive(Debug)]
pub(crate) struct RegisterMap {
    pub(crate) tags: Vec<Tag>,
}

impl Table {
    /// Whether its cells are bits.
    pub(crate) fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// The word in the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Input => "input",
            Self::Holding => "holding",
        }
    }

    /// The four tables.
    pub(crate) const ALL: [Self; 4] = [Self::Coil, Self::Discrete, Self::Input, Self::Holding];
}

impl Tag {
    /// The first register after the tag.
    pub(crate) fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.kind.width())
    }

    /// The value in engineering units of what stood in the registers.
    pub(crate) fn engineering(&self, raw: f64) -> f64 {
        raw * self.scale + self.offset
    }

    /// The number that stands for a value in engineering units, before it is rounded to the type.
    pub(crate) fn raw(&self, value: f64) -> f64 {
        (value - self.offset) / self.scale
    }

    /// Reads the tag from the bytes of a block of registers that begins at `block_start`.
    pub(crate) fn read_registers(&self, block_start: u16, bytes: &[u8]) -> Option<Raw> {
        let from = usize::from(self.start.checked_sub(block_start)?) * 2;
        self.scaled(self.kind.decode(self.order, bytes.get(from..)?)?)
    }

    /// Reads the tag from the bits of a block of coils that begins at `block_start`, eight a byte, lowest first.
    pub(crate) fn read_bits(&self, block_start: u16, bytes: &[u8]) -> Option<Raw> {
        let at = usize::from(self.start.checked_sub(block_start)?);
        let bit = bytes.get(at / 8)? >> (at % 8) & 1;
        self.scaled(Raw::Number(f64::from(bit)))
    }

    fn scaled(&self, raw: Raw) -> Option<Raw> {
        Some(match raw {
            Raw::Number(raw) => {
                let value = self.engineering(raw);
                if value.is_finite() { Raw::Number(value) } else { Raw::NotFinite }
            }
            other => other,
        })
    }
}

impl RegisterMap {
    /// Reads the file at `path`, named `written` in the pipeline file.
    pub(crate) fn load(path: &Path, written: &str, defaults: Defaults) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::option("registers", format!("file \"{written}\" could not be read: {error}"))
                .hint("paths start from the folder of the pipeline file")
        })?;
        Self::read(path, &text, defaults)
    }

    /// Reads the text of a map; every mistake is told, each with its place.
    pub(crate) fn read(file: &Path, text: &str, defaults: Defaults) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let cells = Cells::read(file, text, &COLUMNS, &mut problems);
        for required in [Column::Name, Column::Address] {
            if !cells.has(required as usize) && !cells.rows.is_empty() {
                problems.push(problem(file, 1, 1, format!("column \"{}\" is missing", required.word())));
            }
        }
        let mut tags = Vec::new();
        let mut places = Vec::new();
        for row in &cells.rows {
            let Some(first) = row.first() else { continue };
            let mut reader = Row { file, cells: &cells, row, first, problems: &mut problems };
            if let Some(tag) = reader.tag(defaults) {
                places.push((first.line, first.column));
                tags.push(tag);
            }
        }
        check_names(file, &cells, &mut problems);
        check_writers(file, &tags, &places, &mut problems);
        if cells.rows.is_empty() && problems.0.is_empty() {
            problems.push(problem(file, 1, 1, "the register map has no tags"));
        }
        problems.or(Self { tags })
    }
}

fn check_names(file: &Path, cells: &Cells, problems: &mut Problems) {
    let mut seen = HashMap::new();
    for cell in cells.rows.iter().filter_map(|row| cells.cell(row, Column::Name as usize)) {
        if let Some(first) = seen.insert(cell.text.as_str(), cell.line) {
            let message = format!("tag \"{}\" stands in line {first} already", cell.text);
            problems.push(problem(file, cell.line, cell.column, message));
        }
    }
}

fn check_writers(file: &Path, tags: &[Tag], places: &[(u32, u32)], problems: &mut Problems) {
    let mut writers = HashMap::<(u8, Table, u32), &str>::new();
    for (tag, (line, column)) in tags.iter().zip(places).filter(|(tag, _)| tag.writable) {
        let taken = (u32::from(tag.start)..tag.end())
            .filter_map(|register| writers.insert((tag.unit_id, tag.table, register), &tag.name))
            .next();
        if let Some(other) = taken {
            let message = format!("tag \"{}\" writes a register that tag \"{other}\" writes", tag.name);
            let hint = "one of the two can only read: access RO";
            problems.push(problem(file, *line, *column, message).hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn read(text: &str) -> Result<RegisterMap, Problems> {
        RegisterMap::read(Path::new("oven.csv"), text, Defaults { unit: 7, base: 0 })
    }

    #[test]
    fn columns_come_in_any_order_and_have_defaults() {
        let map = read("address,name,type,table,description\n10,t,f32,input,top\n40003,sp,i16,,\n00001,on,,,\n")
            .expect("good");
        let [t, sp, on] = &map.tags[..] else { panic!("three tags") };
        assert_eq!((t.unit_id, t.table, t.start, t.kind), (7, Table::Input, 10, Kind::F32));
        assert_eq!((sp.table, sp.start, sp.poll_class.as_str()), (Table::Holding, 2, "default"));
        assert_eq!((on.table, on.start, on.kind, on.writable), (Table::Coil, 0, Kind::Bool, false));
    }

    #[test]
    fn six_digits_and_base_one() {
        let defaults = Defaults { unit: 1, base: 1 };
        let map =
            RegisterMap::read(Path::new("m"), "name,table,address,type\na,,465536,u16\nb,holding,1,u16\n", defaults);
        let starts = map.expect("good").tags.iter().map(|tag| tag.start).collect::<Vec<_>>();
        assert_eq!(starts, [65_535, 0]);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let problems = read(
            "name,unit_id,table,address,type,bit,length,byte_order,scale,access,min,max\n\
             a,,holding,0,u16,,,,,RW,9,1\n\
             a,,input,1,u16,,,,,RW,,\n\
             b,300,holding,1,ui16,,,,0,RX,,\n\
             c,,holding,2,bit,,,,,,,\n\
             d,,holding,3,bit,16,,,,,,\n\
             e,,holding,4,bit,1,,,,RW,,\n\
             f,,coil,5,f32,,,,,,,\n\
             g,,holding,6,bool,,,,,,,\n\
             h,,holdng,7,u16,,,,,,,\n\
             i,,,8,u16,,,,,,,\n\
             j,,holding,65535,u32,,,,,,,\n\
             k,,holding,70000,u16,,,,,,,\n\
             l,,holding,10,string,,4,DCBA,,,,\n\
             m,,holding,11,u16,3,,ACBD,x,RO,1,\n\
             ,,holding,12,u16,,,,,,,\n\
             n,,holding,0,i16,,,,,WO,,\n",
        )
        .expect_err("wrong");
        let lines = problems.0.iter().map(|p| {
            let place = Problems(vec![p.clone()]).to_string();
            format!("{place}{}\n", p.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default())
        });
        expect![[r#"
            oven.csv:2:25: column "min" is above "max": 9 > 1
            oven.csv:3:20: table "input" can only be read (access RO)
            oven.csv:4:3: column "unit_id" expects a number from 0 to 255, found "300"
            oven.csv:4:17: unknown type "ui16" (did you mean "i16"?)
            oven.csv:4:25: column "scale" expects a number other than 0, found "0"
            oven.csv:4:27: unknown access "RX" (did you mean "RO"?)
            oven.csv:5:14: type "bit" needs the column "bit", 0 (lowest) to 15
            oven.csv:6:18: column "bit" expects a number from 0 to 15, found "16"
            oven.csv:7:23: one bit of a register cannot be written without touching the others (give the whole register as u16, or use a coil if the device offers one)
            oven.csv:8:11: table "coil" holds single bits, not f32 (type bool)
            oven.csv:9:14: table "holding" holds registers, not bool (type bit with its number, or u16)
            oven.csv:10:4: unknown table "holdng" (did you mean "holding"?)
            oven.csv:11:5: address "8" does not say which table it is in (fill the column table, or use 5 or 6 digits such as 40001 (holding) or 30001 (input))
            oven.csv:12:12: the tag reaches beyond the last register, 65535
            oven.csv:13:12: column "address" expects a number from 0 to 65535, found "70000"
            oven.csv:14:25: in a string only the bytes can be swapped (byte_order ABCD or BADC)
            oven.csv:15:19: column "bit" is for type bit (leave it empty)
            oven.csv:15:22: unknown byte order "ACBD" (did you mean "ABCD"?)
            oven.csv:15:27: column "scale" expects a number other than 0, found "x"
            oven.csv:15:32: column "min" limits writing, and the tag is read only (leave it empty)
            oven.csv:16:1: the tag has no name
            oven.csv:3:1: tag "a" stands in line 2 already
        "#]].assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn reading_may_overlap_and_writing_may_not() {
        assert!(read("name,table,address,type,bit\nw,holding,0,u16,\nb,holding,0,bit,3\n").is_ok());
        assert!(read("name,table,address,type,access\nw,holding,0,u16,RW\nv,holding,0,f32,RO\n").is_ok());
        let wrong =
            read("name,table,address,type,access\nw,holding,1,u16,RW\nv,holding,0,f32,RW\n").expect_err("overlap");
        assert_eq!(wrong.to_string(), "oven.csv:3:1: tag \"v\" writes a register that tag \"w\" writes");
    }
}

//! From rows to writes: which values may be written, and with how few requests. Decides only; the sink acts.
//!
//! A row is turned away, never changed: an unknown tag, a tag that is not writable, a value outside the limits of the map or of
//! the register's type, a missing value, NaN or bad quality. Of several rows for one tag only the newest is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float64Type, Schema, TimestampMicrosecondType};
use lineside_model::schema::{QUALITY, SENSOR, TS, VALUE, as_type, time_type};
use lineside_model::{Quality, Reason, Result};

use super::frame::{Request, WRITE_BITS, WRITE_REGISTERS};
use super::map::{Table, Tag};
use super::value::{Kind, Raw};

/// What becomes of the rows of a batch.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// Writes, by unit, table and address.
    pub(crate) writes: Vec<Write>,
    /// Rows that are not written.
    pub(crate) rejected: Tally,
}

/// Rows by reason, with one line about the last of each.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<Reason, (usize, String)>);

/// Tags that are written with one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    pub(crate) unit: u8,
    pub(crate) table: Table,
    pub(crate) start: u16,
    /// Registers, or for coils 0 and 1.
    pub(crate) words: Vec<u16>,
    /// The tags (indices into the map) and their values in engineering units, by address.
    pub(crate) tags: Vec<(usize, f64)>,
}

/// What was read back for one tag of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// The value in engineering units; `None` if it could not be read.
    pub(crate) value: Option<f64>,
    /// Whether it is within the tolerance of what was written.
    pub(crate) same: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, reason: Reason, line: impl Into<String>) {
        let entry = self.0.entry(reason).or_default();
        entry.0 += 1;
        entry.1 = line.into();
    }

    pub(crate) fn into_rows(self) -> Vec<(Reason, usize, String)> {
        self.0.into_iter().map(|(reason, (rows, line))| (reason, rows, line)).collect()
    }
}

impl Write {
    /// The request that writes it. Without `single` a lone register or coil is written with the functions for several.
    pub(crate) fn request(&self, single: bool) -> Request {
        match (self.table.is_bits(), &self.words[..]) {
            (false, &[value]) if single => Request::WriteRegister { start: self.start, value },
            (true, &[value]) if single => Request::WriteCoil { start: self.start, on: value != 0 },
            (false, words) => Request::WriteRegisters { start: self.start, values: words.to_vec() },
            (true, words) => {
                Request::WriteCoils { start: self.start, values: words.iter().map(|word| *word != 0).collect() }
            }
        }
    }

    /// The request that reads it back.
    pub(crate) fn read_back(&self) -> Request {
        let count = u16::try_from(self.words.len()).unwrap_or(u16::MAX);
        Request::Read { table: self.table, start: self.start, count }
    }

    /// Each tag by itself.
    pub(crate) fn singly(&self, tags: &[Tag]) -> Vec<Self> {
        let alone = |&(n, value): &(usize, f64)| {
            let tag: &Tag = tags.get(n)?;
            let from = usize::from(tag.start - self.start);
            let words = self.words.get(from..from + usize::from(tag.kind.width()))?.to_vec();
            Some(Self { start: tag.start, words, tags: vec![(n, value)], ..self.clone() })
        };
        self.tags.iter().filter_map(alone).collect()
    }

    /// What was read back for each tag.
    pub(crate) fn compare(&self, tags: &[Tag], read: &[u8], tolerance: Option<f64>) -> Vec<Found> {
        let compare = |&(n, wanted): &(usize, f64)| {
            let tag = tags.get(n)?;
            let raw = if self.table.is_bits() {
                tag.read_bits(self.start, read)
            } else {
                tag.read_registers(self.start, read)
            };
            let Some(Raw::Number(found)) = raw else { return Some(Found { value: None, same: false }) };
            let same = (found - wanted).abs() <= tolerance.unwrap_or_else(|| half_step(tag, wanted));
            Some(Found { value: Some(found), same })
        };
        self.tags.iter().filter_map(compare).collect()
    }
}

/// Half a step of the tag's register, in engineering units, so that only what was written counts as held; for floats what
/// their digits lose.
fn half_step(tag: &Tag, value: f64) -> f64 {
    match tag.kind {
        Kind::F32 => f64::from(f32::EPSILON) * (value.abs() + tag.offset.abs()),
        Kind::F64 => 4.0 * f64::EPSILON * (value.abs() + tag.offset.abs()),
        // A hair more than the half, since 0.1 × 10 is not 1 in binary.
        _ if tag.kind.is_integer() => tag.scale.abs() * (0.5 + 1e-9) + 4.0 * f64::EPSILON * value.abs(),
        _ => 0.0,
    }
}

/// One row that may be written.
struct Command {
    /// The tag, an index into the map.
    tag: usize,
    /// When the command was decided, in microseconds; the least there is if the rows have no time.
    ts: i64,
    value: f64,
    words: Vec<u16>,
}

/// Decides what of a batch is written. Made once for a register map and the schema of the rows.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    tags: Arc<[Tag]>,
    by_name: HashMap<String, usize>,
    columns: Columns,
}

impl Judge {
    /// For rows of this schema, in which [`column_types`] says what is.
    ///
    /// # Errors
    /// If a column that must be there is not.
    pub(crate) fn new(tags: &Arc<[Tag]>, schema: &Schema) -> Result<Self> {
        let by_name = tags.iter().enumerate().map(|(n, tag)| (tag.name.clone(), n)).collect();
        let columns = Columns {
            sensor: schema.index_of(SENSOR)?,
            value: schema.index_of(VALUE)?,
            quality: schema.index_of(QUALITY).ok(),
            ts: schema.index_of(TS).ok(),
        };
        Ok(Self { tags: Arc::clone(tags), by_name, columns })
    }

    /// What becomes of the rows of a batch.
    ///
    /// # Errors
    /// If a column is not of a type that was checked for, which is our bug.
    pub(crate) fn decide(&self, rows: &RecordBatch) -> Result<Decided> {
        let given = self.columns.of(rows)?;
        let mut decided = Decided::default();
        let mut commands = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            match self.command(&given, row) {
                Ok(command) => commands.push(command),
                Err((reason, line)) => decided.rejected.add(reason, line),
            }
        }
        // By address, so that neighbours stand together, and the newest command for a tag is the last: of equal ones that of the
        // later row.
        commands.sort_by_key(|command| {
            let tag = &self.tags[command.tag];
            (tag.unit_id, tag.table, tag.start, command.tag, command.ts)
        });
        let mut newest = Vec::with_capacity(commands.len());
        for command in commands {
            if let Some(older) = newest.pop_if(|older: &mut Command| older.tag == command.tag) {
                let line =
                    format!("tag \"{}\": {} has a newer value in its batch", self.tags[older.tag].name, older.value);
                decided.rejected.add(Reason::Superseded, line);
            }
            newest.push(command);
        }
        decided.writes = group(&self.tags, newest);
        Ok(decided)
    }

    /// The command of a row, or why it is not written.
    fn command(&self, given: &Given, row: usize) -> Result<Command, (Reason, String)> {
        let name = if given.sensor.is_valid(row) { given.sensor.value(row) } else { "" };
        let Some((n, tag)) = self.by_name.get(name).and_then(|&n| Some((n, self.tags.get(n)?))) else {
            return Err((Reason::UnknownTag, format!("tag \"{name}\" is not in the register map")));
        };
        if !tag.writable {
            return Err((
                Reason::NotWritable,
                format!("tag \"{name}\" can only be read: access RO in the register map"),
            ));
        }
        let good = given.quality.as_ref().is_none_or(|quality| quality[row] != Quality::Bad);
        let value = if given.value.is_valid(row) { given.value.value(row) } else { f64::NAN };
        if !good || !value.is_finite() {
            let line = format!("tag \"{name}\": a command without a value or of bad quality is not written");
            return Err((Reason::BadQuality, line));
        }
        let (min, max) = (tag.min.unwrap_or(f64::NEG_INFINITY), tag.max.unwrap_or(f64::INFINITY));
        if !(min..=max).contains(&value) {
            return Err((Reason::OutsideLimits, format!("tag \"{name}\": {value} is outside {min} to {max}")));
        }
        let words = match tag.kind {
            Kind::Bool if value == 0.0 || value == 1.0 => Some(vec![u16::from(value == 1.0)]),
            kind => kind.encode(tag.order, tag.raw(value)),
        };
        let Some(words) = words else {
            return Err((Reason::OutsideLimits, format!("tag \"{name}\": {value} does not fit into its register")));
        };
        let ts = given.ts.as_ref().filter(|ts| ts.is_valid(row)).map_or(i64::MIN, |ts| ts.value(row));
        Ok(Command { tag: n, ts, value, words })
    }
}

/// Puts neighbours of one unit and table together; the commands are in the order of their addresses.
fn group(tags: &[Tag], commands: Vec<Command>) -> Vec<Write> {
    let mut writes = Vec::<Write>::new();
    for Command { tag: n, value, words, .. } in commands {
        let tag = &tags[n];
        let most = usize::from(if tag.table.is_bits() { WRITE_BITS } else { WRITE_REGISTERS });
        if let Some(last) = writes.last_mut()
            && (last.unit, last.table) == (tag.unit_id, tag.table)
            && usize::from(last.start) + last.words.len() == usize::from(tag.start)
            && last.words.len() + words.len() <= most
        {
            last.words.extend(words);
            last.tags.push((n, value));
        } else {
            writes.push(Write { unit: tag.unit_id, table: tag.table, start: tag.start, words, tags: vec![(n, value)] });
        }
    }
    writes
}

/// Where in a batch the columns are that a write needs.
#[derive(Clone, Copy, Debug)]
struct Columns {
    sensor: usize,
    value: usize,
    quality: Option<usize>,
    ts: Option<usize>,
}

/// Those columns of a batch.
struct Given {
    sensor: StringArray,
    value: Float64Array,
    quality: Option<Vec<Quality>>,
    ts: Option<TimestampMicrosecondArray>,
}

/// The columns that the sink can read, checked before the pipeline runs: the name, whether it must be there, its type.
pub(crate) fn column_types() -> [(&'static str, bool, DataType); 4] {
    [
        (SENSOR, true, DataType::Utf8),
        (VALUE, true, DataType::Float64),
        (QUALITY, false, DataType::Utf8),
        (TS, false, time_type()),
    ]
}

impl Columns {
    fn of(self, rows: &RecordBatch) -> Result<Given> {
        let ts = self.ts.map(|ts| as_type(rows.column(ts), &time_type())).transpose()?;
        Ok(Given {
            sensor: as_type(rows.column(self.sensor), &DataType::Utf8)?.as_string().clone(),
            value: as_type(rows.column(self.value), &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
            quality: self.quality.map(|n| Quality::of_column(rows.column(n))).transpose()?,
            ts: ts.map(|ts| ts.as_primitive::<TimestampMicrosecondType>().clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::map::{Defaults, RegisterMap};

    fn tags() -> Arc<[Tag]> {
        let map = "name,table,address,type,scale,access,min,max\n\
                   sp,holding,0,u16,0.1,RW,0,400\nmode,holding,1,u16,,RW,,\nfar,holding,9,f32,,RW,,\n\
                   on,coil,0,,,RW,,\nlamp,coil,1,,,RW,,\ntemp,input,0,i16,,RO,,\n";
        RegisterMap::read("m".as_ref(), map, Defaults { unit: 1, base: 0 }).expect("good").tags.into()
    }

    fn rows(rows: &[(&str, Option<f64>, &str, i64)]) -> RecordBatch {
        let names = rows.iter().map(|row| Some(row.0)).collect::<StringArray>();
        let values = rows.iter().map(|row| row.1).collect::<Float64Array>();
        let quality = Quality::column(rows.iter().map(|row| Quality::from_word(row.2).expect("a quality")));
        let ts = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.3)).with_timezone("UTC");
        RecordBatch::try_from_iter([
            (SENSOR, Arc::new(names) as _),
            (VALUE, Arc::new(values) as _),
            (QUALITY, quality),
            (TS, Arc::new(ts) as _),
        ])
        .expect("columns of one length")
    }

    fn decided(given: &[(&str, Option<f64>, &str, i64)]) -> Decided {
        let rows = rows(given);
        let judge = Judge::new(&tags(), &rows.schema()).expect("the columns that it needs");
        judge.decide(&rows).expect("readable columns")
    }

    #[test]
    fn neighbours_go_in_one_request_and_others_alone() {
        let decided = decided(&[
            ("lamp", Some(0.0), "good", 1),
            ("mode", Some(1.0), "good", 1),
            ("sp", Some(180.0), "uncertain", 1),
            ("far", Some(1.5), "good", 1),
            ("on", Some(1.0), "good", 1),
        ]);
        let requests = decided.writes.iter().map(|write| write.request(true)).collect::<Vec<_>>();
        assert_eq!(
            requests,
            [
                Request::WriteCoils { start: 0, values: vec![true, false] },
                Request::WriteRegisters { start: 0, values: vec![1800, 1] },
                Request::WriteRegisters { start: 9, values: vec![0x3fc0, 0] },
            ]
        );
        let alone = decided.writes[1].singly(&tags());
        assert_eq!(alone[1].request(true), Request::WriteRegister { start: 1, value: 1 });
        assert_eq!(alone[1].request(false), Request::WriteRegisters { start: 1, values: vec![1] });
    }

    #[test]
    fn what_must_not_be_written_is_turned_away_with_its_reason() {
        let decided = decided(&[
            ("spp", Some(1.0), "good", 1),
            ("temp", Some(1.0), "good", 1),
            ("sp", Some(400.1), "good", 1),
            ("sp", Some(-0.1), "good", 1),
            ("sp", None, "good", 1),
            ("sp", Some(f64::NAN), "good", 1),
            ("sp", Some(100.0), "bad", 1),
            ("mode", Some(65_536.0), "good", 1),
            ("on", Some(0.5), "good", 1),
        ]);
        assert_eq!(decided.writes, []);
        let counts =
            decided.rejected.into_rows().into_iter().map(|(reason, rows, _)| (reason, rows)).collect::<Vec<_>>();
        let expected =
            [(Reason::UnknownTag, 1), (Reason::BadQuality, 3), (Reason::NotWritable, 1), (Reason::OutsideLimits, 4)];
        assert_eq!(counts, expected);
    }

    #[test]
    fn only_the_newest_command_for_a_tag_is_written() {
        let decided = decided(&[
            ("sp", Some(10.0), "good", 5),
            ("sp", Some(30.0), "good", 7),
            ("sp", Some(20.0), "good", 6),
            ("mode", Some(1.0), "good", 1),
            ("mode", Some(2.0), "good", 1),
        ]);
        assert_eq!(decided.writes[0].words, [300, 2]);
        assert_eq!(decided.rejected.into_rows()[0].1, 3);
    }

    #[test]
    fn reading_back_allows_for_rounding_and_no_more() {
        let decided = decided(&[("sp", Some(180.04), "good", 1)]);
        let [write] = &decided.writes[..] else { panic!("one write") };
        let held = |register: u16| write.compare(&tags(), &register.to_be_bytes(), None)[0].same;
        assert!(held(1800));
        assert!(!held(1801) && !held(1799));
        assert!(write.compare(&tags(), &1805u16.to_be_bytes(), Some(0.5))[0].same);
    }
}

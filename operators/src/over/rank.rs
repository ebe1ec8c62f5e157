//! Ranks within windows: the ten hottest sensors of each minute.
//!
//! Every row is given its place among the rows of its partition, of which a window is part: so a partition is complete when the
//! watermark has passed its window, and then its rows come out, best first. Windows come out in the order of time, the
//! partitions of a window in the order of their keys, rows of equal rank in the order of arrival. A row that comes later is counted
//! as late. Where only the best are asked for, the others leave early and are counted as filtered.
//!
//! | in, `PARTITION BY window_end ORDER BY mean DESC` | out |
//! | --- | --- |
//! | window to 60 s, oven 1, mean 180; oven 2, mean 190 | nothing yet |
//! | watermark behind 60 s | oven 2 with 1, oven 1 with 2 |

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use lineside_model::{Error, Problem, Problems, Reason, Result, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::waiting::{BATCHES_SPARE, Held, Picked, ROWS_MIN};
use crate::{Emitter, Operator, PlannedOperator, Port, Snapshot, TimeColumn, saved_rows};

const KIND: &str = "rank";
const VERSION: u32 = 1;
/// So many rows of a window may wait beyond twice those that may come out.
const ROWS_SPARE: usize = 1024;

/// How rows of equal order are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankFunction {
    /// 1, 2, 3, 4: in the order of arrival.
    RowNumber,
    /// 1, 2, 2, 4: alike, and what follows has all before it counted.
    Rank,
    /// 1, 2, 2, 3: alike, and nothing is left out.
    DenseRank,
}

impl RankFunction {
    /// The function of this name in SQL.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "row_number" => Some(Self::RowNumber),
            "rank" => Some(Self::Rank),
            "dense_rank" => Some(Self::DenseRank),
            _ => None,
        }
    }
}

/// A column that rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankOrder {
    /// Which one.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether null comes before all values.
    pub nulls_first: bool,
}

/// Ranks to be added to every row. Columns are counted from 0 in the input.
#[derive(Clone, Debug)]
pub struct RankSpec {
    /// The columns whose rows are ranked together.
    pub partition: Vec<usize>,
    /// Those of them that are event times, and how far each may be behind the watermark.
    pub times: Vec<(usize, Span)>,
    /// What rows are ordered by.
    pub order: Vec<RankOrder>,
    /// How many columns of the input, the first ones, go on.
    pub passed_on: usize,
    /// The ranks that are added behind them, and their names.
    pub ranks: Vec<(RankFunction, String)>,
    /// Of which rank (counted from 0) only values up to this come out.
    pub best: Option<(usize, u64)>,
}

/// Checks ranks over an input.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn plan(spec: &RankSpec, input: &SchemaRef) -> Result<PlannedOperator, Problems> {
    let width = input.fields().len();
    let columns = spec.partition.iter().chain(spec.order.iter().map(|order| &order.column));
    let mut columns = columns.chain(spec.times.iter().map(|(column, _)| column));
    if let Some(beyond) = columns.find(|n| **n >= width) {
        return Err(Problem::whole(format!("the input has no column number {beyond}")).into());
    }
    if spec.times.is_empty() {
        let problem = Problem::whole("a rank is complete with its window, and there is none");
        return Err(problem.hint("PARTITION BY window_start, window_end of a windowed query").into());
    }
    let mut problems = Problems::default();
    for column in spec.partition.iter().chain(spec.order.iter().map(|order| &order.column)) {
        let field = input.field(*column);
        if !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
            let problem = Problem::whole(format!("\"{}\" has no order, it is {}", field.name(), field.data_type()));
            problems.push(problem.hint("take a number, a text, a boolean or a time"));
        }
    }
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let ranks = spec.ranks.iter().map(|(_, name)| Arc::new(Field::new(name, DataType::UInt64, false)));
    let fields = input.fields()[..spec.passed_on].iter().map(Arc::clone).chain(ranks).collect::<Vec<_>>();
    let output = Arc::new(Schema::new(fields));
    let name = |column: usize| input.field(column).name().clone();
    let times = spec.times.iter().filter(|(column, _)| *column < spec.passed_on);
    let times = times.map(|(column, delay)| TimeColumn { name: name(*column), delay: *delay }).collect();
    let windows = spec.times.iter().map(|(column, _)| name(*column)).collect::<Vec<_>>().join(", ");
    let parts = spec.partition.iter().map(|column| name(*column)).collect::<Vec<_>>();
    let state = match &spec.best {
        Some((rank, best)) => {
            let (parts, rank) = (parts.join(", "), &spec.ranks[*rank].1);
            format!(
                "state: rows up to {rank} {best} of each {parts}, and as many again and {ROWS_SPARE} before they are looked through"
            )
        }
        None => "state: all rows of windows that are not complete".to_owned(),
    };
    let explain = vec![
        format!("a window's rows are put out when the watermark has passed {windows}"),
        "rows of windows that were put out are dropped and counted as late".to_owned(),
        state,
    ];
    let layout =
        Arc::new(Layout { spec: spec.clone(), input: SchemaRef::clone(input), output: SchemaRef::clone(&output) });
    let build = move || -> Box<dyn Operator> {
        let layout = Arc::clone(&layout);
        Box::new(Ranks { layout, windows: BTreeMap::new(), passed: Timestamp::MIN, rows: 0 })
    };
    Ok(PlannedOperator {
        partition_by: Some(parts),
        explain,
        times,
        tells_late: true,
        ..PlannedOperator::new(output, build)
    })
}

/// What was planned, shared by all workers.
#[derive(Debug)]
struct Layout {
    spec: RankSpec,
    input: SchemaRef,
    output: SchemaRef,
}

/// The rows of one window, in the order of arrival.
#[derive(Debug, Default)]
struct Window {
    held: Vec<Held>,
    rows: usize,
    /// Beyond so many rows it is looked which of them can still be among the best.
    rows_limit: usize,
}

impl Window {
    /// All rows: which batch, and which row of it.
    fn all(&self) -> Vec<(usize, usize)> {
        let rows = |(batch, held): (usize, &Held)| (0..held.rows.num_rows()).map(move |row| (batch, row));
        self.held.iter().enumerate().flat_map(rows).collect()
    }
}

/// Adds ranks to rows.
#[derive(Debug)]
struct Ranks {
    layout: Arc<Layout>,
    /// By the watermark that they have to be behind of.
    windows: BTreeMap<i64, Window>,
    passed: Timestamp,
    rows: usize,
}

#[derive(Serialize, Deserialize)]
struct RanksState {
    passed: Timestamp,
    rows: Vec<u8>,
}

/// Rows in the order of their ranks.
struct Ranked {
    /// Which batch, and which row of it.
    at: Vec<(usize, usize)>,
    /// One column for each rank.
    ranks: Vec<Vec<u64>>,
}

impl Ranks {
    /// For each row the watermark that its window ends with: none of the times in its partition comes again behind it.
    fn due(&self, rows: &RecordBatch) -> Result<Vec<Option<i64>>> {
        let mut due = vec![Some(i64::MAX); rows.num_rows()];
        for (column, delay) in &self.layout.spec.times {
            let times = rows.column(*column).as_primitive_opt::<TimestampMicrosecondType>();
            let times = times.ok_or_else(|| Error::internal("the time of a rank has no microseconds"))?;
            for (due, time) in due.iter_mut().zip(times) {
                *due = due.zip(time).map(|(due, time)| due.min(time.saturating_add(delay.micros())));
            }
        }
        Ok(due)
    }

    fn take(&mut self, rows: &RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        let due = self.due(rows)?;
        let mut start = 0;
        while start < due.len() {
            let len = due[start..].iter().take_while(|other| **other == due[start]).count();
            match due[start] {
                None => out.dropped(Reason::NoTime, len),
                Some(due) if due < self.passed.micros() => {
                    out.dropped(Reason::Late, len);
                    if out.wants_late(0) {
                        let (time, _) = self.layout.spec.times[0];
                        out.late(0, rows.slice(start, len), time)?;
                    }
                }
                Some(due) => {
                    let window = self.windows.entry(due).or_default();
                    window.held.push(Held { rows: rows.slice(start, len), made: Vec::new() });
                    window.rows += len;
                    self.rows += len;
                    if self.layout.spec.best.is_some() && window.rows > window.rows_limit.max(ROWS_SPARE) {
                        self.rows -= self.layout.keep_best(window, out)?;
                    }
                    if window.held.len() > BATCHES_SPARE + window.rows / ROWS_MIN {
                        let all = window.all();
                        self.layout.put_together(window, all)?;
                    }
                }
            }
            start += len;
        }
        Ok(())
    }
}

impl Layout {
    fn ranked(&self, window: &Window) -> Result<Ranked> {
        let field = |column: usize| SortField::new(self.input.field(column).data_type().clone());
        let parts = RowConverter::new(self.spec.partition.iter().map(|column| field(*column)).collect())?;
        let order = self.spec.order.iter().map(|by| {
            let options = SortOptions { descending: by.descending, nulls_first: by.nulls_first };
            SortField::new_with_options(self.input.field(by.column).data_type().clone(), options)
        });
        let order = RowConverter::new(order.collect())?;
        let mut keys = Vec::<(Rows, Rows)>::with_capacity(window.held.len());
        for held in &window.held {
            let columns = |of: &mut dyn Iterator<Item = usize>| {
                of.map(|column| Arc::clone(held.rows.column(column))).collect::<Vec<_>>()
            };
            let parted = columns(&mut self.spec.partition.iter().copied());
            let ordered = columns(&mut self.spec.order.iter().map(|by| by.column));
            // Without ORDER BY all rows are alike.
            let ordered = match ordered.is_empty() {
                true => order.empty_rows(0, 0),
                false => order.convert_columns(&ordered)?,
            };
            keys.push((parts.convert_columns(&parted)?, ordered));
        }
        let compare = |one: &(usize, usize), other: &(usize, usize)| {
            let part = |at: &(usize, usize)| keys[at.0].0.row(at.1);
            let place = |at: &(usize, usize)| (!self.spec.order.is_empty()).then(|| keys[at.0].1.row(at.1));
            (part(one).cmp(&part(other)), place(one).cmp(&place(other)))
        };
        let mut at = window.all();
        at.sort_by(|one, other| {
            let (part, place) = compare(one, other);
            part.then(place)
        });
        let mut ranks = vec![Vec::with_capacity(at.len()); self.spec.ranks.len()];
        let (mut number, mut rank, mut dense) = (0, 0, 0);
        for n in 0..at.len() {
            let (part, place) = match n.checked_sub(1) {
                Some(before) => compare(&at[before], &at[n]),
                None => (Ordering::Less, Ordering::Less),
            };
            if part != Ordering::Equal {
                (number, rank, dense) = (0, 0, 0);
            }
            number += 1;
            if part != Ordering::Equal || place != Ordering::Equal {
                rank = number;
                dense += 1;
            }
            for (ranks, (function, _)) in ranks.iter_mut().zip(&self.spec.ranks) {
                ranks.push(match function {
                    RankFunction::RowNumber => number,
                    RankFunction::Rank => rank,
                    RankFunction::DenseRank => dense,
                });
            }
        }
        if let Some((by, best)) = self.spec.best {
            let keep = ranks[by].iter().map(|rank| *rank <= best).collect::<Vec<_>>();
            let mut kept = keep.iter();
            at.retain(|_| *kept.next().unwrap_or(&true));
            for ranks in &mut ranks {
                let mut kept = keep.iter();
                ranks.retain(|_| *kept.next().unwrap_or(&true));
            }
        }
        Ok(Ranked { at, ranks })
    }

    /// Lets go of the rows that cannot be among the best any more, and says how many they were.
    fn keep_best(&self, window: &mut Window, out: &mut dyn Emitter) -> Result<usize> {
        let before = window.rows;
        let mut best = self.ranked(window)?.at;
        best.sort_unstable();
        self.put_together(window, best)?;
        window.rows_limit = 2 * window.rows + ROWS_SPARE;
        let left = before - window.rows;
        if left > 0 {
            out.dropped(Reason::Filtered, left);
        }
        Ok(left)
    }

    /// Keeps these rows and no others, in as few batches as will do.
    fn put_together(&self, window: &mut Window, at: Vec<(usize, usize)>) -> Result<()> {
        window.rows = at.len();
        let mut held = Vec::new();
        Picked::of(window.held.iter().collect(), at).each(self.input.fields().len(), &mut |_, columns| {
            let rows = RecordBatch::try_new(SchemaRef::clone(&self.input), columns)?;
            held.push(Held { rows, made: Vec::new() });
            Ok(())
        })?;
        window.held = held;
        Ok(())
    }

    fn put_out(&self, window: &Window, out: &mut dyn Emitter) -> Result<()> {
        let ranked = self.ranked(window)?;
        let left = window.rows - ranked.at.len();
        if left > 0 {
            out.dropped(Reason::Filtered, left);
        }
        let ranks = ranked.ranks.into_iter().map(|ranks| Arc::new(UInt64Array::from(ranks)) as ArrayRef);
        let ranks = ranks.collect::<Vec<_>>();
        let mut start = 0;
        let picked = Picked::of(window.held.iter().collect(), ranked.at);
        picked.each(self.spec.passed_on, &mut |part, mut columns| {
            columns.extend(ranks.iter().map(|ranks| ranks.slice(start, part.len())));
            start += part.len();
            out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), columns)?)
        })
    }
}

impl Operator for Ranks {
    fn process(&mut self, _: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()> {
        self.take(&rows, out)
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        self.passed = self.passed.max(watermark);
        while let Some(first) = self.windows.first_entry()
            && (*first.key() < watermark.micros() || watermark == Timestamp::MAX)
        {
            let window = first.remove();
            self.rows -= window.rows;
            self.layout.put_out(&window, out)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let batches = self.windows.values().flat_map(|window| &window.held).map(|held| &held.rows);
        let rows = saved_rows::save(&self.layout.input, batches)?;
        Snapshot::save(KIND, VERSION, &RanksState { passed: self.passed, rows })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.load::<RanksState>(KIND, VERSION)?;
        let (schema, batches) = saved_rows::load(&state.rows)?;
        if schema.fields() != self.layout.input.fields() {
            return Err(Error::user("saved state of ranks has other rows")
                .hint("the pipeline was changed since the state was saved; start it with an empty state directory"));
        }
        (self.passed, self.rows, self.windows) = (state.passed, 0, BTreeMap::new());
        for rows in batches {
            let due = self.due(&rows)?.first().copied().flatten();
            let Some(due) = due else { continue };
            let window = self.windows.entry(due).or_default();
            window.rows += rows.num_rows();
            self.rows += rows.num_rows();
            window.held.push(Held { rows, made: Vec::new() });
        }
        Ok(())
    }

    fn open_rows(&self) -> u64 {
        self.rows as u64
    }
}

//! What an operator is, and what the engine needs to know of a kind of operator to plan one.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lineside_model::{Error, Problems, Reason, Result, Span, Timestamp};
use serde_json::Value;

use crate::Snapshot;
use crate::window::WindowQuery;

/// Which input of an operator a batch comes from, counted from 0.
pub type Port = usize;

/// Takes what an operator puts out.
pub trait Emitter {
    /// Hands rows on. Empty batches are allowed and are dropped by the receiver.
    fn emit(&mut self, rows: RecordBatch) -> Result<()>;

    /// Accounts for rows that leave the dataflow here; every row that neither goes on nor stays in state is counted so.
    fn dropped(&mut self, reason: Reason, rows: usize);

    /// Hands rows on by one of several outputs, counted from 0; output 0 is that of [`Emitter::emit`]. Each output has readers and
    /// books of its own, as if an operator of its own had put the rows out.
    fn emit_to(&mut self, output: usize, rows: RecordBatch) -> Result<()> {
        match output {
            0 => self.emit(rows),
            _ => Err(Error::internal(format!("rows were put out by output {output}, which nobody planned"))),
        }
    }

    /// Accounts for rows in the books of one of several outputs.
    fn dropped_from(&mut self, output: usize, reason: Reason, rows: usize) {
        if output == 0 {
            self.dropped(reason, rows);
        }
    }

    /// Whether anybody reads the rows that came too late for one of several outputs.
    fn wants_late(&self, output: usize) -> bool {
        let _unused = output;
        false
    }

    /// Hands on rows of the input that came too late for one of several outputs, by the event time in column `time`. They are counted
    /// as dropped all the same.
    fn late(&mut self, output: usize, rows: RecordBatch, time: usize) -> Result<()> {
        let _unused = (output, rows, time);
        Ok(())
    }
}

/// A state machine over batches: given this batch, or this much time, what follows?
///
/// The engine calls it from one thread, in the order of the edge: rows and watermarks of one port never overtake each other.
/// An operator must give the same rows however its input is cut into batches, and the same rows after `snapshot` and
/// `restore` at any point.
pub trait Operator: Send + Debug {
    /// Takes rows of one port. The batch has the schema that was planned for the port.
    ///
    /// # Errors
    /// Only for our bugs: what is wrong with a row is counted through [`Emitter::dropped`] or shown in the output.
    fn process(&mut self, port: Port, rows: RecordBatch, out: &mut dyn Emitter) -> Result<()>;

    /// The watermark of all inputs together reached `watermark`: no row with an earlier event time is on time any more.
    /// Called with rising values; `Timestamp::MAX` when the input has ended.
    ///
    /// # Errors
    /// As [`Operator::process`].
    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let _unused = (watermark, out);
        Ok(())
    }

    /// The clock reached `now`. Called at least once after the time named by [`Operator::wake_at`].
    ///
    /// # Errors
    /// As [`Operator::process`].
    fn tick(&mut self, now: Timestamp, out: &mut dyn Emitter) -> Result<()> {
        let _unused = (now, out);
        Ok(())
    }

    /// When the operator wants to be woken by the clock, or `None` if it only follows its input.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// The whole state, such that [`Operator::restore`] on a fresh operator of the same plan goes on as this one would.
    ///
    /// # Errors
    /// Only for our bugs.
    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::empty())
    }

    /// Takes over a state that was saved.
    ///
    /// # Errors
    /// If the snapshot is of another operator or of a version this one does not read.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.is_empty() {
            Ok(())
        } else {
            Err(Error::user("the saved state is of an operator that keeps state, this one keeps none"))
        }
    }

    /// Of one of several copies that share the rows of their input out at will: the watermark reached `watermark`, as for
    /// [`Operator::advance`], and what is complete by now is given away, to the copy that puts it out. `None` if that is nothing.
    ///
    /// # Errors
    /// As [`Operator::process`]. Only operators whose plan says that they [gather](PlannedOperator::gathers) can do this.
    fn hand_over(&mut self, watermark: Timestamp) -> Result<Option<HandedOver>> {
        Err(Error::internal(format!("an operator that gathers nothing was asked for its part up to {watermark:?}")))
    }

    /// Of the copy that puts rows out: takes what another copy gave away. The watermark follows when all copies have been heard.
    ///
    /// # Errors
    /// As [`Operator::hand_over`].
    fn take_over(&mut self, part: HandedOver) -> Result<()> {
        Err(Error::internal(format!("an operator that gathers nothing was given {part:?}")))
    }

    /// Start and end of the oldest window that is open, if the operator has windows: what its watermark is waited for.
    fn oldest_open(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    /// The same of one of several outputs.
    fn oldest_open_of(&self, output: usize) -> Option<(Timestamp, Timestamp)> {
        if output == 0 { self.oldest_open() } else { None }
    }

    /// How many rows are held in state and have neither been put out nor counted as dropped: open windows.
    fn open_rows(&self) -> u64 {
        0
    }

    /// The same in the books of one of several outputs.
    fn open_rows_of(&self, output: usize) -> u64 {
        if output == 0 { self.open_rows() } else { 0 }
    }
}

/// A part of one copy's state on its way to the copy that puts rows out. Only the operator itself can look into it.
#[derive(Debug)]
pub struct HandedOver(pub(crate) Box<dyn Part>);

/// What can be handed over, between threads too.
pub(crate) trait Part: Any + Send + Debug {}

impl<T: Any + Send + Debug> Part for T {}

impl HandedOver {
    /// What it is, if it is a `T`.
    ///
    /// # Errors
    /// If it is of another operator, which is our bug.
    pub(crate) fn open<T: Part>(self) -> Result<T> {
        let part: Box<dyn Any> = self.0;
        part.downcast().map(|part| *part).map_err(|_| Error::internal("an operator was given the state of another one"))
    }
}

/// An operator that was checked and can be built, as often as there are workers.
pub struct PlannedOperator {
    /// The columns it puts out.
    pub output: SchemaRef,
    /// Columns of the input that must go to one worker together; empty if rows may be spread at will, `None` if all rows
    /// must go to one worker.
    pub partition_by: Option<Vec<String>>,
    /// Lines for `explain`: what bounds its state, what it does when.
    pub explain: Vec<String>,
    /// The columns of the output that are event times, the first being the one that windows use by default.
    pub times: Vec<TimeColumn>,
    /// Columns of the output that are columns of the only input, unchanged: name in the output, name in the input. What
    /// reads on can then be shared out by them as well.
    pub lineage: Vec<(String, String)>,
    /// Sensors it needs to find among its rows, such as the process variables of loops; empty if it takes what comes.
    pub reads: Vec<String>,
    /// Tags its rows address, such as the outputs of loops; a sink that writes tags must know each of them.
    pub writes: Vec<String>,
    /// What it computes, if it aggregates over windows: those that read the same can be computed by one operator.
    pub windows: Option<Arc<WindowQuery>>,
    /// What it does, told in full, if that follows from its input alone: of two operators that do the same with the same input
    /// one will do.
    pub identity: Option<String>,
    /// Whether it hands on rows that come too late, see [`Emitter::late`].
    pub tells_late: bool,
    /// Whether copies may share its rows out at will, in any order, if one of them gathers what the others
    /// [hand over](Operator::hand_over) and puts it out.
    pub gathers: bool,
    /// Makes one.
    pub build: BuildOperator,
}

/// Makes an operator.
pub type BuildOperator = Box<dyn Fn() -> Box<dyn Operator> + Send + Sync>;

impl PlannedOperator {
    /// An operator with these output columns that wants all rows on one worker, until told otherwise.
    pub fn new(output: SchemaRef, build: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static) -> Self {
        Self {
            output,
            partition_by: None,
            explain: Vec::new(),
            times: Vec::new(),
            lineage: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            windows: None,
            identity: None,
            tells_late: false,
            gathers: false,
            build: Box::new(build),
        }
    }

    /// Whether it looks at each row alone and keeps nothing, so that rows may be spread at will.
    pub fn is_row_by_row(&self) -> bool {
        self.partition_by.as_ref().is_some_and(Vec::is_empty)
    }

    /// Rows that are equal in these columns must go to one worker together; none: rows may be spread at will.
    #[must_use]
    pub fn partitioned_by(mut self, columns: impl IntoIterator<Item = String>) -> Self {
        self.partition_by = Some(columns.into_iter().collect());
        self
    }

    /// Adds a line for `explain`.
    #[must_use]
    pub fn explained(mut self, line: impl Into<String>) -> Self {
        self.explain.push(line.into());
        self
    }

    /// Adds a column of the output that is an event time.
    #[must_use]
    pub fn timed(mut self, name: impl Into<String>, delay: Span) -> Self {
        self.times.push(TimeColumn { name: name.into(), delay });
        self
    }

    /// Adds columns of the output that are columns of the only input, unchanged.
    #[must_use]
    pub fn passing_on(mut self, columns: impl IntoIterator<Item = (String, String)>) -> Self {
        self.lineage.extend(columns);
        self
    }

    /// Adds sensors it needs to find among its rows.
    #[must_use]
    pub fn reading(mut self, sensors: impl IntoIterator<Item = String>) -> Self {
        self.reads.extend(sensors);
        self
    }

    /// Adds tags that its rows address.
    #[must_use]
    pub fn writing(mut self, tags: impl IntoIterator<Item = String>) -> Self {
        self.writes.extend(tags);
        self
    }
}

impl Debug for PlannedOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedOperator")
            .field("output", &self.output)
            .field("explain", &self.explain)
            .finish_non_exhaustive()
    }
}

/// A column that is an event time: windows can be cut by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeColumn {
    /// Its name.
    pub name: String,
    /// How far behind the watermark a value may be that is still to come: no later row has a value below watermark − delay.
    /// Zero for the time column of a source; the window's size for `window_start`.
    pub delay: Span,
}

/// The rows that an operator is planned for.
#[derive(Clone, Debug)]
pub struct InputRows {
    /// Their columns.
    pub schema: SchemaRef,
    /// Those that are event times.
    pub times: Vec<TimeColumn>,
}

impl InputRows {
    /// How far behind the watermark the times of a column may be, or `None` if the column is no event time.
    pub fn delay(&self, column: &str) -> Option<Span> {
        self.times.iter().find(|time| time.name == column).map(|time| time.delay)
    }
}

/// What an operator may ask for while it is planned.
pub trait Files {
    /// The text of a file the user named, relative to the pipeline file.
    ///
    /// # Errors
    /// One line that says which file could not be read and why.
    fn read(&self, name: &str) -> std::result::Result<String, String>;

    /// The path of that file as it is shown to the user.
    fn path(&self, name: &str) -> std::path::PathBuf;
}

/// A kind of operator that a pipeline file can name.
pub trait OperatorKind: Sync {
    /// The word in the file: `type = "deadband"`.
    fn name(&self) -> &'static str;
    /// One line about it, for `lineside list` and the README.
    fn about(&self) -> &'static str;
    /// An example table, as it stands in a pipeline file.
    fn example(&self) -> &'static str;
    /// The JSON schema of its options (without `type` and `input`).
    fn options(&self) -> schemars::Schema;
    /// Checks options against the columns of the input and says what comes out. The delays of its event times are told as
    /// if those of the input had none; the caller adds them.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    fn plan(
        &self,
        options: &Value,
        input: &InputRows,
        files: &dyn Files,
    ) -> std::result::Result<PlannedOperator, Problems>;
}

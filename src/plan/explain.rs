//! The plan as text, for `lineside explain`: the graph, the columns on every edge, what each connector and operator says
//! about itself, and the bound of every queue. Secrets are blotted out, whoever wrote them.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};

use arrow::datatypes::{DataType, Schema, TimeUnit};
use lineside_model::Span;

use super::bounds::{
    CONTROL_BATCH_ROWS, DRAIN_BULK, DRAIN_CONTROL, EDGE_MESSAGES, MAX_BATCH_ROWS, TABLE_ROWS_MOST, TIME_KEYS_LIMIT,
    TOLD_MESSAGES,
};
use super::{Input, KeyTimePlan, NodePlan, OnBad, Plan, SinkPlan, SourcePlan};

impl Plan {
    /// The plan as text, without secrets.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let written = Explanation { plan: self }.write(&mut text);
        debug_assert!(written.is_ok());
        self.secrets.mask(&text).into_owned()
    }

    /// The name of an input as the pipeline file has it, with the step for queries that take several.
    pub fn input_name(&self, input: Input) -> String {
        match input {
            Input::Source(n) => self.sources[n].name.clone(),
            Input::DeadLetters(n) => format!("{}.dead_letters", self.sources[n].name),
            Input::Quarantine(n) => format!("{}.quarantine", self.sources[n].name),
            Input::Node(n) => self.nodes[n].name.clone(),
            Input::Late(n) => self.nodes[n].late.clone().unwrap_or_else(|| format!("{}.late", self.nodes[n].name)),
        }
    }
}

struct Explanation<'a> {
    plan: &'a Plan,
}

impl Explanation<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let Plan { name, workers, report_every, .. } = self.plan;
        let s = if *workers == 1 { "" } else { "s" };
        writeln!(out, "pipeline \"{name}\": {workers} bulk worker{s}, counters in the log every {report_every}")?;
        self.graph(out)?;
        for source in &self.plan.sources {
            writeln!(out)?;
            write_source(out, source)?;
        }
        for node in &self.plan.nodes {
            writeln!(out)?;
            self.node(out, node)?;
        }
        for sink in &self.plan.sinks {
            writeln!(out)?;
            self.sink(out, sink)?;
        }
        self.bounds(out)
    }

    /// Each source with all that its rows pass. What was shown before is named again without its branches.
    fn graph(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\ngraph")?;
        let mut shown = BTreeSet::new();
        for (n, source) in self.plan.sources.iter().enumerate() {
            let dead = (source.on_bad == OnBad::DeadLetter).then_some(Input::DeadLetters(n));
            let quarantine = Some(Input::Quarantine(n)).filter(|input| self.plan.is_read(*input));
            for root in [Input::Source(n)].into_iter().chain(dead).chain(quarantine) {
                writeln!(out, "  {}", self.plan.input_name(root))?;
                self.branches(out, root, "  ", &mut shown)?;
            }
        }
        for late in (0..self.plan.nodes.len()).map(Input::Late).filter(|late| self.plan.is_read(*late)) {
            writeln!(out, "  {}", self.plan.input_name(late))?;
            self.branches(out, late, "  ", &mut shown)?;
        }
        Ok(())
    }

    fn branches(&self, out: &mut String, from: Input, indent: &str, shown: &mut BTreeSet<usize>) -> fmt::Result {
        let nodes = self.plan.nodes.iter().enumerate().filter(|(_, node)| node.inputs.contains(&from));
        let nodes = nodes.map(|(n, _)| n).collect::<Vec<_>>();
        let sinks = self.plan.sinks.iter().filter(|sink| sink.input == from).collect::<Vec<_>>();
        let count = nodes.len() + sinks.len();
        for (at, node) in nodes.into_iter().enumerate() {
            let (corner, below) = if at + 1 == count { ("└─", "   ") } else { ("├─", "│  ") };
            let again = !shown.insert(node);
            writeln!(out, "{indent}{corner} {}{}", self.plan.nodes[node].name, if again { " (as above)" } else { "" })?;
            if !again {
                self.branches(out, Input::Node(node), &format!("{indent}{below}"), shown)?;
            }
        }
        for (at, sink) in sinks.iter().enumerate() {
            let corner = if at + 1 == sinks.len() { "└─" } else { "├─" };
            writeln!(out, "{indent}{corner} sink {} ({})", sink.name, sink.connector)?;
        }
        Ok(())
    }

    fn node(&self, out: &mut String, node: &NodePlan) -> fmt::Result {
        let inputs = node.inputs.iter().map(|&input| self.plan.input_name(input)).collect::<Vec<_>>().join(", ");
        writeln!(out, "step \"{}\" reads {inputs}", node.name)?;
        lines(out, &node.operator.explain)?;
        if let Some(late) = &node.late {
            writeln!(out, "  late rows also go to {late}")?;
        }
        let spread = match node.operator.partition_by.as_deref() {
            None => "all rows on one worker".to_owned(),
            Some([]) => "rows on any worker".to_owned(),
            Some(columns) if node.operator.gathers => {
                format!("rows on any worker if one gathers all, else rows of one {} on one worker", columns.join(", "))
            }
            Some(columns) => format!("rows of one {} on one worker", columns.join(", ")),
        };
        writeln!(out, "  {spread}")?;
        write_columns(out, &node.operator.output)?;
        for time in &node.operator.times {
            let delay = if time.delay == Span::ZERO {
                String::new()
            } else {
                format!(", up to {} behind the watermark", time.delay)
            };
            writeln!(out, "  event time: {}{delay}", time.name)?;
        }
        Ok(())
    }

    fn sink(&self, out: &mut String, sink: &SinkPlan) -> fmt::Result {
        let codec = sink.codec.map(|codec| format!(", codec {codec}")).unwrap_or_default();
        let reads = self.plan.input_name(sink.input);
        writeln!(
            out,
            "sink \"{}\" ({}{codec}) reads {reads}, {}",
            sink.name,
            sink.connector,
            lane(sink.planned.control)
        )?;
        lines(out, &sink.planned.explain)?;
        if let Some(age) = sink.expire_after {
            writeln!(out, "  rows whose newest reading is older than {age} are not written, and are counted")?;
        }
        write_columns(out, &self.plan.schema(sink.input))
    }

    fn bounds(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\nbounds")?;
        writeln!(out, "  each edge: {EDGE_MESSAGES} messages, then its writer waits")?;
        writeln!(
            out,
            "  but below field buses alone, to a sink that is none: {TOLD_MESSAGES} messages, then rows are dropped and counted"
        )?;
        writeln!(
            out,
            "  one turn of a source: {CONTROL_BATCH_ROWS} rows on the control lane, {MAX_BATCH_ROWS} on a bulk lane"
        )?;
        writeln!(
            out,
            "  taken at once, before the sockets are served: {DRAIN_CONTROL} messages on the control lane, {DRAIN_BULK} on a bulk lane"
        )
    }
}

fn write_source(out: &mut String, source: &SourcePlan) -> fmt::Result {
    if let Some(table) = &source.table {
        writeln!(out, "table \"{}\" ({}), {}", source.name, source.connector, lane(source.planned.control))?;
        lines(out, &source.planned.explain)?;
        let again = table.refresh.map_or_else(|| "read once".to_owned(), |every| format!("read again every {every}"));
        writeln!(out, "  {again}, whole; at most {TABLE_ROWS_MOST} rows")?;
        return write_columns(out, &source.schema);
    }
    let codec = source.codec.map(|codec| format!(", codec {codec}")).unwrap_or_default();
    writeln!(out, "source \"{}\" ({}{codec}), {}", source.name, source.connector, lane(source.planned.control))?;
    lines(out, &source.planned.explain)?;
    if source.codec.is_some() {
        let fate = match source.on_bad {
            OnBad::Drop => "is dropped and counted".to_owned(),
            OnBad::Fail => "stops the pipeline".to_owned(),
            OnBad::DeadLetter => format!("goes to {}.dead_letters and is counted", source.name),
        };
        writeln!(out, "  a message that does not decode {fate}")?;
    }
    write_columns(out, &source.schema)?;
    for column in &source.left_out {
        writeln!(out, "  left out: {column} of the wire, since the codec gives a column of that name")?;
    }
    let time = &source.time;
    let ahead = time.max_ahead.map_or_else(|| "any time ahead".to_owned(), |span| format!("at most {span} ahead"));
    let idle = time.idle_after.map_or_else(|| "never idle".to_owned(), |span| format!("idle after {span}"));
    let judge = match &time.per_key {
        Some(KeyTimePlan { live: false, .. }) if time.max_ahead.is_some() => "most others",
        _ => "the clock",
    };
    writeln!(out, "  event time: {}, disorder {}, {ahead} of {judge}, {idle}", time.column, time.disorder)?;
    if let Some(KeyTimePlan { column, idle_after, live }) = &time.per_key {
        let silent = if *live { "silent or behind most others" } else { "behind most others" };
        writeln!(
            out,
            "  a time for each {column}, merged by minimum; one that is {silent} for {idle_after} does not hold back the others"
        )?;
        writeln!(
            out,
            "  at most {TIME_KEYS_LIMIT} of them have a time, about 80 bytes each and their names; others never hold it back"
        )?;
    }
    if let Some(after) = time.close_after {
        writeln!(out, "  after {after} without rows the watermark goes on with the clock")?;
    }
    Ok(())
}

fn lane(control: bool) -> &'static str {
    if control { "control lane" } else { "bulk lane" }
}

fn lines<'a>(out: &mut String, lines: impl IntoIterator<Item = &'a String>) -> fmt::Result {
    lines.into_iter().flat_map(|line| line.lines()).try_for_each(|line| writeln!(out, "  {line}"))
}

fn write_columns(out: &mut String, schema: &Schema) -> fmt::Result {
    let width = schema.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
    writeln!(out, "  columns:")?;
    for field in schema.fields() {
        let null = if field.is_nullable() { "" } else { ", never null" };
        writeln!(out, "    {:width$}  {}{null}", field.name(), type_word(field.data_type()))?;
    }
    Ok(())
}

/// The type of a column in the words of SQL.
pub(super) fn type_word(data_type: &DataType) -> String {
    let word: &dyn Display = match data_type {
        DataType::Boolean => &"boolean",
        DataType::Int8 => &"tinyint",
        DataType::Int16 => &"smallint",
        DataType::Int32 => &"int",
        DataType::Int64 => &"bigint",
        DataType::UInt8 => &"tinyint unsigned",
        DataType::UInt16 => &"smallint unsigned",
        DataType::UInt32 => &"int unsigned",
        DataType::UInt64 => &"bigint unsigned",
        DataType::Float32 => &"real",
        DataType::Float64 => &"double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => &"text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => &"bytes",
        DataType::Dictionary(_, values) => return type_word(values),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => &"timestamp",
        other => other,
    };
    word.to_string()
}

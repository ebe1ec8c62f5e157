//! `Config` + registries → `Plan`: every name resolved, every option checked, all mistakes told at once.
//!
//! Objects are planned in the direction of the rows: sources, then queries and operators each after what they read, then
//! sinks, then what only shows when all are there. An object that reads from one with mistakes is checked as far as it can
//! be without knowing its input, and is never blamed for what follows from them.

use std::collections::BTreeMap;

use lineside_connectors::PlanContext;
use lineside_model::options::did_you_mean;
use lineside_model::schema::TS;
use lineside_model::{At, Problem, Problems, Span, parse_options};
use lineside_operators::TimeColumn;
use lineside_operators::operator::InputRows;
use lineside_operators::window::Emission;
use serde_json::Value;

use super::node::{Folder, plan_operator};
use super::order::{Reads, order};
use super::share::{share_slices, twin};
use super::sink::plan_sink;
use super::source::plan_source;
use super::sql::{Prepared, QueryPlan, StepInput, Table, Wish, plan_query_with, tables_of, united};
use super::system::WATERMARKS;
use super::table::plan_table;
use super::{Input, NodePlan, OnBad, Plan, Registries, SourcePlan, check};
use crate::config::options::{OnBadOption, QueryOptions};
use crate::config::{Config, Finding, Kind, Object, Report, Secrets, Severity, is_name};

/// What follows the name of a source in the name of its dead letters.
const DEAD_LETTERS: &str = ".dead_letters";
/// What follows the name of a source in the name of its quarantine.
const QUARANTINE: &str = ".quarantine";

/// What a query can read.
const TABLES: [Kind; 4] = [Kind::Source, Kind::Table, Kind::Query, Kind::Operator];

/// Checks a pipeline file against what there is, and plans it.
///
/// # Errors
/// Everything that is wrong with the file, the files it names, and its SQL, in the order of their places.
pub fn build(config: &Config, registries: &Registries<'_>) -> Result<Plan, Report> {
    let mut builder = Builder::new(config, registries);
    builder.check_names();
    builder.plan_sources();
    builder.plan_nodes();
    builder.unite();
    share_slices(&mut builder.plan);
    builder.plan_sinks();
    let Builder { plan, findings, all_resolved, .. } = builder;
    let planned = check::Planned { config, plan: &plan, all_resolved };
    let mut found = findings;
    found.extend(planned.problems().into_iter().filter_map(|(object, problem)| config.finding(object, problem)));
    if !found.is_empty() {
        return Err(Report::new(config.file(), found, &plan.secrets));
    }
    let warnings = planned.warnings().into_iter().filter_map(|(object, problem)| {
        let finding = config.finding(Some(object), problem)?;
        Some(Finding { severity: Severity::Warning, ..finding })
    });
    let warnings = Report::new(config.file(), warnings.collect(), &plan.secrets);
    Ok(Plan { warnings, ..plan })
}

/// What a name stands for.
enum Found {
    /// Rows.
    Rows(Input),
    /// Something with mistakes of its own.
    Faulty,
}

struct Builder<'a> {
    config: &'a Config,
    registries: &'a Registries<'a>,
    plan: Plan,
    findings: Vec<Finding>,
    /// What each source, query and operator came to; `None` for those with mistakes.
    outputs: BTreeMap<&'a str, Option<Input>>,
    /// Whether every name that is read stands for something.
    all_resolved: bool,
    /// What windows of queries read, and what they are to be given so that they can share slices.
    prepared: Vec<Prepared>,
    united: Vec<Prepared>,
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config, registries: &'a Registries<'a>) -> Self {
        let pipeline = config.pipeline.clone();
        let plan = Plan {
            name: pipeline.name,
            workers: pipeline.workers,
            report_every: pipeline.report_every,
            realtime: pipeline.realtime,
            sources: Vec::new(),
            nodes: Vec::new(),
            sinks: Vec::new(),
            warnings: Report::default(),
            secrets: secrets(config, registries),
        };
        let findings = config.findings().to_vec();
        let (outputs, prepared, united) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { config, registries, plan, findings, outputs, all_resolved: true, prepared, united }
    }

    fn note(&mut self, object: &Object, problems: impl Into<Problems>) {
        let found = problems.into().0.into_iter().filter_map(|problem| self.config.finding(Some(object), problem));
        self.findings.extend(found.collect::<Vec<_>>());
    }

    fn objects(&self, kinds: &'static [Kind]) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.config.objects.iter().filter(move |object| kinds.contains(&object.kind))
    }

    /// Sources, queries and operators share one space of names, since all of them are tables of a query.
    fn check_names(&mut self) {
        for object in self.objects(&TABLES) {
            if let Some(first) = self.first_of_its_name(object) {
                let problem = Problem::whole(format!("the name is taken by {first}"));
                self.note(object, problem.hint("sources, queries and operators share their names; choose another one"));
            }
            self.outputs.insert(&object.name, None);
        }
        for object in self.objects(&[Kind::Query]) {
            let Some(late) = object.text("late") else { continue };
            let problem = if !is_name(late) {
                Problem::option("late", format!("\"{late}\" is not a name"))
                    .hint("a name has letters, digits, \"_\" and \"-\"")
            } else if self.outputs.contains_key(late) {
                Problem::option("late", format!("the name \"{late}\" is taken"))
                    .hint("late rows are a table as sources and queries are; choose another name")
            } else {
                self.outputs.insert(late, None);
                continue;
            };
            self.note(object, problem);
        }
    }

    /// The object before this one that has its name.
    fn first_of_its_name(&self, object: &Object) -> Option<&'a Object> {
        let first = self.objects(&TABLES).find(|first| first.name == object.name)?;
        (!std::ptr::eq(first, object)).then_some(first)
    }

    fn plan_sources(&mut self) {
        let (pipeline, folder) = (self.plan.name.clone(), self.config.folder());
        for object in self.objects(&[Kind::Source, Kind::Table]) {
            let context = PlanContext { name: &object.name, pipeline: &pipeline, folder: &folder };
            let planned = match object.kind {
                Kind::Table => plan_table(object, self.registries, &context),
                _ => plan_source(object, self.registries, &context),
            };
            match planned {
                Ok(source) => {
                    self.outputs.insert(&object.name, Some(Input::Source(self.plan.sources.len())));
                    self.plan.sources.push(source);
                }
                Err(problems) => self.note(object, problems),
            }
        }
    }

    fn plan_nodes(&mut self) {
        let mut objects = BTreeMap::new();
        let mut names = Vec::new();
        let mut reads = Reads::new();
        for object in self.objects(&[Kind::Query, Kind::Operator]) {
            if self.first_of_its_name(object).is_some() {
                continue;
            }
            let read = match (object.kind, object.text("sql")) {
                (Kind::Query, Some(sql)) => tables_of(sql),
                _ => Ok(object.text("input").into_iter().map(str::to_owned).collect()),
            };
            let read = read.unwrap_or_else(|problems| {
                self.note(object, problems);
                self.all_resolved = false;
                Vec::new()
            });
            names.push(object.name.as_str());
            objects.insert(object.name.as_str(), object);
            reads.insert(object.name.as_str(), read);
        }
        // Who reads the late rows of a query comes after the query.
        let owner = |name: &String| {
            let late = self.objects(&TABLES).all(|object| object.name != *name);
            let owner = objects.values().find(|object| object.kind == Kind::Query && object.text("late") == Some(name));
            owner.filter(|_| late).map_or_else(|| name.clone(), |object| object.name.clone())
        };
        let behind =
            reads.iter().map(|(name, reads)| (*name, reads.iter().map(owner).collect())).collect::<Reads<'_>>();
        let order = order(&names, &behind);
        for circle in &order.circles {
            let Some(object) = circle.first().and_then(|name| objects.get(name.as_str())) else { continue };
            let names = circle.iter().chain(circle.first()).map(String::as_str).collect::<Vec<_>>().join(" → ");
            let problem = Problem::whole(format!("reads from itself: {names}"));
            let option = if object.kind == Kind::Query { "sql" } else { "input" };
            self.note(object, Problem { at: At::option(option), ..problem });
        }
        for name in names {
            // Those in a circle have no place in the order, but their own options are checked all the same.
            if !order.sequence.iter().any(|ordered| ordered == name)
                && let Some(object) = objects.get(name)
                && object.kind == Kind::Operator
            {
                self.plan_operator(object, None);
            }
        }
        for name in &order.sequence {
            let Some((name, object)) = objects.get_key_value(name.as_str()) else { continue };
            let output = match object.kind {
                Kind::Query => self.plan_query(object, &reads[name]),
                Kind::Operator | Kind::Source | Kind::Table | Kind::Sink => {
                    let input = self.input_of(object);
                    self.plan_operator(object, input)
                }
            };
            self.outputs.insert(name, output);
        }
    }

    /// Plans queries and operators anew if windows could share slices when they are given the columns of each other.
    fn unite(&mut self) {
        self.united = united(&self.prepared);
        if self.united.is_empty() || !self.findings.is_empty() {
            return;
        }
        self.plan.nodes.clear();
        for output in self.outputs.values_mut() {
            if matches!(output, Some(Input::Node(_) | Input::Late(_))) {
                *output = None;
            }
        }
        self.plan_nodes();
    }

    fn plan_operator(&mut self, object: &Object, input: Option<Input>) -> Option<Input> {
        let rows = input.map(|input| InputRows { schema: self.plan.schema(input), times: self.plan.times(input) });
        let planned = plan_operator(object, rows.as_ref(), self.registries, &Folder(self.config.folder()));
        let mut operator = planned.map_err(|problems| self.note(object, problems)).ok().flatten()?;
        let (name, inputs) = (object.name.clone(), vec![input?]);
        // Its times are as far behind as those of its input, and more; where those are none its own are none either.
        let times = self.plan.times(inputs[0]);
        match times.iter().find(|time| time.name == object.text("time").unwrap_or(TS)) {
            Some(TimeColumn { delay, .. }) => {
                operator.times.iter_mut().for_each(|time| time.delay = Span(time.delay.micros() + delay.micros()));
            }
            None => operator.times.clear(),
        }
        let lineage = vec![operator.lineage.clone()];
        let node = NodePlan { name, inputs, lineage, operator, output_of: None, late: None };
        Some(self.push(node))
    }

    fn plan_query(&mut self, object: &'a Object, reads: &[String]) -> Option<Input> {
        let options = parse_options::<QueryOptions>(&Value::Object(object.options.clone()));
        let options = options.map_err(|problems| self.note(object, problems)).ok();
        let sql = object.text("sql")?;
        let mut tables = Vec::new();
        let mut inputs = BTreeMap::new();
        let mut faulty = false;
        for name in reads {
            match self.resolve(name) {
                Ok(Found::Rows(input)) => {
                    inputs.insert(name.as_str(), input);
                    let (schema, times) = (self.plan.schema(input), self.plan.times(input));
                    let fixed = self.plan.is_table(input);
                    tables.push(Table { name: name.clone(), schema, times, fixed });
                }
                Ok(Found::Faulty) => faulty = true,
                Err(problem) => {
                    let at = place_of(name, sql).unwrap_or_else(|| At::option("sql"));
                    self.note(object, Problem { at, ..problem });
                    faulty = true;
                }
            }
        }
        if faulty || reads.is_empty() && tables_of(sql).is_err() {
            return None;
        }
        let options = options?;
        let emission = options.emission().map_err(|problems| self.note(object, problems)).ok()?;
        let wish = Wish {
            quality: options.quality,
            emission,
            whole_rows: options.late.is_some(),
            max_groups: options.max_groups(),
        };
        match plan_query_with(&object.name, sql, wish, &tables, &self.united) {
            Ok(mut planned) => {
                self.prepared.append(&mut planned.prepared);
                let first = self.plan.nodes.len();
                let output = self.push_query(object, planned, &inputs);
                self.name_late(object, first);
                if emission != Emission::default()
                    && !self.plan.nodes[first..].iter().any(|node| node.operator.tells_late)
                {
                    let option = if object.text("emit").is_some() { "emit" } else { "allowed_lateness" };
                    let problem = Problem::option(option, "the query has no windows, so its rows come out at once");
                    self.note(object, problem.hint("remove it"));
                }
                output
            }
            Err(problems) => {
                self.note(object, problems);
                None
            }
        }
    }

    fn push_query(&mut self, object: &Object, planned: QueryPlan, tables: &BTreeMap<&str, Input>) -> Option<Input> {
        let mut places = Vec::<Input>::with_capacity(planned.steps.len());
        let resolve = |input: &StepInput, places: &[Input]| match input {
            StepInput::Table(name) => tables.get(name.as_str()).copied(),
            StepInput::Step(step) => places.get(*step).copied(),
        };
        let steps = planned.steps.len();
        for (n, step) in planned.steps.into_iter().enumerate() {
            let name = if steps == 1 { object.name.clone() } else { format!("{}/{}", object.name, step.label) };
            let inputs = step.inputs.iter().map(|input| resolve(input, &places)).collect::<Option<Vec<_>>>()?;
            // The last step stays, for the query to be found by.
            let twin = if n + 1 < steps { twin(&self.plan, &inputs, &step.operator) } else { None };
            places.push(match twin {
                Some(twin) => {
                    self.plan.nodes[twin].operator.explain.push(format!("serves query {} as well", object.name));
                    Input::Node(twin)
                }
                None => self.push(NodePlan {
                    name,
                    inputs,
                    lineage: step.lineage,
                    operator: step.operator,
                    output_of: None,
                    late: None,
                }),
            });
        }
        resolve(&planned.output, &places)
    }

    /// The table of late rows of a query whose steps are the nodes from `first` on.
    fn name_late(&mut self, object: &'a Object, first: usize) {
        let Some(late) = object.text("late") else { return };
        let steps = (first..self.plan.nodes.len()).filter(|n| self.plan.nodes[*n].operator.tells_late);
        match steps.collect::<Vec<_>>().as_slice() {
            [step] if self.outputs.get(late) == Some(&None) => {
                self.plan.nodes[*step].late = Some(late.to_owned());
                self.outputs.insert(late, Some(Input::Late(*step)));
            }
            [_] => {}
            [] => {
                let problem = Problem::option("late", "the query has no windows, so no row is late for it");
                self.note(object, problem.hint("remove it"));
            }
            steps => {
                let message =
                    format!("{} steps of the query have windows, and late rows of each are different", steps.len());
                self.note(object, Problem::option("late", message).hint("make each of them a query of its own"));
            }
        }
    }

    fn push(&mut self, node: NodePlan) -> Input {
        self.plan.nodes.push(node);
        Input::Node(self.plan.nodes.len() - 1)
    }

    fn plan_sinks(&mut self) {
        let (pipeline, folder) = (self.plan.name.clone(), self.config.folder());
        for object in self.objects(&[Kind::Sink]) {
            let context = PlanContext { name: &object.name, pipeline: &pipeline, folder: &folder };
            let input = self.input_of(object).map(|input| (input, self.plan.schema(input)));
            match plan_sink(object, input, self.registries, &context) {
                Ok(sink) => self.plan.sinks.extend(sink),
                Err(problems) => self.note(object, problems),
            }
        }
    }

    /// What the option `input` of an object stands for; `None` if that is nothing, or something with mistakes.
    fn input_of(&mut self, object: &Object) -> Option<Input> {
        match self.resolve(object.text("input")?) {
            Ok(Found::Rows(input)) if self.plan.is_table(input) => {
                let message = format!("table \"{}\" is no stream", self.plan.input_name(input));
                self.note(object, Problem::option("input", message).hint("JOIN it in a query, and read that"));
                None
            }
            Ok(Found::Rows(input)) => Some(input),
            Ok(Found::Faulty) => None,
            Err(problem) => {
                self.note(object, problem);
                None
            }
        }
    }

    /// What a name stands for.
    fn resolve(&mut self, name: &str) -> Result<Found, Problem> {
        if let Some(output) = self.outputs.get(name) {
            return Ok(output.map_or(Found::Faulty, Found::Rows));
        }
        if name == WATERMARKS {
            self.outputs.insert(WATERMARKS, Some(Input::Source(self.plan.sources.len())));
            self.plan.sources.push(SourcePlan::watermarks());
            return self.resolve(name);
        }
        let source = name
            .strip_suffix(DEAD_LETTERS)
            .and_then(|source| self.objects(&[Kind::Source]).find(|object| object.name == source));
        if let Some(object) = source {
            let Some(Input::Source(n)) = self.outputs.get(object.name.as_str()).copied().flatten() else {
                return Ok(Found::Faulty);
            };
            return if self.plan.sources[n].on_bad == OnBad::DeadLetter {
                Ok(Found::Rows(Input::DeadLetters(n)))
            } else if self.plan.sources[n].decoder.is_none() {
                let message = format!("{object} has no dead letters, since its connector gives rows");
                Err(Problem::option("input", message))
            } else {
                let hint = format!("write on_bad = \"dead_letter\" in [source.{}]", object.name);
                Err(Problem::option("input", format!("{object} keeps no dead letters")).hint(hint))
            };
        }
        let source = name
            .strip_suffix(QUARANTINE)
            .and_then(|source| self.objects(&[Kind::Source]).find(|object| object.name == source));
        if let Some(object) = source {
            return Ok(match self.outputs.get(object.name.as_str()) {
                Some(Some(Input::Source(n))) => Found::Rows(Input::Quarantine(*n)),
                _ => Found::Faulty,
            });
        }
        self.all_resolved = false;
        let dead = self.objects(&[Kind::Source]).filter(|object| {
            object.options.get("on_bad").and_then(|on_bad| serde_json::from_value(on_bad.clone()).ok())
                == Some(OnBadOption::DeadLetter)
        });
        let dead = dead.map(|object| format!("{}{DEAD_LETTERS}", object.name)).collect::<Vec<_>>();
        let quarantines = self.objects(&[Kind::Source]).filter(|_| name.ends_with(QUARANTINE));
        let quarantines = quarantines.map(|object| format!("{}{QUARANTINE}", object.name)).collect::<Vec<_>>();
        let known = self.outputs.keys().copied().chain(dead.iter().chain(&quarantines).map(String::as_str));
        let known = known.chain(name.starts_with("system.").then_some(WATERMARKS)).collect::<Vec<_>>();
        let message = format!("there is no source, query or operator \"{name}\"");
        Err(Problem::option("input", message).hint(did_you_mean(name, known)))
    }
}

/// Every secret in the options of every object.
fn secrets(config: &Config, registries: &Registries<'_>) -> Secrets {
    let mut secrets = Secrets::default();
    for object in &config.objects {
        let connector = object.text("connector").and_then(|name| registries.connector(name));
        let schema = match object.kind {
            Kind::Source | Kind::Table => connector.and_then(|kind| kind.source_options()),
            Kind::Sink => connector.and_then(|kind| kind.sink_options()),
            Kind::Operator => object.text("type").and_then(|n| registries.operator(n)).map(|kind| kind.options()),
            Kind::Query => None,
        };
        let schema = schema.map(|schema| schema.to_value()).unwrap_or_default();
        secrets.collect(&Value::Object(object.options.clone()), &schema);
    }
    secrets
}

/// Where a name stands in a SQL text, as a word of its own.
fn place_of(name: &str, sql: &str) -> Option<At> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |at: usize| !sql[..at].ends_with(word) && !sql[at + name.len()..].starts_with(word);
    let at = sql.match_indices(name).map(|(at, _)| at).find(|&at| alone(at))?;
    let line = u32::try_from(sql[..at].matches('\n').count() + 1).ok()?;
    let start = sql[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let column = u32::try_from(sql[start..at].chars().count() + 1).ok()?;
    Some(At::Text { option: vec!["sql".to_owned()], line, column })
}

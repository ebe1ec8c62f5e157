//! What only shows when everything is planned: tags that no register map has, dead letters and rows that nobody reads, a
//! pipeline without a sink.

use std::collections::BTreeSet;

use lineside_model::options::did_you_mean;
use lineside_model::{At, Problem};
use lineside_operators::operator::Files;

use super::node::Folder;
use super::{Input, OnBad, Plan};
use crate::config::{Config, Kind, Object};

/// A pipeline of which every object was planned as far as it can be.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) config: &'a Config,
    pub(super) plan: &'a Plan,
    /// Whether every name that is read stands for something; if not, what looks unread may only be misspelt elsewhere.
    pub(super) all_resolved: bool,
}

type Found<'a> = Vec<(Option<&'a Object>, Problem)>;

impl<'a> Planned<'a> {
    /// What is wrong.
    pub(super) fn problems(&self) -> Found<'a> {
        let mut found = Vec::new();
        // A misspelt [sink.NAME] was told already.
        let sinks = self.config.objects.iter().filter(|object| object.kind == Kind::Sink).count();
        if sinks == 0 && self.config.findings().is_empty() {
            let problem = Problem::whole("the pipeline has no sink, so nothing comes of it");
            found.push((None, problem.hint("add a table [sink.NAME] with connector and input")));
        }
        self.check_dead_letters(&mut found);
        self.check_late(&mut found);
        self.check_reads(&mut found);
        self.check_writes(&mut found);
        found
    }

    /// What has no effect.
    pub(super) fn warnings(&self) -> Vec<(&'a Object, Problem)> {
        let read = self.read();
        let unread = |name: &str| {
            let source = self.plan.sources.iter().position(|source| source.name == name).map(Input::Source);
            let of_query =
                |node: &str| node.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let output = source.or(self.plan.nodes.iter().rposition(|node| of_query(&node.name)).map(Input::Node));
            output.is_some_and(|output| !read.contains(&output))
        };
        let objects = self.config.objects.iter().filter(|object| object.kind != Kind::Sink && unread(&object.name));
        objects
            .map(|object| (object, Problem::whole("nothing reads its rows").hint("remove it, or give it a sink")))
            .collect()
    }

    fn object(&self, kind: Kind, name: &str) -> Option<&'a Object> {
        self.config.objects.iter().find(|object| object.kind == kind && object.name == name)
    }

    fn read(&self) -> BTreeSet<Input> {
        let nodes = self.plan.nodes.iter().flat_map(|node| node.inputs.iter().copied());
        nodes.chain(self.plan.sinks.iter().map(|sink| sink.input)).collect()
    }

    fn check_dead_letters(&self, found: &mut Found<'a>) {
        let read_by_name = |name: &str| {
            let name = format!("{name}.dead_letters");
            self.config.objects.iter().any(|object| object.text("input") == Some(&name))
        };
        let read = self.read();
        for (n, source) in self.plan.sources.iter().enumerate() {
            let unread = !read.contains(&Input::DeadLetters(n)) && !read_by_name(&source.name);
            if self.all_resolved && source.on_bad == OnBad::DeadLetter && unread {
                let problem = Problem::option("on_bad", "nothing reads the dead letters");
                let hint = format!("add a sink with input = \"{}.dead_letters\"", source.name);
                found.push((self.object(Kind::Source, &source.name), problem.hint(hint)));
            }
        }
    }

    fn check_late(&self, found: &mut Found<'a>) {
        let read = self.read();
        for object in self.config.objects.iter().filter(|object| object.kind == Kind::Query && self.all_resolved) {
            let Some(name) = object.text("late") else { continue };
            let node = self.plan.nodes.iter().position(|node| node.late.as_deref() == Some(name));
            if node.is_some_and(|n| !read.contains(&Input::Late(n))) {
                let problem = Problem::option("late", "nothing reads the late rows");
                found.push((Some(object), problem.hint(format!("add a sink with input = \"{name}\", or remove it"))));
            }
        }
    }

    /// Each tag that an operator reads must be a tag of a source upstream, if all of those list their tags.
    fn check_reads(&self, found: &mut Found<'a>) {
        for (n, node) in self.plan.nodes.iter().enumerate() {
            let sources = self.upstream(Input::Node(n)).into_iter().map(|source| &self.plan.sources[source]);
            let sources = sources.collect::<Vec<_>>();
            if sources.is_empty() || sources.iter().any(|source| source.planned.tags.is_empty()) {
                continue;
            }
            let tags = sources.iter().flat_map(|source| source.planned.tags.iter().map(String::as_str));
            let tags = tags.collect::<Vec<_>>();
            let object = self.object(Kind::Operator, &node.name);
            for tag in node.operator.reads.iter().filter(|tag| !tags.contains(&tag.as_str())) {
                let names = sources.iter().map(|source| format!("\"{}\"", source.name)).collect::<Vec<_>>().join(", ");
                let message = format!("no register map of source {names} has the tag \"{tag}\" that it reads");
                let hint = did_you_mean(tag, tags.iter().copied());
                found.push((object, Problem { at: self.place_of(tag, object), message, hint: Some(hint) }));
            }
        }
    }

    /// Each tag that an operator commands must be one that the sink which reads the operator may write.
    fn check_writes(&self, found: &mut Found<'a>) {
        for sink in self.plan.sinks.iter().filter(|sink| !sink.planned.tags.is_empty()) {
            let Input::Node(n) = sink.input else { continue };
            let node = &self.plan.nodes[n];
            let object = self.object(Kind::Operator, &node.name);
            let map = self.object(Kind::Sink, &sink.name).and_then(|sink| sink.text("registers"));
            let map = map.map_or_else(|| "its register map".to_owned(), |map| format!("\"{map}\""));
            let tags = sink.planned.tags.iter().map(String::as_str);
            for tag in node.operator.writes.iter().filter(|tag| !sink.planned.tags.contains(tag)) {
                let message =
                    format!("sink \"{}\" may not write the tag \"{tag}\": {map} does not allow it", sink.name);
                let hint = format!("{}; or add it to {map} with access to write", did_you_mean(tag, tags.clone()));
                found.push((object, Problem { at: self.place_of(tag, object), message, hint: Some(hint) }));
            }
        }
    }

    /// The sources that an input draws from.
    fn upstream(&self, input: Input) -> BTreeSet<usize> {
        let (mut sources, mut seen, mut pending) = (BTreeSet::new(), BTreeSet::new(), vec![input]);
        while let Some(input) = pending.pop() {
            match input {
                Input::Source(n) | Input::DeadLetters(n) | Input::Quarantine(n) => {
                    sources.insert(n);
                }
                Input::Node(n) | Input::Late(n) if seen.insert(n) => pending.extend(&self.plan.nodes[n].inputs),
                Input::Node(_) | Input::Late(_) => {}
            }
        }
        sources
    }

    /// The cell of an operator's table that holds a tag; else the table; else the operator.
    fn place_of(&self, tag: &str, object: Option<&Object>) -> At {
        let Some(table) = object.and_then(|object| object.text("table")) else { return At::Option(Vec::new()) };
        let files = Folder(self.config.folder());
        let text = files.read(table).unwrap_or_default();
        for (line, row) in (1..).zip(text.lines()) {
            let mut column = 1;
            for cell in row.split([',', ';', '\t']) {
                let name = cell.trim_start();
                if name.trim_end().trim_matches('"') == tag {
                    let blanks = cell.chars().count() - name.chars().count();
                    return At::File {
                        file: files.path(table),
                        line,
                        column: column + u32::try_from(blanks).unwrap_or(0),
                    };
                }
                column += u32::try_from(cell.chars().count() + 1).unwrap_or(0);
            }
        }
        At::option("table")
    }
}

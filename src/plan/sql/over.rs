//! `OVER (PARTITION BY … ORDER BY ts …)`: each node of DataFusion's plan has the functions of one partition and one order, and
//! becomes one operator. Keys and arguments are computed by a step before it where they are not columns already.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{NullTreatment, Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    self, Expr, ExprSchemable, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, cast, lit,
    when,
};
use lineside_model::{Problem, Span};
use lineside_operators::over::rank::RankFunction;
use lineside_operators::over::{self, Frame, OverColumn, OverFunction, OverSpec};
use lineside_operators::window::AggregateFunction;

use super::expression::{simplify, sql_of};
use super::interval::span_of;
use super::lower::{Lowering, names_of};
use super::quality::Trust;
use super::rank::is_rank;
use super::relation::{Relation, column, unused};
use super::series::{self, Call};

/// A function before `OVER`, over the columns that the relation reads.
pub(super) struct OverCall {
    /// Its name in the text, for error messages.
    pub(super) word: String,
    pub(super) params: WindowFunctionParams,
    pub(super) fun: WindowFunctionDefinition,
}

/// The columns of a relation as they are found in the input of a step.
pub(super) struct Before {
    pub(super) columns: Vec<Expr>,
    /// How many columns of the input, the first ones, hold them.
    pub(super) passed_on: usize,
}

/// A function that was checked, and the expressions it is given.
struct Planned {
    /// The name of its column.
    name: String,
    /// What it does, for people.
    about: String,
    function: OverFunction,
    arguments: Vec<Expr>,
    word: String,
    /// Whether it leaves out readings that are not trusted.
    trusted: bool,
}

impl Lowering<'_> {
    pub(super) fn over(&mut self, node: &logical_expr::Window) -> Result<Relation, Problem> {
        let mut relation = self.relation(&node.input)?;
        if relation.is_windowed() {
            relation = self.step("prepare", relation, &names_of(node.input.schema()))?;
        }
        let calls = node.window_expr.iter().map(|expr| self.over_call(expr, node, &relation));
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = calls.first() else { return Ok(relation) };
        if is_rank(&calls, &relation) {
            return self.rank(node, relation, &calls);
        }
        self.check_order(first, &relation)?;
        let keys = first.params.partition_by.clone();
        let trust = Trust::of(&relation, node.input.schema(), &keys, self.wish.quality);
        let planned = calls.iter().map(|call| self.planned(call, &relation, trust.as_ref()));
        let planned = planned.collect::<Result<Vec<_>, _>>()?;
        let Some(time) = first.params.order_by.first().map(|sort| sort.expr.clone()) else { return Ok(relation) };
        let window = keys.iter().any(|key| relation.time(key).is_some());
        if let Some(call) = planned.iter().find(|call| window && !call.function.forgets()) {
            let message = format!("{} would be kept for every window for ever", call.name);
            let hint = "leave the window out of PARTITION BY, or give a frame of time";
            return Err(self.text.at_word(&call.word, message).hint(hint));
        }
        let careful = planned.iter().filter(|call| call.trusted).map(|call| call.name.clone()).collect::<Vec<_>>();
        let over = self.over_step(node, relation, &keys, &time, &planned)?;
        if let (Some(trust), false, Some(step)) = (trust, careful.is_empty(), self.steps.last_mut()) {
            step.operator.explain.push(trust.told(&careful));
        }
        Ok(over)
    }

    /// Reads a call; its expressions are resolved.
    fn over_call(&self, expr: &Expr, node: &logical_expr::Window, relation: &Relation) -> Result<OverCall, Problem> {
        let Expr::WindowFunction(call) = expr.clone().unalias() else {
            return Err(self.text.at_word("over", "this function does not run on a stream"));
        };
        let WindowFunction { fun, params } = *call;
        let word = self.word_of(&fun);
        let resolve = |expr: &Expr| self.resolve(relation, expr, node.input.schema());
        let all = |exprs: &[Expr]| exprs.iter().map(resolve).collect::<Result<Vec<_>, _>>();
        let order_by = params.order_by.iter().map(|sort| Ok(Sort { expr: resolve(&sort.expr)?, ..sort.clone() }));
        let params = WindowFunctionParams {
            args: all(&params.args)?,
            partition_by: all(&params.partition_by)?,
            order_by: order_by.collect::<Result<_, Problem>>()?,
            filter: params.filter.as_deref().map(resolve).transpose()?.map(Box::new),
            ..params
        };
        Ok(OverCall { word, params, fun })
    }

    /// The name by which a function is called.
    fn word_of(&self, fun: &WindowFunctionDefinition) -> String {
        let aliases = match fun {
            WindowFunctionDefinition::AggregateUDF(function) => function.aliases(),
            WindowFunctionDefinition::WindowUDF(function) => function.aliases(),
        };
        let mut words = [fun.name()].into_iter().chain(aliases.iter().map(String::as_str));
        words.find(|word| self.text.has_word(word)).unwrap_or(fun.name()).to_owned()
    }

    /// The order must be that of time, forwards.
    fn check_order(&self, call: &OverCall, relation: &Relation) -> Result<(), Problem> {
        let OverCall { word, params, .. } = call;
        let known = relation.times.iter().map(|time| time.name.as_str()).collect::<Vec<_>>();
        let Some(&time) = known.first() else {
            let message = format!("{word} OVER goes by event time, and there is none");
            return Err(self
                .text
                .at_word(word, message)
                .hint("pass one on unchanged from a source or a windowed query"));
        };
        let problem = |message: String| self.text.at_word(word, message);
        match params.order_by.as_slice() {
            [] => {
                let message = format!("{word} OVER without ORDER BY would take in the whole stream, which has no end");
                Err(problem(message).hint(format!("write OVER (PARTITION BY … ORDER BY {time})")))
            }
            [only] if relation.time(&only.expr).is_some() => match only.asc {
                true => Ok(()),
                false => {
                    let message = format!("{word} OVER goes forward in time, a stream cannot be read backwards");
                    Err(problem(message).hint("leave out DESC"))
                }
            },
            [first, _, ..] if relation.time(&first.expr).is_some() => {
                let message = format!("{word} OVER goes by event time alone; rows of one time go in order of arrival");
                Err(problem(message).hint(format!("write ORDER BY {time} and nothing more")))
            }
            _ if RankFunction::from_name(call.fun.name()).is_some() => {
                let message = format!("{word} compares rows of a window with each other, and its partition has none");
                let hint = "write OVER (PARTITION BY window_start, window_end ORDER BY …) over a windowed query";
                Err(problem(message).hint(hint))
            }
            _ => {
                let message =
                    format!("{word} OVER goes in the order of event time, no other order of a stream is ever complete");
                Err(problem(message)
                    .hint(format!("write ORDER BY one of the event times there are: {}", known.join(", "))))
            }
        }
    }

    /// Finds the function of a call.
    fn planned(&self, call: &OverCall, relation: &Relation, trust: Option<&Trust>) -> Result<Planned, Problem> {
        let OverCall { word, params, fun } = call;
        if let Some(kind) = series::find(fun.name()) {
            return self.series_function(call, kind, relation, trust);
        }
        let is_aggregate = matches!(fun, WindowFunctionDefinition::AggregateUDF(_));
        if !is_aggregate && !["first_value", "last_value"].contains(&fun.name()) {
            let (message, hint) = match fun.name() {
                "lead" => ("looks at rows that are still to come", "compare a row with the one before it: lag(value)"),
                "rank" | "dense_rank" => (
                    "compares a row with all others, and a stream is never complete",
                    "PARTITION BY window_start, window_end of a windowed query",
                ),
                _ => (
                    "is not built for streams",
                    "there are lag, row_number, rank and dense_rank within windows, and the aggregates",
                ),
            };
            return Err(self.text.at_word(word, format!("{word} {message}")).hint(hint));
        }
        let (function, mut values) = self.function(fun.name(), word, &params.args, &[], relation)?;
        if params.null_treatment == Some(NullTreatment::RespectNulls) {
            return Err(self.text.at_word("respect", "aggregates leave out nulls").hint("leave out RESPECT NULLS"));
        }
        if params.distinct {
            let message = format!("{word} OVER would have to keep every different value of its frame");
            return Err(self.text.at_word(word, message).hint("leave out DISTINCT, or use HOP(…) with GROUP BY"));
        }
        let frame = self.frame(word, &params.window_frame)?;
        let whole_rows = function == AggregateFunction::Count && params.args.iter().all(is_value);
        let over = if whole_rows { "*".to_owned() } else { self.told(&function, &params.args, relation) };
        let name = match params.filter.as_deref() {
            Some(filter) => format!("{word}({over} where {})", self.sql(filter, relation)),
            None => format!("{word}({over})"),
        };
        let mut argument = if whole_rows || values.is_empty() { None } else { Some(values.swap_remove(0)) };
        let own_say =
            |trust: &Trust| params.filter.as_deref().into_iter().chain(&argument).any(|e| trust.is_named_in(e));
        let trust = trust.filter(|trust| !own_say(trust));
        let trusted = trust.is_some() && argument.is_some();
        if let Some(trust) = trust {
            argument = argument.map(|value| trust.trusted(value));
        }
        // `FILTER (WHERE …)`: nulls are left out by every aggregate.
        if let Some(filter) = params.filter.as_deref() {
            let value = argument.unwrap_or_else(|| lit(1_i64));
            argument = Some(when(filter.clone(), value).end().map_err(|e| self.text.planning(&e))?);
        }
        let input = argument.as_ref().map(|argument| self.type_of(argument, relation)).transpose()?;
        let function = OverFunction::aggregate(&function, input.as_ref(), frame).map_err(|problem| Problem {
            hint: problem.hint,
            ..self.text.at_word(word, problem.message.replacen(function.name(), word, 1))
        })?;
        let about = format!("{name} over {frame}");
        Ok(Planned { name, about, function, arguments: argument.into_iter().collect(), word: word.clone(), trusted })
    }

    fn series_function(
        &self,
        call: &OverCall,
        kind: &series::SeriesKind,
        relation: &Relation,
        trust: Option<&Trust>,
    ) -> Result<Planned, Problem> {
        let OverCall { word, params, .. } = call;
        let usage = format!("write {} OVER (PARTITION BY … ORDER BY …)", kind.usage);
        let placed = |problem: Problem| {
            let message = format!("{word}: {}", problem.message);
            self.text.at_word(word, message).hint(problem.hint.unwrap_or_else(|| usage.clone()))
        };
        if !kind.arguments.contains(&params.args.len()) {
            let (least, most) = (kind.arguments.start(), kind.arguments.end());
            let takes = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(placed(Problem::whole(format!("it takes {takes} arguments, found {}", params.args.len()))));
        }
        let schema = relation.df_schema().map_err(|e| self.text.planning(&e))?;
        let arguments = params.args.iter().map(|argument| simplify(argument, &schema));
        let arguments = arguments.collect::<Result<Vec<_>, _>>().map_err(|e| self.text.planning(&e))?;
        let types = arguments.iter().map(|argument| self.type_of(argument, relation)).collect::<Result<Vec<_>, _>>()?;
        let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let function = (kind.make)(&Call { arguments: &arguments, types: &types, ignore_nulls }).map_err(placed)?;
        let columns = function.arguments().min(arguments.len());
        function.check(&types[..columns].iter().collect::<Vec<_>>()).map_err(placed)?;
        let told = arguments.iter().map(sql_of).collect::<Vec<_>>().join(", ");
        let name = format!("{word}({told})");
        let about = if ignore_nulls { format!("{name} without nulls") } else { name.clone() };
        let mut arguments = arguments[..columns].to_vec();
        let trust = trust.filter(|trust| kind.is_signal && !arguments.iter().any(|e| trust.is_named_in(e)));
        if let Some(trust) = trust {
            arguments = arguments.into_iter().map(|value| trust.trusted(value)).collect();
        }
        Ok(Planned { name, about, function, arguments, word: word.clone(), trusted: trust.is_some() })
    }

    /// The frame, which must end at the row itself.
    fn frame(&self, word: &str, frame: &WindowFrame) -> Result<Frame, Problem> {
        let ends = |message: &str| {
            let hint = "end the frame at the row: BETWEEN … PRECEDING AND CURRENT ROW";
            Err(self.text.at_word(word, format!("{word} OVER {message}")).hint(hint))
        };
        match &frame.end_bound {
            WindowFrameBound::CurrentRow => {}
            WindowFrameBound::Following(_) => return ends("would wait for rows that follow"),
            WindowFrameBound::Preceding(_) => return ends("has a frame that ends before the row"),
        }
        let preceding = match &frame.start_bound {
            WindowFrameBound::Following(_) => return ends("has a frame that begins after the row"),
            WindowFrameBound::CurrentRow => None,
            WindowFrameBound::Preceding(value) => Some(value),
        };
        match (frame.units, preceding) {
            (WindowFrameUnits::Groups, _) => {
                let message = format!("{word} OVER has a frame of GROUPS, which does not run on a stream");
                Err(self.text.at_any(["groups", word], &message).hint("count rows by ROWS, or time by RANGE"))
            }
            (WindowFrameUnits::Rows, None) => Ok(Frame::Rows(Some(0))),
            (WindowFrameUnits::Range, None) => Ok(Frame::Range(Some(Span::ZERO))),
            (WindowFrameUnits::Rows, Some(value)) if value.is_null() => Ok(Frame::Rows(None)),
            (WindowFrameUnits::Range, Some(value)) if value.is_null() => Ok(Frame::Range(None)),
            (WindowFrameUnits::Rows, Some(value)) => match value.cast_to(&DataType::UInt64) {
                Ok(ScalarValue::UInt64(Some(rows))) => Ok(Frame::Rows(Some(rows))),
                _ => Err(self.text.at_any(["rows", word], "a frame of ROWS begins a whole number of rows before")),
            },
            (WindowFrameUnits::Range, Some(value)) => {
                span_of(value).map(|span| Frame::Range(Some(span))).map_err(|wrong| {
                    let hint = "write RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW";
                    self.text.at_any(["range", word], &wrong.message("the length of a frame")).hint(hint)
                })
            }
        }
    }

    /// A relation in which each of these expressions is a column, and their places: what is read as it is if that will do,
    /// otherwise a step that computes them behind the columns of the relation.
    pub(super) fn computed(
        &mut self,
        schema: &DFSchema,
        mut relation: Relation,
        wanted: &[Expr],
    ) -> Result<(Relation, Before, Vec<usize>), Problem> {
        let plain = wanted.iter().map(|expr| relation.plain(expr)).collect::<Option<Vec<_>>>();
        if let Some(places) = plain.filter(|_| relation.filter.is_none()) {
            let before = Before { columns: relation.columns.clone(), passed_on: relation.schema.fields().len() };
            return Ok((relation, before, places));
        }
        let mut names = names_of(schema);
        let own = names.len();
        let mut places = Vec::with_capacity(wanted.len());
        for expr in wanted {
            places.push(relation.columns.iter().position(|known| known == expr).unwrap_or_else(|| {
                relation.columns.push(expr.clone());
                names.push(unused("argument", |name| names.iter().any(|taken| taken == name)));
                relation.columns.len() - 1
            }));
        }
        let relation = self.step("prepare", relation, &names)?;
        // A column that nobody uses may have been left out in front of others.
        let place = |name: &String| relation.schema.index_of(name).ok();
        let places = places.into_iter().filter_map(|n| place(&names[n])).collect();
        let passed_on = names[..own].iter().filter_map(place).count();
        let columns = names[..own].iter().map(|name| column(name)).collect();
        Ok((relation, Before { columns, passed_on }, places))
    }

    /// The operator of aggregates and functions of a series.
    fn over_step(
        &mut self,
        node: &logical_expr::Window,
        relation: Relation,
        keys: &[Expr],
        time: &Expr,
        planned: &[Planned],
    ) -> Result<Relation, Problem> {
        let arguments = planned.iter().flat_map(|call| &call.arguments);
        let wanted = [time].into_iter().chain(keys).chain(arguments).cloned().collect::<Vec<_>>();
        let (relation, before, places) = self.computed(node.input.schema(), relation, &wanted)?;
        let passed_on = before.passed_on;
        let (time, keys) = (places[0], places[1..=keys.len()].to_vec());
        let mut arguments = places[1 + keys.len()..].iter().copied();
        let name_of = |place: usize| relation.schema.field(place).name().clone();
        let mut taken = relation.schema.fields()[..passed_on].iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let mut columns = Vec::with_capacity(planned.len());
        for call in planned {
            let name = unused(&call.name, |name| taken.iter().any(|t| t == name));
            taken.push(name.clone());
            let arguments = arguments.by_ref().take(call.arguments.len()).collect();
            columns.push(OverColumn { name, function: call.function.clone(), arguments });
        }
        let parts = match keys.as_slice() {
            [] => String::new(),
            keys => format!("partition by {} ", keys.iter().map(|n| name_of(*n)).collect::<Vec<_>>().join(", ")),
        };
        let about = planned.iter().map(|call| call.about.as_str()).collect::<Vec<_>>().join(", ");
        let explain = format!("{parts}order by {}: {about}", name_of(time));
        let time_delay = relation.times.iter().find(|t| t.name == name_of(time)).map(|t| t.delay).unwrap_or_default();
        let spec = OverSpec { time, time_delay, keys, passed_on, columns };
        let mut operator = over::plan(spec, &relation.schema).map_err(|problems| {
            let what = problems.0.into_iter().next().unwrap_or_else(|| Problem::whole("OVER cannot be planned"));
            let words = planned.iter().map(|call| call.word.as_str());
            Problem { hint: what.hint, ..self.text.at_any(words, &what.message) }
        })?;
        operator.explain.insert(0, explain);
        operator.tells_late = self.is_first_to_tell_late();
        let lineage = taken[..passed_on].iter().map(|name| (name.clone(), name.clone())).collect();
        let mut added = self.push("over", vec![relation.input], operator, vec![lineage]);
        let types = added.df_schema().map_err(|e| self.text.planning(&e))?;
        let results = taken[passed_on..].iter().zip(&node.schema.fields()[node.input.schema().fields().len()..]);
        let results = results.map(|(name, planned)| match column(name).get_type(&types) {
            Ok(found) if found != *planned.data_type() => cast(column(name), planned.data_type().clone()),
            _ => column(name),
        });
        added.columns = before.columns.into_iter().chain(results).collect();
        Ok(added)
    }

    /// Whether no step so far hands on late rows: what is late for a query is so for the first of its steps that goes by time.
    pub(super) fn is_first_to_tell_late(&self) -> bool {
        !self.steps.iter().any(|step| step.operator.tells_late)
    }

    fn type_of(&self, expr: &Expr, relation: &Relation) -> Result<DataType, Problem> {
        let schema = relation.df_schema().map_err(|e| self.text.planning(&e))?;
        expr.get_type(&schema).map_err(|e| self.text.planning(&e))
    }
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

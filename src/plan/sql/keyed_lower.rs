//! Windows of each key on their way to their operator: what they are made of becomes columns that it reads.

use datafusion::logical_expr::Expr;
use lineside_model::Problem;
use lineside_operators::window::keyed::KeyedKind;

use super::aggregate::Group;
use super::aggregate_call::Arguments;
use super::expression::sql_of;
use super::keyed::{KeyedCut, KeyedNode};
use super::lower::{Lowering, names_of};
use super::relation::{Keyed, Relation, edges};

/// Windows of each key, what they are made of being among [`Arguments`].
pub(super) struct KeyedWindows {
    cut: KeyedCut,
    start: Option<usize>,
    stop: Option<usize>,
    /// Whether a row takes part in aggregates.
    pub(super) kept: Option<usize>,
}

impl KeyedWindows {
    /// The windows, where the columns of [`Arguments`] are at these `places`.
    pub(super) fn kind(&self, places: &[usize]) -> KeyedKind {
        match self.cut {
            KeyedCut::Session { gap, max_size } => KeyedKind::Session { gap, max_size },
            KeyedCut::Count { size, slide, gap } => KeyedKind::Count { size, slide, gap },
            KeyedCut::Condition { max_size } => KeyedKind::Condition {
                start: self.start.map_or(0, |start| places[start]),
                stop: self.stop.map(|stop| places[stop]),
                max_size,
            },
        }
    }
}

impl Lowering<'_> {
    pub(super) fn keyed(&mut self, node: &KeyedNode) -> Result<Relation, Problem> {
        let names = node.input.schema();
        let mut relation = self.relation(&node.input)?;
        // What was filtered before is not seen by the windows, what is filtered after is.
        if relation.is_windowed() || relation.filter.is_some() {
            relation = self.step("prepare", relation, &names_of(names))?;
        }
        let resolve = |expr: &Expr| self.resolve(&relation, expr, names);
        relation.keyed = Some(Keyed {
            cut: node.cut,
            time: self.event_time(&relation, &node.parts.time, names)?,
            keys: node.parts.keys.iter().map(resolve).collect::<Result<_, _>>()?,
            start: node.parts.start.as_ref().map(resolve).transpose()?,
            stop: node.parts.stop.as_ref().map(resolve).transpose()?,
        });
        relation.columns = node.kept.iter().map(|n| relation.columns[*n].clone()).chain(edges()).collect();
        Ok(relation)
    }

    /// Adds what windows are made of to the arguments. The filter of the relation becomes one, too.
    pub(super) fn keyed_windows(
        &self,
        keyed: Keyed,
        relation: &mut Relation,
        groups: &[Group],
        arguments: &mut Arguments,
    ) -> Result<KeyedWindows, Problem> {
        let Keyed { cut, keys, start, stop, .. } = keyed;
        let grouped = groups.iter().filter_map(|group| if let Group::Key(n) = group { Some(*n) } else { None });
        let grouped = grouped.map(|n| &arguments.0[n].0).collect::<Vec<_>>();
        let function = cut.function();
        if let Some(other) = grouped.iter().find(|group| !keys.contains(group)) {
            let other = sql_of(other);
            let message = format!("{other} is not in the PARTITION BY of {function}, so it may differ within a window");
            let all = keys.iter().map(sql_of).chain([other]).collect::<Vec<_>>().join(", ");
            return Err(self.text.at_word(function, message).hint(format!("write PARTITION BY ({all})")));
        }
        if let Some(key) = keys.iter().find(|key| !grouped.contains(key)) {
            let message = format!("each {} has windows of its own, so rows are grouped by it, too", sql_of(key));
            let all = keys.iter().map(sql_of).collect::<Vec<_>>().join(", ");
            return Err(self.text.at_word("group", message).hint(format!("GROUP BY window_start, window_end, {all}")));
        }
        let mut add = |expr: Option<Expr>, name: &str| expr.map(|expr| arguments.add(expr, name));
        Ok(KeyedWindows {
            cut,
            start: add(start, "start"),
            stop: add(stop, "stop"),
            kept: add(relation.filter.take(), "kept"),
        })
    }

    /// Rows of windows of a key, asked for one by one.
    pub(super) fn not_row_by_row(&self, keyed: &Keyed) -> Problem {
        let function = keyed.cut.function();
        let message =
            format!("which rows a {function} has is known when it is over, so it is read through an aggregate");
        self.text.at_word(function, message).hint("GROUP BY window_start, window_end and the PARTITION BY columns")
    }
}

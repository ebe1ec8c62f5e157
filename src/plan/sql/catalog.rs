//! What DataFusion may know while it plans a query: the tables of the pipeline and the functions there are.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::plant_aggregate::plant_aggregates;
use super::series;
use super::window_call::WindowFunctions;
use super::{Table, asof};

/// Functions by every name they have.
type Functions<F> = BTreeMap<String, Arc<F>>;

/// Each family is built when a query first calls one of it, and then kept for all queries: there are hundreds, and most queries
/// call none or a few aggregates. Ours come last, so that they are taken where both know a name.
static SCALARS: LazyLock<Functions<ScalarUDF>> = LazyLock::new(|| {
    let mut found = Functions::new();
    for function in SessionStateDefaults::default_scalar_functions().into_iter().chain(asof::functions()) {
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            found.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    found
});

static AGGREGATES: LazyLock<Functions<AggregateUDF>> = LazyLock::new(|| {
    let mut found = Functions::new();
    let plant = plant_aggregates().into_iter().map(Arc::new);
    for function in SessionStateDefaults::default_aggregate_functions().into_iter().chain(plant) {
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            found.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    found
});

static OVER: LazyLock<Functions<WindowUDF>> = LazyLock::new(|| {
    let standard = SessionStateDefaults::default_window_functions().into_iter();
    standard.chain(series::declarations()).map(|function| (function.name().to_owned(), function)).collect()
});

/// Tables and functions, as DataFusion asks for them.
pub(super) struct Catalog<'a> {
    tables: &'a [Table],
    expressions: Vec<Arc<dyn ExprPlanner>>,
    relations: Vec<Arc<dyn RelationPlanner>>,
    options: ConfigOptions,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(tables: &'a [Table]) -> Self {
        Self {
            tables,
            expressions: SessionStateDefaults::default_expr_planners(),
            relations: vec![Arc::new(WindowFunctions)],
            options: options(),
        }
    }
}

/// DataFusion's options for a continuous query: text stays `Utf8`, as sources give it, and errors know their places.
fn options() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.target_partitions = 1;
    options
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.tables.iter().find(|table| table.name == name.table() && name.schema().is_none()) {
            Some(table) => Ok(Arc::new(LogicalTableSource::new(Arc::clone(&table.schema)))),
            None => plan_err!("there is no source or query \"{name}\""),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        // No name is in both families, and a query that only aggregates need not wait for the scalar ones.
        if AGGREGATES.contains_key(name) { None } else { SCALARS.get(name).cloned() }
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        AGGREGATES.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        OVER.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        SCALARS.keys().filter(|name| !name.ends_with("()")).cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        AGGREGATES.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        OVER.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_that_of_a_scalar_function_and_of_an_aggregate() {
        let both = SCALARS.keys().filter(|name| AGGREGATES.contains_key(*name)).collect::<Vec<_>>();
        assert!(both.is_empty(), "{both:?}");
    }
}

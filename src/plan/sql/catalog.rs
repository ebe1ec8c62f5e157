//! What DataFusion may know while it plans a query: the tables of the pipeline and the functions there are.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Tables and functions, as DataFusion asks for them.
pub(super) struct Catalog<'a> {
    tables: &'a [Table],
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    over: BTreeMap<String, Arc<WindowUDF>>,
    expressions: Vec<Arc<dyn ExprPlanner>>,
    relations: Vec<Arc<dyn RelationPlanner>>,
    options: ConfigOptions,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(tables: &'a [Table]) -> Self {
        let mut scalars = BTreeMap::new();
        for function in SessionStateDefaults::default_scalar_functions() {
            for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
                scalars.insert(name.to_owned(), Arc::clone(&function));
            }
        }
        scalars.extend(asof::functions().map(|function| (function.name().to_owned(), function)));
        let mut aggregates = BTreeMap::new();
        let plant = plant_aggregates().into_iter().map(Arc::new);
        for function in SessionStateDefaults::default_aggregate_functions().into_iter().chain(plant) {
            for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
                aggregates.insert(name.to_owned(), Arc::clone(&function));
            }
        }
        // Ours come last, so that they are taken where both know a name.
        let standard = SessionStateDefaults::default_window_functions().into_iter();
        let over = standard.chain(series::declarations()).map(|function| (function.name().to_owned(), function));
        let over = over.collect();
        Self {
            tables,
            scalars,
            aggregates,
            over,
            expressions: SessionStateDefaults::default_expr_planners(),
            relations: vec![Arc::new(WindowFunctions)],
            options: options(),
        }
    }
}

/// DataFusion's options for a continuous query: text stays `Utf8`, as sources give it, and errors know their places.
pub(super) fn options() -> ConfigOptions {
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
        self.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.over.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().filter(|name| !name.ends_with("()")).cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.over.keys().cloned().collect()
    }
}

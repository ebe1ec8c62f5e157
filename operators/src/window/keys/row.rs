//! Keys of any columns, in Arrow's row format.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use lineside_model::Result;
use lineside_model::schema::as_type;

use super::Keys;
use super::interner::Interner;

/// Numbers rows of columns.
#[derive(Debug)]
pub(super) struct RowKeys {
    types: Vec<DataType>,
    converter: RowConverter,
    interner: Interner,
}

impl RowKeys {
    pub(super) fn new(types: Vec<DataType>) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        Ok(Self { types, converter: RowConverter::new(fields)?, interner: Interner::default() })
    }
}

impl Keys for RowKeys {
    fn intern(&mut self, columns: &[ArrayRef], _: usize, ids: &mut Vec<u32>) -> Result<()> {
        let columns = columns.iter().zip(&self.types).map(|(column, data_type)| as_type(column, data_type));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        for row in &self.converter.convert_columns(&columns)? {
            ids.push(self.interner.id(row.as_ref())?);
        }
        Ok(())
    }

    fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows = ids.iter().map(|id| parser.parse(self.interner.get(*id)));
        Ok(self.converter.convert_rows(rows)?)
    }

    fn len(&self) -> usize {
        self.interner.len()
    }
}

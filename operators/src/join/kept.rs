//! Rows that wait in a join, by number: as they came, in blocks that are put together and cleared of rows nobody needs.
//!
//! Each row is copied a small number of times in its life, whatever the sizes of the batches were, and never are more than
//! half of the rows, beyond a few thousand, ones that are not needed any more.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array, new_null_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lineside_model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::rows::{BATCH_ROWS, as_schema};
use crate::window::keys::{self, stored_type};

/// The number of no row: its columns are null.
pub(super) const NO_ROW: u64 = u64::MAX;
/// So many rows may be kept beyond twice those that are needed.
const ROWS_SPARE: usize = 4096;
/// A block of its own for each batch is well while there are no more than these.
const BLOCKS_FEW: usize = 8;

/// Rows, each with a number; numbers rise with arrival.
#[derive(Debug)]
pub(super) struct Kept {
    schema: SchemaRef,
    blocks: Vec<Block>,
    rows: usize,
    next: u64,
    /// For each block its place among those that are read together; used again for each batch.
    places: Vec<usize>,
}

#[derive(Debug)]
struct Block {
    numbers: Vec<u64>,
    rows: RecordBatch,
}

/// Rows in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptState {
    next: u64,
    numbers: Vec<u64>,
    columns: Vec<u8>,
}

impl Kept {
    /// None yet.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, blocks: Vec::new(), rows: 0, next: 0, places: Vec::new() }
    }

    /// The number that the first row of the next batch gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a batch.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        let first = self.next;
        self.next += rows.num_rows() as u64;
        self.rows += rows.num_rows();
        self.blocks.push(Block { numbers: (first..self.next).collect(), rows });
        while let [.., before, last] = self.blocks.as_slice()
            && self.blocks.len() > BLOCKS_FEW
            && last.numbers.len() * 2 >= before.numbers.len()
            && last.numbers.len() + before.numbers.len() <= BATCH_ROWS
        {
            // Dictionaries of a few words can be too many words together: such blocks stay as they are.
            let Ok(joined) = concat_batches(&self.schema, [&before.rows, &last.rows]) else { break };
            let Some(last) = self.blocks.pop() else { break };
            let Some(before) = self.blocks.last_mut() else { break };
            before.numbers.extend_from_slice(&last.numbers);
            before.rows = joined;
        }
        Ok(())
    }

    /// The rows of these numbers, in this order, as columns.
    pub(super) fn read(&mut self, numbers: &[u64]) -> Result<Vec<ArrayRef>> {
        if numbers.is_empty() {
            return Ok(self.schema.fields().iter().map(|field| new_empty_array(field.data_type())).collect());
        }
        let mut used = Vec::<usize>::new();
        self.places.clear();
        self.places.resize(self.blocks.len() + 1, usize::MAX);
        let nothing = self.blocks.len();
        let mut last = 0;
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers {
            let (block, row) = if *number == NO_ROW { (nothing, 0) } else { self.find(*number, last)? };
            if *number != NO_ROW {
                last = block;
            }
            if self.places[block] == usize::MAX {
                self.places[block] = used.len();
                used.push(block);
            }
            found.push((self.places[block], row));
        }
        let columns = self.schema.fields().iter().enumerate().map(|(n, field)| {
            let null = new_null_array(field.data_type(), 1);
            let column = |block: &usize| self.blocks.get(*block).map_or(&null, |block| block.rows.column(n)).as_ref();
            let columns = used.iter().map(column).collect::<Vec<&dyn Array>>();
            Ok(interleave(&columns, &found)?)
        });
        columns.collect()
    }

    /// The block and the row of a number, first looked for near block `guess`.
    fn find(&self, number: u64, guess: usize) -> Result<(usize, usize)> {
        let within = |block: &Block| {
            let first = *block.numbers.first()?;
            // Without gaps the place follows from the number.
            let place = usize::try_from(number.checked_sub(first)?).ok()?;
            match block.numbers.get(place) {
                Some(found) if *found == number => Some(place),
                _ => block.numbers.binary_search(&number).ok(),
            }
        };
        if let Some(row) = self.blocks.get(guess).and_then(within) {
            return Ok((guess, row));
        }
        let after = self.blocks.partition_point(|block| block.numbers.first().is_some_and(|first| *first <= number));
        let block = after.saturating_sub(1);
        let row = self.blocks.get(block).and_then(within);
        row.map(|row| (block, row)).ok_or_else(|| Error::internal("a row that a join waits with was not kept"))
    }

    /// Forgets the rows nobody needs, once they are more than half of all. `needed` says how many are, `numbers` which.
    pub(super) fn forget(&mut self, needed: usize, numbers: impl FnOnce(&mut Vec<u64>)) -> Result<()> {
        if needed == 0 {
            self.blocks.clear();
            self.rows = 0;
        }
        if self.rows <= 2 * needed + ROWS_SPARE {
            return Ok(());
        }
        let mut live = Vec::with_capacity(needed);
        numbers(&mut live);
        live.sort_unstable();
        let mut blocks = Vec::new();
        self.gather(&live, &mut blocks)?;
        (self.blocks, self.rows) = (blocks, live.len());
        Ok(())
    }

    /// The rows of these numbers in blocks as large as can be.
    fn gather(&mut self, live: &[u64], blocks: &mut Vec<Block>) -> Result<()> {
        for numbers in live.chunks(BATCH_ROWS) {
            match self.read(numbers) {
                Ok(columns) => {
                    let rows = as_schema(&self.schema, &columns, numbers.len())?;
                    blocks.push(Block { numbers: numbers.to_vec(), rows });
                }
                // More words than the dictionary of a column can have.
                Err(_) if numbers.len() > 1 => {
                    let (one, other) = numbers.split_at(numbers.len() / 2);
                    self.gather(one, blocks)?;
                    self.gather(other, blocks)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The rows of these numbers, and which number comes next. Saved are words and not dictionaries, which could overflow
    /// where blocks come together.
    pub(super) fn save(&self, mut numbers: Vec<u64>) -> Result<KeptState> {
        numbers.sort_unstable();
        let stored = stored(&self.schema);
        let blocks = self.blocks.iter().map(|block| {
            as_schema(&stored, block.rows.columns(), block.rows.num_rows())
                .map(|rows| Block { numbers: block.numbers.clone(), rows })
        });
        let mut words = Self { blocks: blocks.collect::<Result<_>>()?, ..Self::new(Arc::clone(&stored)) };
        let columns = words.read(&numbers)?;
        let columns = if columns.is_empty() { Vec::new() } else { keys::save_columns(&columns, &types(&stored))? };
        Ok(KeptState { next: self.next, numbers, columns })
    }

    /// Takes over rows that were saved.
    pub(super) fn load(schema: SchemaRef, state: &KeptState) -> Result<Self> {
        let damaged = || Error::data("saved state of a join is damaged: its rows do not have their numbers");
        let stored = stored(&schema);
        let columns = match stored.fields().is_empty() {
            true => Vec::new(),
            false => keys::load_columns(&state.columns, &types(&stored))?,
        };
        let rising = state.numbers.is_sorted_by(|one, next| one < next);
        let known = state.next < NO_ROW / 2 && state.numbers.last().is_none_or(|last| *last < state.next);
        if columns.iter().any(|column| column.len() != state.numbers.len()) || !rising || !known {
            return Err(damaged());
        }
        let rows = as_schema(&stored, &columns, state.numbers.len())?;
        let mut kept = Self { next: state.next, ..Self::new(schema) };
        for from in (0..state.numbers.len()).step_by(BATCH_ROWS) {
            let to = (from + BATCH_ROWS).min(state.numbers.len());
            kept.load_block(&rows.slice(from, to - from), &state.numbers[from..to])?;
        }
        Ok(kept)
    }

    fn load_block(&mut self, stored: &RecordBatch, numbers: &[u64]) -> Result<()> {
        match as_schema(&self.schema, stored.columns(), numbers.len()) {
            Ok(rows) => {
                self.rows += numbers.len();
                self.blocks.push(Block { numbers: numbers.to_vec(), rows });
                Ok(())
            }
            Err(_) if numbers.len() > 1 => {
                let half = numbers.len() / 2;
                self.load_block(&stored.slice(0, half), &numbers[..half])?;
                self.load_block(&stored.slice(half, numbers.len() - half), &numbers[half..])
            }
            Err(error) => Err(error),
        }
    }
}

/// The columns of a schema as they are saved.
pub(super) fn stored(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), stored_type(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The types of the columns of a schema.
pub(super) fn types(schema: &Schema) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

//! Aggregates that are computed by functions from elsewhere: the SQL planner hands in what it has and this crate does not know.
//!
//! Such a function computes for many groups at once and can give up its state as columns, a row for each group, and take such
//! rows in. That is all that slices need: merging two of them is handing the state of one to the other, and a snapshot is the
//! state as it is. A function may be used here only if it gives the same however its rows are cut into batches, and goes
//! on from its own state as if it had never given it up.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use lineside_model::{Error, Result};

use super::{Column, Pair, Partial, Picked, Rows, check_slots, same};
use crate::window::keys::{load_columns, save_columns};

/// An aggregate function from elsewhere, over one column of a known type.
pub trait ExternalAggregate: Debug + Send + Sync {
    /// Its name in SQL.
    fn name(&self) -> &str;
    /// Its name, the type it is over and its options: two with the same identity compute the same.
    fn identity(&self) -> &str;
    /// The type of its results.
    fn result_type(&self) -> &DataType;
    /// The types of the columns of its state.
    fn state_types(&self) -> &[DataType];
    /// What it keeps for each group, for `explain`.
    fn keeps(&self) -> &str;
    /// No groups yet.
    ///
    /// # Errors
    /// Only for our bugs.
    fn groups(&self) -> Result<Box<dyn ExternalGroups>>;
}

/// The state of an aggregate function for groups that are numbered from 0. `count` is how many there are; it never falls.
pub trait ExternalGroups: Send {
    /// Takes values, each into its group.
    ///
    /// # Errors
    /// Only for our bugs.
    fn update(&mut self, values: ArrayRef, groups: &[usize], count: usize) -> Result<()>;

    /// Takes rows of state, each into its group.
    ///
    /// # Errors
    /// If the state is not one that such a function gave.
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], count: usize) -> Result<()>;

    /// The state, a row for each group. It is not to be used any more then.
    ///
    /// # Errors
    /// Only for our bugs.
    fn into_state(self: Box<Self>, count: usize) -> Result<Vec<ArrayRef>>;

    /// The results, a row for each group.
    ///
    /// # Errors
    /// Only for our bugs.
    fn into_results(self: Box<Self>, count: usize) -> Result<ArrayRef>;
}

/// An aggregate function from elsewhere.
#[derive(Clone, Debug)]
pub struct External(pub Arc<dyn ExternalAggregate>);

impl PartialEq for External {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }
}

/// Its state for all slots.
pub(super) struct ExternalPartial {
    function: External,
    slots: usize,
    /// Reading the state takes it out for a moment. What went wrong where nothing may go wrong is told by the next call.
    groups: RefCell<Result<Box<dyn ExternalGroups>>>,
    numbers: Vec<usize>,
    /// The results of all slots, once somebody has asked for some, until the state changes.
    results: RefCell<Option<ArrayRef>>,
}

impl ExternalPartial {
    /// Nothing yet.
    pub(super) fn new(function: External) -> Self {
        let groups = RefCell::new(function.0.groups());
        Self { function, slots: 0, groups, numbers: Vec::new(), results: RefCell::default() }
    }

    /// With this state, a row for each slot.
    fn with(function: &External, state: Result<Vec<ArrayRef>>, slots: usize) -> Self {
        let merged = || {
            let mut groups = function.0.groups()?;
            groups.merge(&state?, &(0..slots).collect::<Vec<_>>(), slots)?;
            Ok(groups)
        };
        Self { slots, groups: RefCell::new(merged()), ..Self::new(function.clone()) }
    }

    fn taken(&self) -> Result<Box<dyn ExternalGroups>> {
        self.groups.replace(Err(Error::internal("an aggregate has lost its state")))
    }

    /// The state of all slots, which stays as it is.
    fn state(&self) -> Result<Vec<ArrayRef>> {
        let state = self.taken()?.into_state(self.slots)?;
        self.groups.swap(&Self::with(&self.function, Ok(state.clone()), self.slots).groups);
        Ok(state)
    }

    fn merge_state(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let slots = slots.iter().map(|slot| *slot as usize).collect::<Vec<_>>();
        *self.results.get_mut() = None;
        let mut groups = self.taken()?;
        groups.merge(state, &slots, self.slots)?;
        self.groups = RefCell::new(Ok(groups));
        Ok(())
    }

    /// Leaves only these slots their state.
    fn keep(&mut self, state: &[ArrayRef], kept: Vec<bool>) -> Result<()> {
        let slots = (0u32..).zip(&kept).filter(|(_, kept)| **kept).map(|(slot, _)| slot).collect::<Vec<_>>();
        let kept = BooleanArray::from(kept);
        let state = state.iter().map(|column| filter(column, &kept)).collect::<std::result::Result<Vec<_>, _>>()?;
        self.groups = RefCell::new(self.function.0.groups());
        self.merge_state(&state, &slots)
    }
}

fn rows_of(state: &[ArrayRef], slots: &[u32]) -> Result<Vec<ArrayRef>> {
    let slots = UInt32Array::from(slots.to_vec());
    Ok(state.iter().map(|column| take(column, &slots, None)).collect::<std::result::Result<_, _>>()?)
}

/// Pairs in rounds that come one after another; those of one round have nothing to do with each other.
fn rounds(pairs: &[Pair]) -> Vec<Vec<Pair>> {
    let (mut read, mut written) = (HashMap::<u32, usize>::new(), HashMap::<u32, usize>::new());
    let mut rounds = Vec::<Vec<Pair>>::new();
    for pair in pairs {
        let after = |rounds: &HashMap<u32, usize>, slot: u32| rounds.get(&slot).copied().unwrap_or(0);
        let round = after(&written, pair.from).max(after(&written, pair.into)).max(after(&read, pair.into));
        if rounds.len() <= round {
            rounds.push(Vec::new());
        }
        rounds[round].push(*pair);
        written.insert(pair.into, round + 1);
        let last = read.entry(pair.from).or_default();
        *last = (*last).max(round + 1);
    }
    rounds
}

impl Debug for ExternalPartial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalPartial").field("function", &self.function).finish_non_exhaustive()
    }
}

impl Partial for ExternalPartial {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self::new(self.function.clone()))
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(Self::with(&self.function, self.state(), self.slots))
    }

    fn resize(&mut self, slots: usize) {
        if slots != self.slots {
            *self.results.get_mut() = None;
        }
        self.slots = slots;
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        *self.results.get_mut() = None;
        let values = rows.column()?.slice(rows.start, rows.slots.len());
        self.numbers.clear();
        self.numbers.extend(rows.slots.iter().map(|slot| *slot as usize));
        match self.groups.get_mut() {
            Ok(groups) => groups.update(values, &self.numbers, self.slots),
            Err(_) => self.taken().map(drop),
        }
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        self.merge_state(&same::<Self>(other)?.state()?, map)
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for round in rounds(pairs) {
            let from = round.iter().map(|pair| pair.from).collect::<Vec<_>>();
            let into = round.iter().map(|pair| pair.into).collect::<Vec<_>>();
            let state = rows_of(&self.state()?, &from)?;
            self.merge_state(&state, &into)?;
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        let state = self.state();
        let taken = state.and_then(|state| {
            let taken = rows_of(&state, slots)?;
            let mut kept = vec![true; self.slots];
            slots.iter().for_each(|slot| kept[*slot as usize] = false);
            self.keep(&state, kept)?;
            Ok(taken)
        });
        Box::new(Self::with(&self.function, taken, slots.len()))
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        if let Some(results) = &*self.results.borrow() {
            return column.piece(picked.rows_of(results)?);
        }
        let results = Self::with(&self.function, self.state(), self.slots).taken()?.into_results(self.slots)?;
        column.piece(picked.rows_of(&results)?)?;
        *self.results.borrow_mut() = Some(results);
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        save_columns(&self.state()?, self.function.0.state_types())
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        let state = load_columns(bytes, self.function.0.state_types())?;
        check_slots(state.iter().map(|column| column.len()), slots)?;
        *self = Self::with(&self.function, Ok(state), slots);
        self.state().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_folded_link_by_link_and_chains_side_by_side() {
        let pair = |(from, into)| Pair { from, into };
        let pairs = [(3, 2), (2, 1), (9, 8), (8, 7), (5, 2)].map(pair);
        let expected = [vec![(3, 2), (9, 8)], vec![(2, 1), (8, 7)], vec![(5, 2)]];
        assert_eq!(rounds(&pairs), expected.map(|round| round.into_iter().map(pair).collect::<Vec<_>>()));
    }
}

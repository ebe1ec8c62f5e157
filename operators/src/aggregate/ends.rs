//! What lies between the first and the last reading of a window: how far the value went, and how fast.
//!
//! First and last go by event time, as for `first_value` and `last_value`; what the signal did between them does not matter.
//! For a line through all readings use `slope`.

use arrow::datatypes::Float64Type;
use lineside_model::Result;
use serde::{Deserialize, Serialize};

use super::path::Point;
use super::{Column, Pair, Partial, Picked, Rows, check_slots, from_bytes, same, take_entries, to_bytes};

/// The first and the last reading of a slot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ends {
    first: Point,
    last: Point,
}

impl Ends {
    /// Takes readings that arrived after those it has.
    #[inline]
    fn take(&mut self, later: &Self) {
        if later.first.time < self.first.time {
            self.first = later.first;
        }
        if later.last.time >= self.last.time {
            self.last = later.last;
        }
    }
}

/// First and last readings per slot.
#[derive(Clone, Debug)]
pub(super) struct Change {
    per_second: bool,
    ends: Vec<Option<Ends>>,
}

impl Change {
    /// Last value less first.
    pub(super) fn delta() -> Self {
        Self { per_second: false, ends: Vec::new() }
    }

    /// The same by the seconds between them; null where no time passes.
    pub(super) fn rate() -> Self {
        Self { per_second: true, ..Self::delta() }
    }
}

impl Partial for Change {
    fn fresh(&self) -> Box<dyn Partial> {
        Box::new(Self { per_second: self.per_second, ends: Vec::new() })
    }

    fn copy(&self) -> Box<dyn Partial> {
        Box::new(self.clone())
    }

    fn resize(&mut self, slots: usize) {
        self.ends.resize(slots, None);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let ends = self.ends.as_mut_slice();
        rows.each(rows.numbers::<Float64Type>()?, |slot, time, value| {
            let point = Point { time, value };
            let alone = Ends { first: point, last: point };
            match &mut ends[slot] {
                Some(ends) => ends.take(&alone),
                none => *none = Some(alone),
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Partial, map: &[u32]) -> Result<()> {
        for (later, slot) in same::<Self>(other)?.ends.iter().zip(map) {
            let Some(later) = later else { continue };
            match &mut self.ends[*slot as usize] {
                Some(ends) => ends.take(later),
                none => *none = Some(*later),
            }
        }
        Ok(())
    }

    fn fold(&mut self, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            let (from, into) = pair.of(&mut self.ends)?;
            match (from, into) {
                (None, _) => {}
                (Some(later), Some(ends)) => ends.take(later),
                (Some(later), none) => *none = Some(*later),
            }
        }
        Ok(())
    }

    fn take(&mut self, slots: &[u32]) -> Box<dyn Partial> {
        Box::new(Self { per_second: self.per_second, ends: take_entries(&mut self.ends, slots, &None) })
    }

    fn emit(&self, picked: &Picked<'_>, column: &mut Column) -> Result<()> {
        let result = |slot: usize| {
            let Ends { first, last } = self.ends[slot]?;
            let delta = last.value - first.value;
            let seconds = first.seconds_to(last);
            match self.per_second {
                false => Some(delta),
                true => (seconds > 0.0).then(|| delta / seconds),
            }
        };
        column.numbers::<Float64Type>(picked, result)
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.ends)
    }

    fn load(&mut self, bytes: &[u8], slots: usize) -> Result<()> {
        self.ends = from_bytes(bytes)?;
        check_slots([self.ends.len()], slots)
    }
}

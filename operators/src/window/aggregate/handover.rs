//! Copies of the operator that share rows out between them at will, and the one that gathers what they hold.
//!
//! A copy takes its share of the rows as if it were alone, and refuses rows of closed windows as they come. When the watermark
//! closes windows it gives its slices away, as far as they are complete, instead of putting windows out. The gathering copy takes
//! the slices of all copies up to one watermark, key by key, before it hears of that watermark itself. So a row counts for the windows
//! that were open when it arrived, wherever it arrived.

use arrow::array::ArrayRef;
use lineside_model::{Result, Timestamp};

use super::WindowAggregate;
use crate::operator::HandedOver;
use crate::window::slice::{Renumbered, Slice};

/// Slices on their way to the copy that gathers them.
#[derive(Debug)]
struct Handover {
    /// The keys that occur in them.
    keys: Vec<ArrayRef>,
    /// The numbers of those keys in these slices, rising.
    numbers: Vec<u32>,
    /// Slices by their start.
    slices: Vec<(i64, Slice)>,
    /// For each view, how many rows of its open windows are in them.
    rows: Vec<u64>,
}

impl WindowAggregate {
    /// Closes the windows that the watermark has passed and gives away the slices that are complete by then; nothing as long as no
    /// window closes.
    pub(super) fn give_complete(&mut self, watermark: Timestamp) -> Result<Option<HandedOver>> {
        let watermark = self.behind(watermark);
        let open = self.layout.views.iter().map(|view| view.windows.first_open(watermark)).collect::<Vec<_>>();
        if open.iter().zip(&self.views).all(|(open, view)| *open <= view.next()) {
            return Ok(None);
        }
        let (mut slices, mut rows, entries) = (Vec::new(), vec![0; self.views.len()], self.entries);
        while let Some(first) = self.slices.first_entry()
            && self.layout.cells.at(*first.key()).end <= watermark.micros()
        {
            let (start, slice) = first.remove_entry();
            self.entries -= slice.live();
            for ((view, planned), rows) in self.views.iter_mut().zip(&self.layout.views).zip(&mut rows) {
                if view.holds(start, &planned.windows) {
                    let held = slice.rows().min(view.rows);
                    view.rows -= held;
                    *rows += held;
                }
            }
            slices.push((start, slice));
        }
        for ((open, view), planned) in open.iter().zip(&mut self.views).zip(&self.layout.views) {
            if *open > view.next() {
                view.closed_before(*open, &planned.windows);
            }
        }
        let mut occurs = vec![false; self.keys.len()];
        slices.iter().flat_map(|(_, slice)| slice.keys()).for_each(|key| occurs[key as usize] = true);
        let numbers = (0u32..).zip(&occurs).filter(|(_, occurs)| **occurs).map(|(key, _)| key).collect::<Vec<_>>();
        let keys = self.keys.columns(&numbers)?;
        self.left |= self.leave_behind(entries);
        self.forget(false)?;
        Ok(Some(HandedOver(Box::new(Handover { keys, numbers, slices, rows }))))
    }

    /// Takes what another copy gave away. It may bring more keys than there may be at a time, since each copy may have as many.
    pub(super) fn gather(&mut self, part: HandedOver) -> Result<()> {
        let Handover { keys, numbers, slices, rows } = part.open()?;
        let (mut known, before) = (Vec::with_capacity(numbers.len()), self.keys.len());
        self.keys.intern(&keys, numbers.len(), &mut known)?;
        let mut map = vec![0; numbers.last().map_or(0, |last| *last as usize + 1)];
        for (theirs, ours) in numbers.iter().zip(known) {
            map[*theirs as usize] = ours;
        }
        for (start, part) in &slices {
            // By now a view may be closed there that had cut the slice off from the one before.
            let start = &if self.views.len() == 1 { *start } else { self.slice_of(*start).unwrap_or(*start) };
            if !self.slices.contains_key(start) {
                let before = self.slices.range(..start).next_back().map(|(_, slice)| slice);
                let fresh = Slice::after(before, self.keys.len(), self.used.take(), &self.empty);
                self.slices.insert(*start, fresh);
            }
            let Some(slice) = self.slices.get_mut(start) else { continue };
            let live = slice.live();
            slice.gather(part, Renumbered { map: &map, known: self.keys.len() })?;
            self.entries += slice.live() - live;
            self.views.iter_mut().for_each(|view| view.sliding.touched(*start));
        }
        self.views.iter_mut().zip(rows).for_each(|(view, rows)| view.rows += rows);
        // No row is refused here, which is when keys make room elsewhere.
        if self.left && self.keys.len() > before.max(self.layout.max_groups) {
            self.left = false;
            self.forget_of(self.keys.len(), true)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use lineside_model::schema::time_field;
    use lineside_model::{Reason, Span};

    use super::*;
    use crate::aggregate::AggregateFunction::Sum;
    use crate::window::layout::Layout;
    use crate::window::{AggregateSpec, WindowKind, WindowSpec, plan};
    use crate::{Emitter, Operator};

    const MAX_GROUPS: usize = 120;

    /// The rows that were put out, as text. None may be dropped.
    #[derive(Debug, Default, PartialEq)]
    struct Kept(Vec<String>);

    impl Emitter for Kept {
        fn emit(&mut self, rows: RecordBatch) -> Result<()> {
            self.0.extend((0..rows.num_rows()).map(|row| format!("{:?}", rows.slice(row, 1).columns())));
            self.0.sort();
            Ok(())
        }

        fn dropped(&mut self, reason: Reason, rows: usize) {
            panic!("{rows} rows were dropped as {}", reason.word());
        }
    }

    /// Parts of a second: four new ones, and four that were seen in the one before.
    fn parts(input: &Arc<Schema>, second: i64) -> RecordBatch {
        let times = (0..8).map(|n| second * 1_000_000 + n * 100_000).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            Arc::new((0..8).map(|n| Some(second * 4 - n)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(Arc::clone(input), columns).unwrap()
    }

    #[test]
    fn keys_that_closed_windows_have_left_make_room_where_slices_are_gathered() {
        let number = Field::new("part", DataType::Int64, true);
        let input = Arc::new(Schema::new(vec![time_field("ts", true), number]));
        let (size, slide) = (Span::from_secs(20), Span::from_secs(1));
        let spec = WindowSpec {
            kind: WindowKind::Hop { size, slide, offset: Span::ZERO },
            time: 0,
            time_delay: Span::ZERO,
            keys: vec![1],
            aggregates: vec![AggregateSpec { function: Sum, column: Some(1), name: "sum".to_owned() }],
            max_groups: MAX_GROUPS,
        };
        let query = plan(spec, &input).unwrap().windows.unwrap();
        let layout = Arc::new(Layout::of(&[query.as_ref()]).unwrap());
        let [mut alone, mut gathers, mut one, mut other] =
            std::array::from_fn(|_| WindowAggregate::new(Arc::clone(&layout)).unwrap());
        for second in 0..600 {
            let (rows, watermark) = (parts(&input, second), Timestamp(second * 1_000_000));
            let (mut expected, mut out) = (Kept::default(), Kept::default());
            alone.process(0, rows.clone(), &mut expected).unwrap();
            alone.advance(watermark, &mut expected).unwrap();
            for (worker, from) in [(&mut one, 0), (&mut other, 4)] {
                worker.process(0, rows.slice(from, 4), &mut out).unwrap();
                let part = worker.hand_over(watermark).unwrap();
                part.map_or(Ok(()), |part| gathers.take_over(part)).unwrap();
            }
            gathers.advance(watermark, &mut out).unwrap();
            assert_eq!(out, expected, "second {second}");
            // Those of the part that was taken last come on top.
            assert!(gathers.keys() <= MAX_GROUPS + 4, "second {second}: {} keys", gathers.keys());
        }
    }
}

//! How long things took: where the time of a reading goes, stage by stage, and what connectors measure of their own.
//!
//! One record for a batch, never for a row. A length of time is kept in nanoseconds and told in microseconds, to 1 %.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::Quantiles;

/// A part of the way of a reading from the wire to the wire. `decode` to `closing` stand at a source, the others at a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The newest message of a batch was read from the wire -> its rows are handed to the dataflow.
    Decode,
    /// Handed to the dataflow -> a worker takes them up.
    Queue,
    /// Taken up -> out of the last operator.
    Operators,
    /// A watermark was taken up -> the windows that it closes are out of the last operator.
    Closing,
    /// Out of the last operator -> the sink takes them up.
    SinkQueue,
    /// Taken up by the sink -> written, as far as its connector waits for it.
    Sink,
    /// All of them: the newest reading that led to a row was read from the wire -> the row is written. Counted for each row.
    SensorToSink,
}

impl Stage {
    /// All of them, in the order of the way.
    pub const ALL: [Self; 7] =
        [Self::Decode, Self::Queue, Self::Operators, Self::Closing, Self::SinkQueue, Self::Sink, Self::SensorToSink];

    /// The word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Operators => "operators",
            Self::Closing => "closing",
            Self::SinkQueue => "sink_queue",
            Self::Sink => "sink",
            Self::SensorToSink => "sensor_to_sink",
        }
    }
}

/// The longest time that is told apart from longer ones: an hour, in nanoseconds.
const NANOS_MOST: u64 = 3_600_000_000_000;

/// The times of one source or sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    stages: [Option<Histogram<u64>>; Stage::ALL.len()],
    named: BTreeMap<&'static str, Histogram<u64>>,
}

impl Times {
    /// A stage took so many nanoseconds, for so many.
    pub(super) fn stage(&mut self, stage: Stage, nanos: i64, count: u64) {
        record(self.stages[stage as usize].get_or_insert_with(histogram), nanos, count);
    }

    /// Something that a connector measures took so many nanoseconds.
    pub(super) fn named(&mut self, name: &'static str, nanos: i64) {
        record(self.named.entry(name).or_insert_with(histogram), nanos, 1);
    }

    /// What there is, by name.
    pub(super) fn quantiles(&self) -> BTreeMap<&'static str, Quantiles> {
        let stages = Stage::ALL.iter().zip(&self.stages);
        let stages = stages.filter_map(|(stage, times)| Some((stage.word(), times.as_ref()?)));
        let named = self.named.iter().map(|(name, times)| (*name, times));
        stages.chain(named).map(|(name, times)| (name, Quantiles::of(times))).collect()
    }
}

fn histogram() -> Histogram<u64> {
    // At two digits 2 KiB and another for each doubling of the longest time: 15 KiB at 2 ms, 36 KiB at an hour.
    Histogram::new(2).expect("the precision is a constant that hdrhistogram accepts")
}

fn record(times: &mut Histogram<u64>, nanos: i64, count: u64) {
    let recorded = times.record_n(u64::try_from(nanos).unwrap_or(0).min(NANOS_MOST), count);
    recorded.expect("a histogram that grows has room for every time up to an hour");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_less_than_a_microsecond_are_told_apart() {
        let mut times = Times::default();
        (0..99).for_each(|_| times.stage(Stage::Queue, 250, 1));
        times.stage(Stage::Queue, 12_340, 1);
        times.stage(Stage::SensorToSink, -5, 3);
        times.named("poll_lateness", 2_000_000);
        let told = times.quantiles();
        assert_eq!((told["queue"].count, told["queue"].p50), (100, 0.3));
        assert!((told["queue"].max - 12.3).abs() < 0.2, "{}", told["queue"].max);
        assert_eq!((told["sensor_to_sink"].count, told["sensor_to_sink"].max), (3, 0.0));
        assert!((told["poll_lateness"].p99 / 2_000.0 - 1.0).abs() < 0.01);
    }
}

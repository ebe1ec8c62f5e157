//! How far the event times of rows reach: the least and the greatest of every 64 rows. Whatever asks for rows out of the
//! ordinary, one too far ahead or one behind the watermark, looks here first and then only at the rows of chunks that can have
//! one. Every row of every source passes here, so this is a loop that does several rows at a time.

/// So many rows are looked at together.
pub(super) const CHUNK: usize = 64;

/// How far the times of one chunk reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The least time.
    pub(super) least: i64,
    /// The greatest time.
    pub(super) greatest: i64,
}

/// The extents of all chunks of a batch, in the order of the rows; only the last chunk may have less than [`CHUNK`] rows.
#[derive(Debug, Default)]
pub(super) struct Extents(Vec<Extent>);

impl Extents {
    /// Forgets the batch before, and measures this one.
    pub(super) fn measure(&mut self, times: &[i64]) {
        self.0.clear();
        let (chunks, rest) = times.as_chunks::<CHUNK>();
        self.0.extend(chunks.iter().map(Extent::of_chunk));
        if !rest.is_empty() {
            self.0.push(Extent::of(rest));
        }
    }

    /// The greatest time of all; the least there is if there are no rows.
    pub(super) fn greatest(&self) -> i64 {
        self.0.iter().fold(i64::MIN, |greatest, extent| greatest.max(extent.greatest))
    }

    /// Those of the chunks.
    pub(super) fn chunks(&self) -> &[Extent] {
        &self.0
    }
}

/// The bits of the float 1.5 × 2^52. Near it a float is as fine as an integer: the bits of its neighbours count up and down with them.
const MIDDLE: i64 = 0x4338_0000_0000_0000;

impl Extent {
    /// Measures one by one.
    fn of(times: &[i64]) -> Self {
        let none = Self { least: i64::MAX, greatest: i64::MIN };
        times
            .iter()
            .fold(none, |Self { least, greatest }, &time| Self { least: least.min(time), greatest: greatest.max(time) })
    }

    /// The same for a whole chunk, in lanes. Every 64-bit processor compares floats two at a time, and long integers only since
    /// later ones. So each time is taken as its distance from the first, in the bits of a float: floats of one sign are in the
    /// order of their bits. That holds for 70 years to both sides; a chunk that reaches further is measured one by one.
    fn of_chunk(times: &[i64; CHUNK]) -> Self {
        let shift = MIDDLE.wrapping_sub(times[0]);
        let (mut least, mut greatest, mut seen) = ([f64::INFINITY; 4], [f64::NEG_INFINITY; 4], [0; 4]);
        for times in times.as_chunks::<4>().0 {
            let bits: [i64; 4] = std::array::from_fn(|lane| times[lane].wrapping_add(shift));
            let floats = bits.map(|bits| f64::from_bits(bits.cast_unsigned()));
            seen = std::array::from_fn(|lane| seen[lane] | bits[lane]);
            least = std::array::from_fn(|lane| if floats[lane] < least[lane] { floats[lane] } else { least[lane] });
            greatest =
                std::array::from_fn(|lane| if floats[lane] > greatest[lane] { floats[lane] } else { greatest[lane] });
        }
        let time = |float: f64| float.to_bits().cast_signed().wrapping_sub(shift);
        let least = time(least.into_iter().fold(f64::INFINITY, f64::min));
        let greatest = time(greatest.into_iter().fold(f64::NEG_INFINITY, f64::max));
        // Sign and exponent of all are those of the middle, and no distance is one around the end of the integers.
        let near = seen.iter().fold(0, |all, seen| all | seen) >> 52 == MIDDLE >> 52;
        if near && least <= greatest { Self { least, greatest } } else { Self::of(times) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_reaches_as_far_as_its_rows_whatever_times_it_has() {
        let years = |n: i64| n * 31_556_952_000_000;
        let now = 1_700_000_000_000_000;
        let far =
            [i64::MIN, i64::MAX, i64::MIN / 2, i64::MAX / 4, 0, -1, now, years(71), -years(71), years(72), 1 << 51];
        for first in far {
            for other in far {
                for place in [0, 1, 2, 3, 4, 30, 63] {
                    for from in [first, now, -now, 0] {
                        let mut times: [i64; CHUNK] = std::array::from_fn(|row| from.wrapping_add(row as i64 % 7));
                        times[place] = other;
                        assert_eq!(Extent::of_chunk(&times), Extent::of(&times), "{times:?}");
                        times.reverse();
                        assert_eq!(Extent::of_chunk(&times), Extent::of(&times), "{times:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_rows_behind_the_last_whole_chunk_are_measured_too() {
        let times = (0..150).collect::<Vec<i64>>();
        let mut extents = Extents::default();
        extents.measure(&times);
        let told = extents.chunks().iter().map(|extent| (extent.least, extent.greatest)).collect::<Vec<_>>();
        assert_eq!((told, extents.greatest()), (vec![(0, 63), (64, 127), (128, 149)], 149));
        extents.measure(&[]);
        assert_eq!((extents.chunks(), extents.greatest()), (&[][..], i64::MIN));
    }
}

//! Chance that can be repeated: the same seed and the same question give the same answer, in whatever order one asks.

/// A number of the normal distribution with mean 0 and deviation 1.
pub(crate) fn gaussian(seed: u64, channel: u64, index: u64) -> f64 {
    let key = mix(mix(seed).wrapping_add(channel)).wrapping_add(index);
    let (a, b) = (unit(mix(key)), unit(mix(!key)));
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// A float in (0, 1] from the upper 53 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): neighbouring inputs give unrelated outputs.
pub(crate) fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_stated_deviation() {
        let values = (0..100_000).map(|n| gaussian(1, 2, n)).collect::<Vec<_>>();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }
}

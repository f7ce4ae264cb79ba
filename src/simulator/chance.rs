//! Chance that repeats: numbers drawn from a seed and from what they are drawn for, never from an order of events.
//!
//! A draw depends on its inputs alone, so the third PUT of one target meets the same luck in every run with the same
//! seed, however the requests of other targets interleave with it.

/// Scrambles 64 bits one to one (the finaliser of `SplitMix64`): different inputs never collide.
pub(super) fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in `0.0..1.0` that depends on nothing but `parts`.
pub(super) fn fraction(parts: &[u64]) -> f64 {
    let bits = parts.iter().fold(0, |state, part| scramble(state ^ scramble(*part)));
    // The top 53 bits: as many as an f64 holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A stable hash of a text (FNV-1a), for use as one of the parts of a draw.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault of probability one tenth must strike about one time in ten, or fault tests test nothing.
    #[test]
    fn fractions_are_spread_evenly() {
        let hits = (0..10_000).filter(|n| fraction(&[7, hash("ledger-0"), *n]) < 0.1).count();
        assert!((900..1_100).contains(&hits), "{hits} of 10000");
    }
}

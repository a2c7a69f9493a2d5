//! Chance, for sampling, for waits that shall not end together and for names: quick, and not for secrets.

use std::hash::{BuildHasher, RandomState};

/// A source of numbers (SplitMix64).
pub struct Chance(u64);

// === impl Chance ===

impl Chance {
    /// Differs from every other.
    #[expect(clippy::new_without_default, reason = "a default is expected to be the same each time")]
    pub fn new() -> Chance {
        Chance(RandomState::new().hash_one(crate::clock::now_ns()))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True in such a part of the cases; always at 1, never at 0.
    pub fn below(&mut self, part: f64) -> bool {
        self.part() < part
    }

    /// From 0 to below 1.
    pub fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Sixteen bytes, as a random UUID has.
    pub fn bytes(&mut self) -> [u8; 16] {
        // Another seed: all sixteen are random, not only the eight that this source was made of.
        let numbers = u128::from(self.number()) << 64 | u128::from(Chance::new().number());
        numbers.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_about_a_tenth() {
        let mut chance = Chance::new();
        let kept = (0..100_000).filter(|_| chance.below(0.1)).count();
        assert!((9_000..11_000).contains(&kept), "{kept}");
        assert!((0..1000).all(|_| chance.below(1.0)) && !(0..1000).any(|_| chance.below(0.0)));
    }
}

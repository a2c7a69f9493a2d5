//! Randomness and thresholds of 56 bits: an item is kept when its randomness is not below the threshold.
//!
//! Source: OpenTelemetry specification, "TraceState: Probability Sampling".

/// From 0 to [`MAX_RANDOMNESS`].
pub(super) type Randomness = u64;
/// From [`ALWAYS`] to [`NEVER`].
pub(super) type Threshold = u64;

/// Hexadecimal digits of 56 bits.
pub(super) const DIGITS: i32 = 14;
/// Keeps all.
pub(super) const ALWAYS: Threshold = 0;
/// Keeps none: no randomness is so great.
pub(super) const NEVER: Threshold = 1 << 56;
pub(super) const MAX_RANDOMNESS: Randomness = NEVER - 1;
/// The least probability that a threshold can express.
pub(super) const MIN_PROBABILITY: f64 = 1.0 / NEVER as f64;

const HASH_BITS: u32 = 14;
const HASHES: u32 = 1 << HASH_BITS;

/// The threshold of a probability; `None` when it is out of range. Near 0 and 1 it gets more digits than asked for, so that
/// they stay significant.
pub(super) fn of(probability: f64, precision: i32) -> Option<Threshold> {
    if !(MIN_PROBABILITY..=1.0).contains(&probability) {
        return None;
    }
    if probability == 1.0 {
        return Some(ALWAYS);
    }
    let zeros = |value: f64| -exponent(value) / 4;
    let digits = (precision + zeros(probability)).max(precision + zeros(1.0 - probability)).min(DIGITS);
    let exact = NEVER - (probability * NEVER as f64).round() as u64;
    let shift = 4 * (DIGITS - digits);
    if shift == 0 {
        return Some(exact);
    }
    Some((exact + (1 << (shift - 1))) >> shift << shift)
}

/// The `e` of `m * 2^e` with `m` from a half up to 1. For normal numbers.
fn exponent(value: f64) -> i32 {
    ((value.to_bits() >> 52) & 0x7ff) as i32 - 1022
}

/// The probability that a threshold stands for.
pub(super) fn probability(threshold: Threshold) -> f64 {
    (NEVER - threshold) as f64 / NEVER as f64
}

/// The threshold that a percentage has for hashes of 14 bits; `None` when it is too small for them. The steps, and that
/// they are of single precision, are those of the Collector, so that both decide alike.
pub(super) fn of_hash(percentage: f32) -> Option<Threshold> {
    const SCALE: f32 = HASHES as f32 / 100.0;
    match (percentage * SCALE) as u32 {
        0 => None,
        kept => Some(u64::from(HASHES.saturating_sub(kept)) << (56 - HASH_BITS)),
    }
}

/// Randomness out of the hash of an id, again as the Collector computes it: 14 bits decide, the others only fill up.
pub(super) fn hash(bytes: &[u8], seed: u32) -> Randomness {
    let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    let hash = seed.to_le_bytes().iter().chain(bytes).fold(2_166_136_261, fnv);
    let low = u64::from(hash % HASHES);
    let high = u64::from(hash >> (32 - HASH_BITS));
    let mixed = high ^ (high << 10);
    (u64::from(HASHES) - 1 - low) << 42 | mixed << HASH_BITS | low
}

/// The last 56 bits of a trace id that W3C calls random; `None` when there is none.
pub(super) fn of_trace_id(id: &[u8]) -> Option<Randomness> {
    let id: &[u8; 16] = id.try_into().ok()?;
    let last = u64::from_be_bytes(*id.last_chunk()?);
    id.iter().any(|byte| *byte != 0).then_some(last & MAX_RANDOMNESS)
}

/// A threshold as it is written: up to 14 digits, zeros at the end left out.
pub(super) fn parse(text: &str) -> Option<Threshold> {
    let digits = i32::try_from(text.len()).ok().filter(|digits| (1..=DIGITS).contains(digits))?;
    Some(hexadecimal(text)? << (4 * (DIGITS - digits)))
}

/// See [`parse`].
pub(super) fn text(threshold: Threshold) -> String {
    match threshold {
        ALWAYS => "0".to_owned(),
        NEVER => String::new(),
        threshold => randomness_text(threshold).trim_end_matches('0').to_owned(),
    }
}

/// Randomness as it is written: 14 digits.
pub(super) fn parse_randomness(text: &str) -> Option<Randomness> {
    (text.len() == DIGITS as usize).then(|| hexadecimal(text))?
}

/// See [`parse_randomness`].
pub(super) fn randomness_text(randomness: Randomness) -> String {
    format!("{randomness:014x}")
}

fn hexadecimal(text: &str) -> Option<u64> {
    // A sign would pass from_str_radix.
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_become_short_thresholds() {
        for (probability, precision, expected) in [
            (0.5, 4, "8"),
            (1.0, 4, "0"),
            (0.125, 6, "e"),
            (1.0 / 3.0, 4, "aaab"),
            (1.0 / 3.0, 14, "aaaaaaaaaaaaac"),
            // Nines (here f) do not count as digits.
            (0.001, 3, "ffbe7"),
            (0.999, 3, "00419"),
        ] {
            assert_eq!(text(of(probability, precision).unwrap()), expected, "{probability}");
        }
        assert_eq!(of(0.0, 4), None);
        assert_eq!(of(1.5, 4), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for threshold in [ALWAYS, 1, MAX_RANDOMNESS, 1 << 55] {
            assert_eq!(parse(&text(threshold)), Some(threshold));
        }
        for wrong in ["", "+1", "g", "000000000000000"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse_randomness("00000000000001"), Some(1));
        assert_eq!(parse_randomness("1"), None);
    }

    #[test]
    fn the_shares_of_hashes_are_as_asked() {
        assert_eq!(of_hash(100.0), Some(ALWAYS));
        assert_eq!(of_hash(50.0), Some(1 << 55));
        assert_eq!(of_hash(0.001), None);
        let kept = (0..100_000_u32).filter(|i| hash(&i.to_be_bytes(), 7) >= of_hash(20.0).unwrap()).count();
        assert!((18_000..22_000).contains(&kept), "{kept}");
    }
}

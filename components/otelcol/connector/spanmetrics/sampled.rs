//! For how many spans a sampled one stands: its trace state tells the threshold, `ot=th:c` for one of four.

use std::hash::{BuildHasher as _, RandomState};

/// Where the random number of a trace begins from which on it is kept, at most: 56 bits.
const ALL: u64 = 1 << 56;

/// Reads trace states; that of the last span is remembered, as those of one trace follow each other.
#[derive(Default)]
pub(super) struct Sampled {
    last: Vec<u8>,
    /// That of the last.
    count: u64,
    random: RandomState,
    drawn: u64,
}

// === impl Sampled ===

impl Sampled {
    /// For how many spans one with this trace state stands: a whole number, rounded up or down by chance so that the mean is
    /// right.
    pub(super) fn count(&mut self, trace_state: &[u8]) -> u64 {
        if trace_state.is_empty() {
            return 1;
        }
        if self.last != trace_state {
            trace_state.clone_into(&mut self.last);
            self.count = match threshold(trace_state) {
                Some(threshold) => self.round(ALL, ALL - threshold),
                None => 1,
            };
        }
        self.count
    }

    fn round(&mut self, numerator: u64, denominator: u64) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let up = self.random.hash_one(self.drawn) % denominator < numerator % denominator;
        numerator / denominator + u64::from(up)
    }
}

/// What is below is not kept.
fn threshold(trace_state: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(trace_state).ok()?;
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let ours = members.filter_map(|member| member.strip_prefix("ot=")).next_back()?;
    let digits = ours.split(';').filter_map(|field| field.strip_prefix("th:")).next_back()?;
    let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !hex || digits.len() > 14 {
        return None;
    }
    // Zeros at the end are not written.
    Some(u64::from_str_radix(digits, 16).ok()? << (4 * (14 - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_span_stands_for_those_that_were_not_kept() {
        let mut sampled = Sampled::default();
        for (trace_state, count) in [
            ("", 1),
            ("ot=th:8", 2),
            ("a=1, ot=rv:00000000000001;th:c", 4),
            ("ot=th:0", 1),
            ("ot=rv:00000000000001", 1),
            ("ot=th:zz", 1),
            ("ot=th:", 1),
            ("ot=th:123456789abcdef", 1),
            ("a=th:8", 1),
        ] {
            assert_eq!(sampled.count(trace_state.as_bytes()), count, "{trace_state}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_right_on_average() {
        let mut sampled = Sampled::default();
        // Two of three are kept: each stands for one and a half.
        let total: u64 = (0..30_000).map(|_| sampled.round(3, 2)).sum();
        assert!((44_000..46_000).contains(&total), "{total}");
    }
}

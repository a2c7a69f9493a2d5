//! Finds what may not stand in a JSON string as it is, eight bytes at a time. By hand: the shipped program is optimised as a
//! whole for size, and there the compiler looks at bytes one by one.

const WORD: usize = size_of::<u64>();

/// The length of a text and its first bytes: nearly all names differ in it, and short ones in nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    length: usize,
    bytes: u64,
}

/// The place of the first quote, backslash or control character from here on; the end of the text without one.
#[inline(always)]
pub fn first(text: &[u8], from: usize) -> usize {
    let (words, rest) = text.get(from..).unwrap_or_default().as_chunks::<WORD>();
    let mut at = from;
    for word in words {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    first_of_last(text, rest.len())
}

/// The same for the last bytes, of which there are less than a word.
fn first_of_last(text: &[u8], length: usize) -> usize {
    let from = text.len() - length;
    match text.last_chunk::<WORD>() {
        Some(word) if length > 0 => {
            // What is before these is pushed out, and the zeros that come behind the end are special.
            let rest = u64::from_le_bytes(*word) >> (8 * (WORD - length));
            from + specials(rest).trailing_zeros() as usize / 8
        }
        _ => text[from..].iter().position(|byte| is_special(*byte)).map_or(text.len(), |step| from + step),
    }
}

/// The same as [`first`] for a text of which the first word from here on is known, with the head of what is before that place.
#[inline(always)]
pub fn first_with_head(text: &[u8], from: usize, word: u64) -> (usize, Head) {
    let special = specials(word);
    if special == 0 {
        let end = first(text, from + WORD);
        return (end, Head { length: end - from, bytes: word });
    }
    // The bit is the highest of its byte.
    let bits = special.trailing_zeros() & !7;
    let length = bits as usize / 8;
    (from + length, Head { length, bytes: word & !(u64::MAX << bits) })
}

/// The high bit of the first byte that is special, and of none before it; behind it bits may be wrong.
#[inline(always)]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // With this bit turned over, a quote comes right behind the control characters.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

// === impl Head ===

impl Head {
    /// Of a text.
    pub fn of(text: &[u8]) -> Head {
        let mut bytes = [0; WORD];
        let known = text.len().min(WORD);
        bytes[..known].copy_from_slice(&text[..known]);
        Head { length: text.len(), bytes: u64::from_le_bytes(bytes) }
    }

    /// Whether it holds all of the text.
    pub fn is_whole(self) -> bool {
        self.length <= WORD
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of which many are special, or nearly so.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte =
            prop_oneof![8 => any::<u8>(), 4 => 0x1e..0x24u8, 1 => 0x5b..0x5eu8, 1 => 0x7f..0x82u8, 30 => 0x61..0x7bu8];
        prop::collection::vec(byte, 0..80)
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(text in bytes(), from in 0..80usize) {
            let from = from.min(text.len());
            let expected = text[from..].iter().position(|byte| is_special(*byte)).map_or(text.len(), |step| from + step);
            prop_assert_eq!(first(&text, from), expected);
            if let Some(word) = text[from..].first_chunk() {
                let head = Head::of(&text[from..expected]);
                prop_assert_eq!(first_with_head(&text, from, u64::from_le_bytes(*word)), (expected, head));
            }
        }
    }
}

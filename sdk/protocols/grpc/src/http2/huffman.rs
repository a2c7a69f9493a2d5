//! The Huffman code of header values (RFC 7541, appendix B).
//!
//! It is canonical: codes of one length are consecutive, in the order of their symbols. So the lengths are all there is to
//! know, and a code is found by comparing with the first one of each length.

/// Bits of the code of each byte.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// By length: the first code, and where its symbol stands in `SYMBOLS`. The end-of-string symbol is the last code of 30
/// bits and may not occur.
struct Table {
    first_code: [u32; LONGEST + 1],
    first_index: [usize; LONGEST + 2],
    symbols: [u8; 256],
    /// By the next eight bits: the symbol and the length of its code, where that is no longer. So are the codes of letters,
    /// digits and what stands between them in paths. No code has no bits, so a length of 0 is one that is longer.
    short: [(u8, u8); 256],
}

static TABLE: Table = Table::new();

impl Table {
    const fn new() -> Table {
        let mut table = Table {
            first_code: [0; LONGEST + 1],
            first_index: [0; LONGEST + 2],
            symbols: [0; 256],
            short: [(0, 0); 256],
        };
        let (mut code, mut index, mut length) = (0_u32, 0, 1);
        while length <= LONGEST {
            code <<= 1;
            table.first_code[length] = code;
            table.first_index[length] = index;
            let mut symbol = 0;
            while symbol < 256 {
                if LENGTHS[symbol] as usize == length {
                    table.symbols[index] = symbol as u8;
                    if length <= 8 {
                        let mut rest = 0;
                        while rest < 1 << (8 - length) {
                            table.short[(code << (8 - length) | rest) as usize] = (symbol as u8, length as u8);
                            rest += 1;
                        }
                    }
                    index += 1;
                    code += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        table.first_index[LONGEST + 1] = index;
        table
    }
}

/// Adds the decoded text to `out`. `None`: not the code's text, or padded wrongly.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut count) = (0_u64, 0_usize);
    let mut text = text.iter();
    loop {
        while count <= 32 {
            let Some(byte) = text.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        if count >= 8 {
            let (symbol, length) = TABLE.short[(bits >> (count - 8)) as usize & 0xff];
            if length > 0 {
                out.push(symbol);
                count -= usize::from(length);
                continue;
            }
        }
        let mut found = false;
        for length in 5..=LONGEST.min(count) {
            let code = (bits >> (count - length)) as u32 & ((1 << length) - 1);
            let symbols = TABLE.first_index[length + 1] - TABLE.first_index[length];
            let offset = code.wrapping_sub(TABLE.first_code[length]) as usize;
            if code >= TABLE.first_code[length] && offset < symbols {
                out.push(TABLE.symbols[TABLE.first_index[length] + offset]);
                count -= length;
                found = true;
                break;
            }
        }
        if !found {
            // What is left is the beginning of the end-of-string code: fewer than eight ones.
            let ones = (1_u64 << count) - 1;
            return (count < 8 && bits & ones == ones).then_some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let code_of = |byte: u8| {
            let length = LENGTHS[usize::from(byte)] as usize;
            let range = TABLE.first_index[length]..TABLE.first_index[length + 1];
            let offset = TABLE.symbols[range].iter().position(|symbol| *symbol == byte).unwrap();
            (TABLE.first_code[length] + offset as u32, length)
        };
        let bits: String =
            text.iter().map(|byte| code_of(*byte)).map(|(code, length)| format!("{code:0length$b}")).collect();
        let padded = format!("{bits}{}", "1".repeat((8 - bits.len() % 8) % 8));
        (0..padded.len()).step_by(8).map(|at| u8::from_str_radix(&padded[at..at + 8], 2).unwrap()).collect()
    }

    #[test]
    fn examples_of_the_specification() {
        // RFC 7541, C.4.1 and C.6.1.
        for (bytes, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ] {
            let mut out = Vec::new();
            assert_eq!(decode(bytes, &mut out), Some(()));
            assert_eq!(out, text.as_bytes());
            assert_eq!(encode(text.as_bytes()), bytes);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        assert_eq!(decode(&encode(&all), &mut out), Some(()));
        assert_eq!(out, all);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for wrong in [&[0xff, 0xff, 0xff, 0xff][..], &[0x00, 0xff, 0xff], &[0x07, 0x00]] {
            assert_eq!(decode(wrong, &mut Vec::new()), None, "{wrong:?}");
        }
    }
}

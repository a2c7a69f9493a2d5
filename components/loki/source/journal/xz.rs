//! Fields that journald compressed with xz, as it did before it had better ones: the container's format, LZMA2 and LZMA.
//!
//! By hand, as a reader of all that xz can be would take more room in the program than all of the journal. What journald wrote
//! is one filter, LZMA2, and no checksum; a checksum is passed over, other filters are refused. Output is the window that
//! matches point into, so that memory is what the caller allows and no more.

/// The bytes are not xz, or not of a kind that journald wrote, or hold more than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoXz;

const MAGIC: &[u8] = b"\xfd7zXZ\0";
const LZMA2: u64 = 0x21;

/// The text behind a compressed one, which may have so many bytes.
pub fn expand(mut from: &[u8], limit: usize) -> Result<Vec<u8>, NoXz> {
    let header = take(&mut from, 12)?;
    if !header.starts_with(MAGIC) || header[6] != 0 {
        return Err(NoXz);
    }
    let checksum = match header[7] {
        0 => 0,
        1..=3 => 4,
        4..=6 => 8,
        7..=9 => 16,
        10..=12 => 32,
        13..=15 => 64,
        _ => return Err(NoXz),
    };
    let mut out = Vec::new();
    // What begins with a zero is the index of the blocks.
    while let Some(&size) = from.first().filter(|size| **size != 0) {
        check_block(take(&mut from, (usize::from(size) + 1) * 4)?)?;
        let before = from.len();
        block(&mut from, &mut out, limit)?;
        let length = before - from.len();
        take(&mut from, length.next_multiple_of(4) - length + checksum)?;
    }
    Ok(out)
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], NoXz> {
    let (taken, rest) = from.split_at_checked(count).ok_or(NoXz)?;
    *from = rest;
    Ok(taken)
}

/// A block must have no filter but LZMA2.
fn check_block(header: &[u8]) -> Result<(), NoXz> {
    let (flags, mut rest) = (header[1], &header[2..]);
    let mut number = || base_stdx::protobuf::take_varint(&mut rest).ok_or(NoXz);
    // Sizes, if they are told, are those that are found.
    for told in [0x40, 0x80] {
        if flags & told != 0 {
            number()?;
        }
    }
    if flags & 0x3f == 0 && number()? == LZMA2 { Ok(()) } else { Err(NoXz) }
}

/// The chunks of a block.
fn block(from: &mut &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), NoXz> {
    let mut lzma: Option<Lzma> = None;
    // Matches point no further back.
    let mut window = out.len();
    loop {
        let control = take(from, 1)?[0];
        if control == 0 {
            return Ok(());
        }
        let short = |from: &mut &[u8]| take(from, 2).map(|bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]));
        let size = (if control >= 0x80 { usize::from(control & 0x1f) << 16 } else { 0 }) + short(from)? + 1;
        if size > limit - out.len() {
            return Err(NoXz);
        }
        if control == 1 || control >= 0xe0 {
            window = out.len();
        }
        match control {
            1 | 2 => out.extend_from_slice(take(from, size)?),
            0x80.. => {
                let compressed = short(from)? + 1;
                if control >= 0xc0 {
                    lzma = Some(Lzma::new(take(from, 1)?[0])?);
                }
                let lzma = lzma.as_mut().ok_or(NoXz)?;
                if control >= 0xa0 {
                    lzma.reset();
                }
                lzma.decode(take(from, compressed)?, out, window, size)?;
            }
            _ => return Err(NoXz),
        }
    }
}

/// The chance that the next bit is 0, in 2048ths.
type Chance = u16;
const EVEN: Chance = 1024;

/// Bits come with chances, and change them.
struct Bits<'a> {
    input: &'a [u8],
    at: usize,
    range: u32,
    code: u32,
}

/// What is known of the text before.
struct Lzma {
    /// Bits of the byte before, bits of the place, that the chances of literals depend on.
    before: u32,
    place: u32,
    /// Of the place, for all others.
    mask: usize,
    state: usize,
    distances: [usize; 4],
    literals: Vec<[Chance; 0x300]>,
    is_match: [[Chance; 16]; STATES],
    is_repeat: [Chance; STATES],
    is_older: [[Chance; STATES]; 3],
    is_long: [[Chance; 16]; STATES],
    slots: [[Chance; 64]; 4],
    middle: [Chance; 115],
    low: [Chance; 16],
    lengths: Lengths,
    repeat_lengths: Lengths,
}

struct Lengths {
    choice: [Chance; 2],
    short: [[Chance; 8]; 16],
    middle: [[Chance; 8]; 16],
    long: [Chance; 256],
}

const STATES: usize = 12;
/// States from here on are behind a match.
const BEHIND_MATCH: usize = 7;
const LEAST_MATCH: usize = 2;

// === impl Bits ===

impl Bits<'_> {
    fn new(input: &[u8]) -> Bits<'_> {
        let mut bits = Bits { input, at: 1, range: u32::MAX, code: 0 };
        (0..4).for_each(|_| bits.code = bits.code << 8 | bits.byte());
        bits
    }

    /// Behind the end come zeros; [`Lzma::decode`] sees that.
    fn byte(&mut self) -> u32 {
        let byte = self.input.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte.into()
    }

    fn fill(&mut self) {
        if self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
    }

    fn bit(&mut self, chance: &mut Chance) -> usize {
        self.fill();
        let bound = (self.range >> 11) * u32::from(*chance);
        if self.code < bound {
            self.range = bound;
            *chance += (2048 - *chance) >> 5;
            0
        } else {
            self.range -= bound;
            self.code -= bound;
            *chance -= *chance >> 5;
            1
        }
    }

    /// So many bits, the highest first, each with chances of what came before it.
    fn tree(&mut self, chances: &mut [Chance], count: u32) -> usize {
        let mut number = 1;
        for _ in 0..count {
            number = number << 1 | self.bit(&mut chances[number]);
        }
        number - (1 << count)
    }

    /// The same, the lowest first; chances begin with those of the first bit.
    fn reverse_tree(&mut self, chances: &mut [Chance], count: u32) -> usize {
        let (mut known, mut number) = (1, 0);
        for shift in 0..count {
            let bit = self.bit(&mut chances[known - 1]);
            known = known << 1 | bit;
            number |= bit << shift;
        }
        number
    }

    /// Bits without chances.
    fn direct(&mut self, count: u32) -> usize {
        let mut number = 0;
        for _ in 0..count {
            self.fill();
            self.range >>= 1;
            let bit = self.code >= self.range;
            if bit {
                self.code -= self.range;
            }
            number = number << 1 | usize::from(bit);
        }
        number
    }
}

// === impl Lzma ===

impl Lzma {
    fn new(properties: u8) -> Result<Lzma, NoXz> {
        let (before, rest) = (u32::from(properties) % 9, u32::from(properties) / 9);
        let (place, mask) = (rest % 5, rest / 5);
        if before + place > 4 || mask > 4 {
            return Err(NoXz);
        }
        let lengths =
            || Lengths { choice: [EVEN; 2], short: [[EVEN; 8]; 16], middle: [[EVEN; 8]; 16], long: [EVEN; 256] };
        Ok(Lzma {
            before,
            place,
            mask: (1 << mask) - 1,
            state: 0,
            distances: [0; 4],
            literals: vec![[EVEN; 0x300]; 1 << (before + place)],
            is_match: [[EVEN; 16]; STATES],
            is_repeat: [EVEN; STATES],
            is_older: [[EVEN; STATES]; 3],
            is_long: [[EVEN; 16]; STATES],
            slots: [[EVEN; 64]; 4],
            middle: [EVEN; 115],
            low: [EVEN; 16],
            lengths: lengths(),
            repeat_lengths: lengths(),
        })
    }

    fn reset(&mut self) {
        let properties = (self.mask.count_ones() * 5 + self.place) * 9 + self.before;
        if let Ok(new) = Lzma::new(properties as u8) {
            *self = new;
        }
    }

    /// Appends so many bytes, which a chunk holds.
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>, window: usize, size: usize) -> Result<(), NoXz> {
        let mut bits = Bits::new(input);
        let end = out.len() + size;
        while out.len() < end {
            let place = (out.len() - window) & self.mask;
            if bits.bit(&mut self.is_match[self.state][place]) == 0 {
                let literal = self.literal(&mut bits, &out[window..])?;
                out.push(literal);
                continue;
            }
            let length = self.find_match(&mut bits, place);
            let distance = self.distances[0];
            if distance >= out.len() - window || length > end - out.len() {
                return Err(NoXz);
            }
            // It may reach into itself.
            for _ in 0..length {
                out.push(out[out.len() - 1 - distance]);
            }
        }
        if bits.at > input.len() { Err(NoXz) } else { Ok(()) }
    }

    fn literal(&mut self, bits: &mut Bits<'_>, text: &[u8]) -> Result<u8, NoXz> {
        let last = u32::from(text.last().copied().unwrap_or_default());
        let place = text.len() as u32 & ((1 << self.place) - 1);
        let chances = &mut self.literals[(place << self.before | last >> (8 - self.before)) as usize];
        let mut literal = 1;
        if self.state >= BEHIND_MATCH {
            // It differs from what the match would have gone on with.
            let at = text.len().checked_sub(1 + self.distances[0]).ok_or(NoXz)?;
            let mut other = usize::from(text[at]);
            while literal < 0x100 {
                other <<= 1;
                let expected = other >> 8 & 1;
                let bit = bits.bit(&mut chances[(1 + expected) << 8 | literal]);
                literal = literal << 1 | bit;
                if bit != expected {
                    break;
                }
            }
        }
        while literal < 0x100 {
            literal = literal << 1 | bits.bit(&mut chances[literal]);
        }
        self.state = match self.state {
            0..4 => 0,
            4..10 => self.state - 3,
            _ => self.state - 6,
        };
        Ok(literal as u8)
    }

    /// The length of a match; its distance becomes the first one.
    fn find_match(&mut self, bits: &mut Bits<'_>, place: usize) -> usize {
        let state = self.state;
        let next = |new: usize, again: usize| if state < BEHIND_MATCH { new } else { again };
        if bits.bit(&mut self.is_repeat[state]) == 0 {
            self.state = next(7, 10);
            let length = self.lengths.read(bits, place);
            self.distances.rotate_right(1);
            self.distances[0] = self.distance(bits, length);
            return length;
        }
        let [first, second, third] = &mut self.is_older;
        if bits.bit(&mut first[state]) == 0 {
            if bits.bit(&mut self.is_long[state][place]) == 0 {
                self.state = next(9, 11);
                return 1;
            }
        } else {
            let which = match bits.bit(&mut second[state]) {
                0 => 1,
                _ => 2 + bits.bit(&mut third[state]),
            };
            self.distances[..=which].rotate_right(1);
        }
        self.state = next(8, 11);
        self.repeat_lengths.read(bits, place)
    }

    fn distance(&mut self, bits: &mut Bits<'_>, length: usize) -> usize {
        let slot = bits.tree(&mut self.slots[(length - LEAST_MATCH).min(3)], 6);
        if slot < 4 {
            return slot;
        }
        let count = (slot as u32 >> 1) - 1;
        let base = (2 | slot & 1) << count;
        match slot {
            ..14 => base + bits.reverse_tree(&mut self.middle[base - slot..], count),
            _ => base + (bits.direct(count - 4) << 4) + bits.reverse_tree(&mut self.low, 4),
        }
    }
}

// === impl Lengths ===

impl Lengths {
    fn read(&mut self, bits: &mut Bits<'_>, place: usize) -> usize {
        let [is_middle, is_long] = &mut self.choice;
        LEAST_MATCH
            + match bits.bit(is_middle) {
                0 => bits.tree(&mut self.short[place], 3),
                _ if bits.bit(is_long) == 0 => 8 + bits.tree(&mut self.middle[place], 3),
                _ => 16 + bits.tree(&mut self.long, 8),
            }
    }
}

#[cfg(test)]
pub mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    /// [`text`] as the `xz` of others makes it: as journald asked for it, and with a checksum and other properties.
    const BY_OTHERS: [&str; 2] = [
        "/Td6WFoAAAD/EtlBAgAhARYAAAB0L+Wj4An5Aw9dACaRRsDRlFfkjNMpFV5IgnExKjXWom64DpaWSmNogaIQN6cQ+tUa82gIWzFFPhlFzz54iWAsB8TlqbjHrCGQz5R+bl84C/9P196F9BNSj+8knQNUPmQmECQCyVMfswr7vL/LODSOqqvHnzaebgCDqRwEWnk3y8D3c2gWz9eILQZ/L6A6nsOXuoMZae8MtjoU+dUunBWBkYtirjJBFuJbirBNoX5KwCvahZmJFDHJDyhCm7zuHpZwDx4zlaZorhS221mtbI2hRgh5lAW2Jl/AGNWDimHXFmz98TZykIoukTBgkpxWgnaIZCvP9kg1l9kYuzN4nWfP/MD3Lnuh/NWY8CTxbHUrRheu+LKVKv43ccss2f+GIRLWzZq6HvSXFbTLUW/jK5pamhBfGO3D6KrTJyHKyTMs6V4MxLpytH7CGbCpARF8VJepmnvQq9wM9JYf87qbShtNVckMceWztax8v9qyL38Q9hvP/9n0XHeaIK0/ahRISNRkqqHcDWAEmQtN+C0mHdtRNiSJkRhkSzTlpwhHnKQpAGXRBv9hUUS9/nymDD5WboXtyTMlRTCBMf3jmmsLaRCOkZ2CxLutxOqABG1PTfm4bzjC5/t+Um3IJDZJRc6j7R6xFQeePygi6n/zZu+ZSQF1GTl4Lav4jdEuNjE9Fio32EKRog5DP4exrePrgsFbw4A8p8kKz9xXLdit3d/GL2A7gpc81LuTOxGYR9jplRE9w56rocraFDzoc9r6HXKFi9y/yDc1UDOpe3M160eLB6TCOiRJHGLBDPSq0jOnhcecJ1xlc1wxGqHE5+BcrUhwWWa++YWh65c7uT34q9seK7cTyKHm3VxGgT05f5a53Htp5Tl2V+gyOnDoSxe2JeU8llN12YVglW/UoqBl9QcgfWfxi8xTeDBlO1PS90gQ2+gEPFnDTofD1sBc+hlAg499I8OFLbPJVoUgGoCgxmxUqzGB9SujvDU16FyoxhkKore0BC6+LR78HuKJfwHnexyysq+oonLe1KRGVRzN+S04He166DDdJw+zqOEAAAAAAAGjBvoTAADXqSYkqAAK/AIAAAAAAFla",
        "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4An5AzsSACaR0XbSoADXPURvejLXffGwNt+CLP2+F75IwBl6luS0++lrDgrOQQC/lSaku5fyY5+otwpSwNcpNRdVkRu5ufYT391mjUO5LMtrUXMGJRrRIN+Q/O0CtGHTf0aGV7+6iVm7x4akd3/E9IkfWTFLr2ctde42m7vepfZhjIPM/yYlNNC809Nv9diKJVqqdSXqyp0X4AJPlSuoygDUuPY7RdpMZc6wr4vVzL0I/DHTkdwb31U3oawvJDpr9ey0nj54z96jifc5NINQKZMfO8SHe3mSTQgiu06aMP0mRFfiCmnIx8AW+Epj29IGUPCDDlFSknzB6cotCb625vkJAyVjsjuFl7uUnrY37OPqODCUjZNZX3/QUczcJBDsX0JqjINSYbW8AyeM40w3BJSMPx3ycsq0zbc0CaJ4SKzpb4Wigg5pu1PpSFXvXCHNLkZ3XX5DLQ/hhF/Dg+T3rwHxeMcjSsBVjkxhNuD0ptGBD1Z0l10o/p+XGyR5E3f9QjbAUyD4tQL1mkLxJMxl2dgMtMIXIQdWGC4yGyr7fUys3mQYS8QvNRn4fi4VUwDaVAsS/xKSAqK3w2tdbVFh+o2RBO5wftf9pqpAoNeBzbJhOSmzrd4X0dbCBfrZJtT3rJRTWmzTIF1GuHMytEnj+C0z0Mofg0z/cB5YD/fakf3WXJ3k+X4PYkWua6nSXhsaPDRI5F1KtZ2RqXd0eY3jbssmYharTZLQBfVDTn8ZUaV9URLihQ1vFZGm1PqUWzhEq6rvj2JIPHaWDCNkNWJLf7A1XL5EJSy4AKWWmoDooY7zvSfXA4iE2JNdU7hCksLTWVKKmmXGeuKNBrHQWogN/G4hIeoJZYcxn58ZXig6/KpypvFHvXJhNFASgmcAUqC/VbZ3agEBrKvCLyGV9kf3MEka99r1bLJYFBTJpJYx653I+844RVlWvSuFLjWcJP4o/tXipqyBjiHDWJFNMDn3LA34ooQr/8FI88Om6/aNTIzILOXBI0uyla/4JG+ALTHsuDWjSv9lTT4CMw/8i6ZtPlqcUg6DxNIUx1jyOEYPSSEF5jlsIGHlJirQcZLEak2o/xunPLfgr6nAFuRG5sklQKAAAACCm8ZmPJlyhAAB1wb6EwAAAOaVtLHEZ/sCAAAAAARZWg==",
    ];

    /// A field, and what it is compressed.
    pub fn text() -> (String, Vec<u8>) {
        let mut text = String::from("MESSAGE=");
        for n in 0..150 {
            text.push_str(&format!("{n}: {} of {}; ", n * n % 97, n * 7919 % 1000));
        }
        text.push_str(&"-".repeat(300));
        (text, STANDARD.decode(BY_OTHERS[0]).expect("base64"))
    }

    #[test]
    fn what_others_have_compressed_is_read() {
        for compressed in BY_OTHERS {
            let compressed = STANDARD.decode(compressed).expect("base64");
            assert_eq!(String::from_utf8(expand(&compressed, LIMIT).unwrap()).unwrap(), text().0);
        }
    }

    #[test]
    fn no_more_than_is_allowed_is_made_of_it() {
        let (text, compressed) = text();
        assert_eq!(expand(&compressed, text.len()), Ok(text.clone().into_bytes()));
        assert_eq!(expand(&compressed, text.len() - 1), Err(NoXz));
    }

    #[test]
    fn chunks_that_are_not_compressed_are_taken_as_they_are() {
        let mut bytes = b"\xfd7zXZ\0\0\0\0\0\0\0\x02\0\x21\x01\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(b"\x01\0\x03MESS\x02\0\x03AGE=\0\0");
        assert_eq!(expand(&bytes, LIMIT), Ok(b"MESSAGE=".to_vec()));
        // Another filter.
        bytes[14] = 0x03;
        assert_eq!(expand(&bytes, LIMIT), Err(NoXz));
    }

    proptest! {
        #[test]
        fn damage_of_any_kind_is_no_panic_and_ends(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in 0..3000usize,
        ) {
            let mut bytes = text().1;
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut);
            if let Ok(text) = expand(&bytes, LIMIT) {
                prop_assert!(text.len() <= LIMIT);
            }
        }
    }
}

//! What a snappy block consists of.

/// Where a text is worth a copy.
pub(super) const LEAST_COPY: usize = 4;
/// The longest copy that an element can say.
pub(super) const MOST_COPIED: usize = 64;
/// The reach of a short copy, and its longest.
const NEAR: usize = 1 << 11;
const MOST_NEAR: usize = 11;
/// A copy with its distance, unless it is short.
pub(super) const COPY: usize = 3;

/// One of a block.
pub(super) struct Element {
    /// Its bytes.
    pub(super) length: usize,
    /// How many bytes it is of.
    pub(super) of: usize,
    /// From where, if they are copied.
    pub(super) distance: Option<usize>,
}

// === impl Element ===

impl Element {
    #[inline]
    pub(super) fn first_of(elements: &[u8]) -> Option<Element> {
        let (tag, rest) = elements.split_first()?;
        let upper = usize::from(tag >> 2);
        Some(match (tag & 3, rest) {
            (0, [length, ..]) if upper == 60 => Element::literal(2, usize::from(*length) + 1),
            (0, [low, high, ..]) if upper == 61 => {
                Element::literal(3, usize::from(u16::from_le_bytes([*low, *high])) + 1)
            }
            (0, _) => Element::literal(1, upper + 1),
            (1, [low, ..]) => Element {
                length: 2,
                of: LEAST_COPY + (upper & 7),
                distance: Some((upper >> 3) << 8 | usize::from(*low)),
            },
            (_, [low, high, ..]) => {
                let distance = u16::from_le_bytes([*low, *high]);
                Element { length: COPY, of: upper + 1, distance: Some(usize::from(distance)) }
            }
            _ => return None,
        })
    }

    #[inline]
    fn literal(head: usize, of: usize) -> Element {
        Element { length: head + of, of, distance: None }
    }
}

pub(super) fn push_copy(to: &mut Vec<u8>, length: usize, distance: usize, may_be_short: bool) {
    let [low, high, ..] = distance.to_le_bytes();
    if may_be_short && (LEAST_COPY..=MOST_NEAR).contains(&length) && distance < NEAR {
        to.extend([high << 5 | ((length - LEAST_COPY) as u8) << 2 | 1, low]);
    } else {
        to.extend([((length - 1) as u8) << 2 | 2, low, high]);
    }
}

pub(super) fn push_literal(to: &mut Vec<u8>, bytes: &[u8]) {
    let Some(length) = bytes.len().checked_sub(1) else { return };
    match length {
        ..60 => to.push((length as u8) << 2),
        60..0x100 => to.extend([60 << 2, length as u8]),
        _ => {
            let [low, high, ..] = length.to_le_bytes();
            to.extend([61 << 2, low, high]);
        }
    }
    to.extend_from_slice(bytes);
}

/// How many bytes two texts begin with in common.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes they end with in common.
pub(super) fn common_end(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[a.len() - length..], &b[b.len() - length..]);
    let words = a.as_rchunks::<8>().1.iter().rev().zip(b.as_rchunks::<8>().1.iter().rev());
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    let rest = length - same;
    same + a[..rest].iter().rev().zip(b[..rest].iter().rev()).take_while(|(a, b)| a == b).count()
}

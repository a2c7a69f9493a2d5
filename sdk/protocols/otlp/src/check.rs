//! The door: is this a payload, and how many items does it hold?
//!
//! One pass over every length level. It costs some tens of nanoseconds per record, and it is what lets everything behind
//! it trust positions: a payload that one client broke must not spoil the batch that it is merged into.

use crate::schema::{Field, Kind, Message, Presence, Step};
use crate::wire::{Fields, Malformed, Value, packed_varints};
use crate::{MAX_DEPTH, Signal};

/// Checks the framing of the whole payload, at every level that OTLP defines, and counts its items (spans, log records,
/// data points). Text is not checked to be UTF-8, as the Collector does not either.
///
/// # Errors
/// The first thing that is not OTLP.
pub fn check(signal: Signal, payload: &[u8]) -> Result<usize, Malformed> {
    let mut items = 0;
    if run(signal.schema(), payload, MAX_DEPTH, &mut items).is_some() {
        return Ok(items);
    }
    // Something is unusual or wrong; the careful way says what.
    let mut items = 0;
    walk(signal.schema(), payload, 0..payload.len(), MAX_DEPTH, &mut items)?;
    Ok(items)
}

/// The check for what is as it usually is; `None` when it is not.
fn run(message: &'static Message, mut rest: &[u8], depth: u32, items: &mut usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    *items += usize::from(message.item);
    while let [tag, after @ ..] = rest {
        let step = if *tag < 0x80 { message.by_tag[usize::from(*tag)] } else { Step::Ask };
        rest = match step {
            Step::Varint => skip_varint(after)?,
            Step::Fixed64 => after.get(8..)?,
            Step::Skip => delimited(after)?.1,
            Step::Id(length) => {
                let (id, rest) = delimited(after)?;
                if !id.is_empty() && id.len() != usize::from(length) {
                    return None;
                }
                rest
            }
            Step::EnterPair(place) => {
                let behind = behind_text_pairs(*tag, rest);
                if behind.len() < rest.len() {
                    behind
                } else {
                    let (body, rest) = delimited(after)?;
                    if !is_plain_pair(body) {
                        enter(message, place, body, depth, items)?;
                    }
                    rest
                }
            }
            Step::Enter(place) => {
                let (body, rest) = delimited(after)?;
                enter(message, place, body, depth, items)?;
                rest
            }
            Step::Ask => ask(message, rest)?,
        };
    }
    Some(())
}

fn enter(message: &'static Message, place: u8, body: &[u8], depth: u32, items: &mut usize) -> Option<()> {
    match message.fields[usize::from(place)].kind {
        Kind::Message(inner) => run(inner, body, depth, items),
        _ => None,
    }
}

/// A field that the table does not know: packed numbers, a `fixed32`, one that no version of ours has.
fn ask<'a>(message: &'static Message, rest: &'a [u8]) -> Option<&'a [u8]> {
    let found = Fields::of(rest).try_next().ok().flatten()?;
    if let Some(field) = message.field(found.number)
        && field.kind.wire() != found.wire()
    {
        match found.value {
            Value::Bytes(packed) if field.presence == Presence::List => check_packed(field, packed, &found).ok()?,
            _ => return None,
        }
    }
    rest.get(found.end..)
}

/// What follows a length, and what follows that.
#[inline]
pub(crate) fn delimited(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    match rest {
        [length, after @ ..] if *length < 0x80 => after.split_at_checked(usize::from(*length)),
        [low, high, after @ ..] if *high < 0x80 => {
            after.split_at_checked(usize::from(*low & 0x7f) | usize::from(*high) << 7)
        }
        _ => {
            let mut length = 0u64;
            for (i, byte) in rest.iter().take(9).enumerate() {
                length |= u64::from(byte & 0x7f) << (7 * i);
                if *byte < 0x80 {
                    return rest[i + 1..].split_at_checked(usize::try_from(length).ok()?);
                }
            }
            None
        }
    }
}

#[inline]
pub(crate) fn skip_varint(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [byte, after @ ..] if *byte < 0x80 => Some(after),
        _ => {
            let last = rest.iter().take(10).position(|byte| *byte < 0x80)?;
            // Of ten bytes the last has one bit.
            if last == 9 && rest[last] > 1 { None } else { rest.get(last + 1..) }
        }
    }
}

/// What stands behind the fields with this tag that are `KeyValue { key, value: AnyValue { text } }` with lengths of one byte:
/// attributes follow each other, and nearly all are that, so they are looked at in one loop. Such a field is
/// `tag length 0a key-length key… 12 value-length 0a text-length text…`, and each length follows from the one around it.
#[inline]
fn behind_text_pairs(tag: u8, mut rest: &[u8]) -> &[u8] {
    // Four bytes are compared at a time. Around a text of `n` bytes there is one way to write the second four.
    let first = u32::from_le_bytes([tag, 0, 0x0a, 0]);
    let second = |n: usize| u32::from_le_bytes([0x12, 2, 0x0a, 0]) + 0x0100_0100 * n as u32;
    while let Some(head) = rest.first_chunk::<4>() {
        let end = 2 + usize::from(head[1]);
        let value = 4 + usize::from(head[3]);
        let Some(text) = end.checked_sub(value + 4) else { break };
        let Some((pair, behind)) = rest.split_at_checked(end) else { break };
        let Some(inner) = pair[value..].first_chunk::<4>() else { break };
        let one_byte_lengths = u32::from_le_bytes(*head) & 0x00ff_80ff;
        if one_byte_lengths != first || u32::from_le_bytes(*inner) != second(text) {
            break;
        }
        rest = behind;
    }
    rest
}

/// `KeyValue { key, value: AnyValue { text, bool, int or double } }` in the order and lengths in which everybody writes
/// it: most of what a payload consists of.
#[inline]
fn is_plain_pair(body: &[u8]) -> bool {
    let [0x0a, length, rest @ ..] = body else { return false };
    let Some((_, [0x12, value_length, value @ ..])) = rest.split_at_checked(usize::from(*length)) else { return false };
    if length | value_length >= 0x80 || usize::from(*value_length) != value.len() {
        return false;
    }
    match value {
        [0x0a, length, text @ ..] => *length < 0x80 && usize::from(*length) == text.len(),
        [0x10, bool] => *bool < 0x80,
        [0x18, int @ ..] => {
            int.len() < 10
                && int.split_last().is_some_and(|(last, more)| *last < 0x80 && more.iter().all(|b| *b >= 0x80))
        }
        [0x21, double @ ..] => double.len() == 8,
        _ => false,
    }
}

fn walk(
    message: &'static Message,
    buf: &[u8],
    place: std::ops::Range<usize>,
    depth: u32,
    items: &mut usize,
) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep)?;
    *items += usize::from(message.item);
    let mut fields = Fields::inside(buf, place);
    while let Some(found) = fields.try_next()? {
        let Some(field) = message.field(found.number) else { continue };
        match (field.kind, found.value) {
            (Kind::Message(inner), Value::Bytes(_)) => walk(inner, buf, found.body(), depth, items)?,
            (Kind::Text | Kind::Bytes, Value::Bytes(_)) => {}
            (Kind::Id(length), Value::Bytes(id)) => {
                if !id.is_empty() && id.len() != length {
                    return Err(Malformed::IdLength { length: id.len(), field: field.name });
                }
            }
            (kind, value) if kind.wire() == found.wire() => debug_assert!(!matches!(value, Value::Bytes(_))),
            (_, Value::Bytes(packed)) if field.presence == Presence::List => check_packed(field, packed, &found)?,
            _ => {
                return Err(Malformed::WrongWireType { wire: found.wire(), field: field.name, message: message.name });
            }
        }
    }
    Ok(())
}

fn check_packed(field: &Field, packed: &[u8], found: &crate::wire::Field<'_>) -> Result<(), Malformed> {
    let whole = match field.kind.wire() {
        1 => packed.len().is_multiple_of(8),
        5 => packed.len().is_multiple_of(4),
        _ => packed_varints(packed).all(|n| n.is_some()),
    };
    if whole { Ok(()) } else { Err(Malformed::Truncated(found.start)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::any;
    use crate::wire::{put_bytes, put_message, put_tag, put_varint};

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    put_bytes(out, 1, &[1; 16]);
                    put_bytes(out, 5, b"name");
                    put_tag(out, 7, 1);
                    out.extend_from_slice(&[9; 8]);
                    for value in [any::text(b"v"), any::int(-1), any::int(300), any::bool(true), any::double(0.5)] {
                        put_message(out, 9, |out| {
                            put_bytes(out, 1, b"key");
                            put_bytes(out, 2, &value);
                        });
                    }
                    put_message(out, 9, |out| put_bytes(out, 2, &any::array([&any::int(1)[..], &[]])));
                    put_tag(out, 16, 5);
                    out.extend_from_slice(&[0; 4]);
                    put_tag(out, 99, 0);
                    put_varint(out, 1 << 40);
                });
            });
        });
        out
    }

    /// Both ways of checking agree, whichever byte is another.
    #[test]
    fn the_quick_way_takes_only_what_the_careful_way_takes() {
        let sample = sample();
        let quick = |bytes: &[u8]| {
            let mut items = 0;
            run(Signal::Traces.schema(), bytes, MAX_DEPTH, &mut items).map(|()| items)
        };
        assert_eq!(quick(&sample), Some(1));
        let mut taken = 0;
        for at in 0..sample.len() {
            for byte in 0..=255 {
                let mut bytes = sample.clone();
                bytes[at] = byte;
                let mut items = 0;
                let careful = walk(Signal::Traces.schema(), &bytes, 0..bytes.len(), MAX_DEPTH, &mut items);
                if let Some(quick) = quick(&bytes) {
                    assert_eq!((Ok(()), items), (careful, quick), "byte {at} is {byte}");
                    taken += 1;
                }
            }
            assert_eq!(quick(&sample[..at]).is_some(), at == 0);
        }
        assert!(taken > sample.len(), "{taken}");
    }
}

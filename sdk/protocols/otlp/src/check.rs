//! The door: is this a payload, and how many items does it hold?
//!
//! One pass over every length level. It costs some tens of nanoseconds per record, and it is what lets everything behind
//! it trust positions: a payload that one client broke must not spoil the batch that it is merged into.

use crate::schema::{Field, Kind, Message, Presence};
use crate::wire::{Fields, Malformed, Value, packed_varints};
use crate::{MAX_DEPTH, Signal};

/// Checks the framing of the whole payload, at every level that OTLP defines, and counts its items (spans, log records,
/// data points). Text is not checked to be UTF-8, as the Collector does not either.
///
/// # Errors
/// The first thing that is not OTLP.
pub fn check(signal: Signal, payload: &[u8]) -> Result<usize, Malformed> {
    let mut items = 0;
    walk(signal.schema(), payload, 0..payload.len(), MAX_DEPTH, &mut items)?;
    Ok(items)
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

//! Wire → JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::schema::{Field, Kind, Message, Presence};
use crate::walk::unzigzag;
use crate::wire::{Fields, Value, packed_varints};
use crate::{MAX_DEPTH, Signal};

/// The payload as OTLP/JSON. Meant for payloads that passed [`crate::check`]; text that is not UTF-8 is mended.
#[must_use]
pub fn to_json(signal: Signal, payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(payload.len() * 3), found: Vec::new() };
    writer.message(signal.schema(), payload, MAX_DEPTH);
    writer.out
}

struct Writer<'a> {
    out: Vec<u8>,
    /// The fields of the messages being written, outer ones first.
    found: Vec<(u8, Value<'a>)>,
}

impl<'a> Writer<'a> {
    fn message(&mut self, message: &'static Message, body: &'a [u8], depth: u32) {
        self.out.push(b'{');
        let start = self.found.len();
        let mut choice = None;
        for wire in Fields::of(body) {
            let Some(field) = message.field(wire.number) else { continue };
            let index = (field as *const Field as usize - message.fields.as_ptr() as usize) / size_of::<Field>();
            if field.presence == Presence::Choice {
                choice = Some(index);
            }
            self.found.push((index as u8, wire.value));
        }
        self.found[start..].sort_by_key(|(index, _)| *index);
        let mut first = true;
        let mut next = start;
        for (index, field) in message.fields.iter().enumerate() {
            let from = next;
            while self.found.get(next).is_some_and(|(i, _)| usize::from(*i) == index) {
                next += 1;
            }
            if depth > 0 && (field.presence != Presence::Choice || choice == Some(index)) {
                self.field(field, from, next, &mut first, depth - 1);
            }
        }
        self.found.truncate(start);
        self.out.push(b'}');
    }

    fn field(&mut self, field: &'static Field, from: usize, to: usize, first: &mut bool, depth: u32) {
        if field.presence == Presence::List {
            return self.list(field, from, to, first, depth);
        }
        if from == to {
            if field.presence == Presence::Always {
                self.name(field, first);
                self.out.extend_from_slice(b"{}");
            }
            return;
        }
        let (_, last) = self.found[to - 1];
        if let Kind::Message(inner) = field.kind {
            self.name(field, first);
            if to - from == 1 {
                return self.message(inner, last.bytes(), depth);
            }
            // A singular message in parts is their concatenation (protobuf, "Last One Wins").
            let whole: Vec<u8> = self.found[from..to].iter().flat_map(|(_, part)| part.bytes()).copied().collect();
            let mut writer = Writer { out: std::mem::take(&mut self.out), found: Vec::new() };
            writer.message(inner, &whole, depth);
            self.out = writer.out;
            return;
        }
        if field.presence == Presence::Set && is_unset(field.kind, last) {
            return;
        }
        self.name(field, first);
        self.scalar(field.kind, last);
    }

    fn list(&mut self, field: &'static Field, from: usize, to: usize, first: &mut bool, depth: u32) {
        let mut open = false;
        for i in from..to {
            let (_, value) = self.found[i];
            match (field.kind, value) {
                (Kind::Message(inner), value) => {
                    self.element(field, first, &mut open);
                    self.message(inner, value.bytes(), depth);
                }
                (kind, Value::Bytes(packed)) if kind.wire() == 1 => {
                    for chunk in packed.chunks_exact(8).filter_map(|chunk| chunk.first_chunk()) {
                        self.element(field, first, &mut open);
                        self.scalar(kind, Value::Fixed64(u64::from_le_bytes(*chunk)));
                    }
                }
                (kind, Value::Bytes(packed)) if kind.wire() == 0 => {
                    for number in packed_varints(packed).flatten() {
                        self.element(field, first, &mut open);
                        self.scalar(kind, Value::Varint(number));
                    }
                }
                (kind, value) => {
                    self.element(field, first, &mut open);
                    self.scalar(kind, value);
                }
            }
        }
        if open {
            self.out.push(b']');
        }
    }

    fn name(&mut self, field: &Field, first: &mut bool) {
        self.out.extend_from_slice(if std::mem::take(first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(field.json.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn element(&mut self, field: &Field, first: &mut bool, open: &mut bool) {
        if std::mem::replace(open, true) {
            self.out.push(b',');
        } else {
            self.name(field, first);
            self.out.push(b'[');
        }
    }

    fn scalar(&mut self, kind: Kind, value: Value<'_>) {
        let number = value.number();
        match kind {
            Kind::Text => self.text(&String::from_utf8_lossy(value.bytes())),
            Kind::Bytes => self.quoted(STANDARD.encode(value.bytes()).as_bytes()),
            Kind::Id(_) => {
                self.out.push(b'"');
                for byte in value.bytes() {
                    self.out.extend_from_slice(&[
                        b"0123456789abcdef"[usize::from(byte >> 4)],
                        b"0123456789abcdef"[usize::from(byte & 15)],
                    ]);
                }
                self.out.push(b'"');
            }
            Kind::Bool => self.out.extend_from_slice(if number != 0 { b"true" } else { b"false" }),
            Kind::Int64 | Kind::Sfixed64 => self.quoted(itoa::Buffer::new().format(number as i64).as_bytes()),
            Kind::Uint64 | Kind::Fixed64 => self.quoted(itoa::Buffer::new().format(number).as_bytes()),
            Kind::Uint32 | Kind::Fixed32 => self.plain(itoa::Buffer::new().format(number as u32)),
            Kind::Enum(_) => self.plain(itoa::Buffer::new().format(number as i32)),
            Kind::Sint32 => self.plain(itoa::Buffer::new().format(unzigzag(number) as i32)),
            Kind::Double => self.double(value.double()),
            Kind::Message(_) => {}
        }
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            let mut buffer = ryu::Buffer::new();
            let text = buffer.format_finite(value);
            return self.plain(text.strip_suffix(".0").unwrap_or(text));
        }
        self.quoted(if value.is_nan() {
            b"NaN"
        } else if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    }

    fn text(&mut self, text: &str) {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Text that needs no escapes.
    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }
}

fn is_unset(kind: Kind, value: Value<'_>) -> bool {
    match kind {
        Kind::Text | Kind::Bytes => value.bytes().is_empty(),
        Kind::Id(_) => value.bytes().iter().all(|byte| *byte == 0),
        Kind::Double => value.double() == 0.0,
        Kind::Message(_) => false,
        _ => value.number() == 0,
    }
}

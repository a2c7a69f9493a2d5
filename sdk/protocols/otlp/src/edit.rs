//! Attributes changed on the wire: the payload is copied once, with small splices.
//!
//! One pass over the payload notes what changes and where, in order: an attribute replaced, removed or added, and for each
//! enclosing message its new length. The second pass copies what lies between. Everything else survives byte for byte,
//! fields that this house does not know included.

use std::ops::Range;

use crate::Signal;
use crate::check::{delimited, skip_varint};
use crate::walk::{AnyValue, Level, Message, PointKind};
use crate::wire::{Field, Fields, put_bytes, put_message, put_tag, put_varint, varint_len};

/// What an item is, and where it stands.
#[derive(Debug)]
pub struct Item<'a> {
    /// The `Resource*` group around it: its resource is field 1.
    pub resource_group: Message<'a>,
    /// The `Scope*` group around it: its scope is field 1.
    pub scope_group: Message<'a>,
    /// The metric around a data point.
    pub metric: Option<Message<'a>>,
    /// The span, log record or data point itself.
    pub record: Message<'a>,
}

/// Offers the attributes of every item to `change`. `None` when nothing was changed.
pub fn items(
    signal: Signal,
    payload: &[u8],
    mut change: impl FnMut(&Item<'_>, &mut Attributes<'_>),
) -> Option<Vec<u8>> {
    let whole = Message::whole(payload);
    let item = Item { resource_group: whole.clone(), scope_group: whole.clone(), metric: None, record: whole };
    let mut walk = Walk { signal, splicer: Splicer::new(payload), item, attributes: Attributes::of(payload) };
    walk.below(Level::Payload, 0..payload.len(), signal.record_attributes(), &mut change);
    walk.splicer.finish()
}

/// Offers the attributes of every resource to `change`. `None` when nothing was changed.
pub fn resources(payload: &[u8], mut change: impl FnMut(&Message<'_>, &mut Attributes<'_>)) -> Option<Vec<u8>> {
    let mut splicer = Splicer::new(payload);
    let mut attributes = Attributes::of(payload);
    for group in Fields::of(payload).filter(|field| field.number == 1) {
        let outer = splicer.open(group.after_tag..group.body().start);
        let mut delta = 0;
        let resource = Fields::inside(payload, group.body()).filter(|field| field.number == 1).last();
        let message = Message::at(payload, group.body());
        if let Some(resource) = resource {
            let inner = splicer.open(resource.after_tag..resource.body().start);
            attributes.read(resource.body(), 1);
            change(&message, &mut attributes);
            let inside = attributes.write(&mut splicer);
            delta += splicer.close(inner, resource.body().len(), inside);
        } else {
            let start = group.body().start;
            attributes.read(start..start, 1);
            change(&message, &mut attributes);
            if let Some(added) = attributes.added_only() {
                delta += splicer.insert(start, |out| put_bytes(out, 1, &added));
            }
        }
        splicer.close(outer, group.body().len(), delta);
    }
    splicer.finish()
}

struct Walk<'a> {
    signal: Signal,
    splicer: Splicer<'a>,
    item: Item<'a>,
    attributes: Attributes<'a>,
}

impl<'a> Walk<'a> {
    /// Goes through the message at `place`; answers by how many bytes its content grows.
    fn below(
        &mut self,
        level: Level,
        place: Range<usize>,
        attributes: u32,
        change: &mut impl FnMut(&Item<'_>, &mut Attributes<'_>),
    ) -> isize {
        let mut delta = 0;
        for field in Fields::inside(self.splicer.source, place) {
            let Some(below) = level.below(self.signal, field.number) else { continue };
            let body = field.body();
            let slot = self.splicer.open(field.after_tag..body.start);
            let inside = match below {
                Level::Item => {
                    self.item.record.place = body.clone();
                    self.attributes.read(body.clone(), attributes);
                    change(&self.item, &mut self.attributes);
                    self.attributes.write(&mut self.splicer)
                }
                Level::Points => {
                    let kind = PointKind::of_field(field.number).unwrap_or(PointKind::Gauge);
                    self.below(below, body.clone(), kind.attributes(), change)
                }
                Level::Resource | Level::Scope | Level::Metric | Level::Payload => {
                    let message = Message::at(self.splicer.source, body.clone());
                    match below {
                        Level::Resource => self.item.resource_group = message,
                        Level::Scope => self.item.scope_group = message,
                        _ => self.item.metric = Some(message),
                    }
                    self.below(below, body.clone(), attributes, change)
                }
            };
            delta += self.splicer.close(slot, body.len(), inside);
        }
        delta
    }
}

// === the attributes of one item ===

#[derive(Debug)]
struct Entry {
    /// Bytes in the payload; from its end on, bytes in `made`.
    key: Range<usize>,
    value: Range<usize>,
    /// Where the whole `KeyValue` field lies in the payload; none for one that was added.
    field: Option<Range<usize>>,
    /// Where its content starts, behind tag and length.
    body: usize,
    changed: bool,
    gone: bool,
}

/// An attribute that is added to one item after the other, and encoded once.
#[derive(Debug)]
struct Common {
    /// Of its field: kinds of data points differ in it.
    number: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    /// The whole field, among what the splicer has made.
    encoded: Option<Range<usize>>,
}

/// So many are remembered; with more of them, values differ from item to item.
const MOST_COMMON: usize = 16;

/// The attributes of one resource, span, log record or data point. Changes are seen by later reads.
///
/// As long as attributes are only looked for, and added when they are not there, they are not listed: the holder is walked
/// for each of them.
#[derive(Debug)]
pub struct Attributes<'a> {
    source: &'a [u8],
    holder: Range<usize>,
    number: u32,
    /// Whether those of the holder are in `list`.
    listed: bool,
    /// Whether an earlier item needed the list: then all do.
    lists: bool,
    list: Vec<Entry>,
    made: Vec<u8>,
    common: Vec<Common>,
    /// Which of them are added to this item; none of them once it is listed.
    pending: Vec<usize>,
    /// Where added ones go: behind the last attribute, or at the end.
    tail: usize,
    dirty: bool,
}

impl<'a> Attributes<'a> {
    fn of(source: &'a [u8]) -> Self {
        Attributes {
            source,
            holder: 0..0,
            number: 0,
            listed: false,
            lists: false,
            list: Vec::new(),
            made: Vec::new(),
            common: Vec::new(),
            pending: Vec::new(),
            tail: 0,
            dirty: false,
        }
    }

    fn read(&mut self, holder: Range<usize>, number: u32) {
        self.list.clear();
        self.made.clear();
        self.pending.clear();
        self.listed = false;
        self.dirty = false;
        self.number = number;
        self.tail = holder.end;
        self.holder = holder;
        if self.lists {
            self.list();
        }
    }

    /// The fields of the holder that are attributes.
    #[inline]
    fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let number = self.number;
        Fields::inside(self.source, self.holder.clone())
            .filter(move |field| field.number == number && field.wire() == 2)
    }

    /// Whether the holder itself has this key. When it has not, the place for added ones is known.
    fn holds(&mut self, key: &[u8]) -> bool {
        if let Some(found) = self.holds_plainly(key) {
            return found;
        }
        let mut tail = self.holder.end;
        for field in self.fields() {
            if self.source.get(pair(self.source, &field).0) == Some(key) {
                return true;
            }
            tail = field.end;
        }
        self.tail = tail;
        false
    }

    /// The same for what is written as everybody writes it; `None` when it is not.
    fn holds_plainly(&mut self, key: &[u8]) -> Option<bool> {
        let wanted = u8::try_from(self.number << 3 | 2).ok().filter(|tag| *tag < 0x80)?;
        let holder = self.source.get(self.holder.clone())?;
        let (mut rest, mut behind) = (holder, None);
        while let [tag, after @ ..] = rest {
            rest = match tag & 7 {
                _ if *tag >= 0x80 => return None,
                0 => skip_varint(after)?,
                1 => after.get(8..)?,
                2 if *tag == wanted => {
                    let Some(others) = behind_pairs_without(wanted, key, rest) else { return Some(true) };
                    let others = if others.len() < rest.len() {
                        others
                    } else {
                        let (body, after) = delimited(after)?;
                        let (place, _) = plain_pair(body, 0)?;
                        if body.get(place) == Some(key) {
                            return Some(true);
                        }
                        after
                    };
                    behind = Some(others.len());
                    others
                }
                2 => delimited(after)?.1,
                5 => after.get(4..)?,
                _ => return None,
            };
        }
        self.tail = self.holder.end - behind.unwrap_or_default();
        Some(false)
    }

    fn list(&mut self) {
        if std::mem::replace(&mut self.listed, true) {
            return;
        }
        self.lists = true;
        let mut tail = self.holder.end;
        for field in self.fields() {
            let (key, value) = pair(self.source, &field);
            let (body, field) = (field.body().start, Some(field.start..field.end));
            tail = field.as_ref().map_or(tail, |field| field.end);
            self.list.push(Entry { key, value, field, body, changed: false, gone: false });
        }
        self.tail = tail;
        for i in self.pending.drain(..) {
            let mut make = |bytes: &[u8]| {
                let start = self.source.len() + self.made.len();
                self.made.extend_from_slice(bytes);
                start..start + bytes.len()
            };
            let (key, value) = (make(&self.common[i].key), make(&self.common[i].value));
            self.list.push(Entry { key, value, field: None, body: 0, changed: true, gone: false });
        }
    }

    #[inline]
    fn at(&self, place: &Range<usize>) -> &[u8] {
        match self.source.get(place.clone()) {
            Some(bytes) => bytes,
            None => &self.made[place.start - self.source.len()..place.end - self.source.len()],
        }
    }

    fn make(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.source.len() + self.made.len();
        self.made.extend_from_slice(bytes);
        start..start + bytes.len()
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.list.iter().position(|entry| !entry.gone && self.at(&entry.key) == key)
    }

    /// All attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], AnyValue<'_>)> {
        let walked = (!self.listed).then(|| self.fields()).into_iter().flatten().map(|field| pair(self.source, &field));
        let listed = self.list.iter().filter(|entry| !entry.gone).map(|entry| (entry.key.clone(), entry.value.clone()));
        let pending = self.pending.iter().map(|i| (&self.common[*i].key[..], &self.common[*i].value[..]));
        walked
            .chain(listed)
            .map(|(key, value)| (self.at(&key), self.at(&value)))
            .chain(pending)
            .map(|(key, value)| (key, AnyValue(value)))
    }

    /// The value of the first attribute with this key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<AnyValue<'_>> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Adds an attribute, unless there is one with this key. `value` is an encoded `AnyValue` (see [`any`]).
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        let absent = if self.listed { self.find(key).is_none() } else { self.is_without(key) };
        if absent {
            self.add(key, value);
        }
    }

    /// Replaces the value of an attribute, if there is one with this key.
    pub fn update(&mut self, key: &[u8], value: &[u8]) {
        if self.is_without(key) {
            return;
        }
        self.list();
        if let Some(i) = self.find(key) {
            self.replace(i, value);
        }
    }

    /// Replaces the value of the attribute with this key, or adds it.
    pub fn upsert(&mut self, key: &[u8], value: &[u8]) {
        if self.is_without(key) {
            return self.add(key, value);
        }
        self.list();
        match self.find(key) {
            Some(i) => self.replace(i, value),
            None => self.add(key, value),
        }
    }

    /// Whether there is no such attribute, as far as can be told without a list.
    fn is_without(&mut self, key: &[u8]) -> bool {
        !self.listed && !self.pending.iter().any(|i| self.common[*i].key == key) && !self.holds(key)
    }

    /// Removes every attribute with this key.
    pub fn delete(&mut self, key: &[u8]) {
        self.retain(|other, _| other != key);
    }

    /// Removes the attributes that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], AnyValue<'_>) -> bool) {
        self.list();
        for i in 0..self.list.len() {
            let entry = &self.list[i];
            if !entry.gone && !keep(self.at(&entry.key), AnyValue(self.at(&entry.value))) {
                self.list[i].gone = true;
                self.dirty = true;
            }
        }
    }

    /// Offers each attribute to `change`, which answers the new value if there is to be one.
    pub fn rewrite(&mut self, mut change: impl FnMut(&[u8], AnyValue<'_>) -> Option<Vec<u8>>) {
        self.list();
        for i in 0..self.list.len() {
            let entry = &self.list[i];
            if entry.gone {
                continue;
            }
            if let Some(value) = change(self.at(&entry.key), AnyValue(self.at(&entry.value))) {
                self.replace(i, &value);
            }
        }
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.dirty = true;
        if !self.listed {
            if let Some(i) = self.common(key, value) {
                return self.pending.push(i);
            }
            self.list();
        }
        let (key, value) = (self.make(key), self.make(value));
        self.list.push(Entry { key, value, field: None, body: 0, changed: true, gone: false });
    }

    fn common(&mut self, key: &[u8], value: &[u8]) -> Option<usize> {
        let same = |common: &Common| common.number == self.number && common.key == key && common.value == value;
        let known = self.common.iter().position(same);
        if known.is_none() && self.common.len() < MOST_COMMON {
            self.common.push(Common { number: self.number, key: key.to_vec(), value: value.to_vec(), encoded: None });
            return Some(self.common.len() - 1);
        }
        known
    }

    fn replace(&mut self, i: usize, value: &[u8]) {
        if self.at(&self.list[i].value) != value || self.at(&self.list[i].value).is_empty() {
            let value = self.make(value);
            self.list[i].value = value;
            self.list[i].changed = true;
            self.dirty = true;
        }
    }

    /// Hands the changes on; answers by how many bytes the holder's content grows.
    fn write(&mut self, splicer: &mut Splicer<'_>) -> isize {
        if !self.dirty {
            return 0;
        }
        let mut delta = 0;
        for i in &self.pending {
            let Common { number, key, value, encoded } = &mut self.common[*i];
            let encoded = encoded.get_or_insert_with(|| {
                let start = splicer.made.len();
                put_pair(&mut splicer.made, *number, key, value);
                start..splicer.made.len()
            });
            delta += splicer.insert_made(self.tail, encoded.clone());
        }
        for entry in &self.list {
            match &entry.field {
                Some(field) if entry.gone => delta += splicer.replace(field.clone(), |_| ()),
                Some(field) if entry.changed => {
                    let body = entry.body..field.end;
                    delta += splicer.replace(field.clone(), |out| {
                        put_message(out, self.number, |out| {
                            // Fields of the pair that are not the value stay as they are.
                            for part in Fields::inside(self.source, body.clone()).filter(|part| part.number != 2) {
                                out.extend_from_slice(&self.source[part.start..part.end]);
                            }
                            put_bytes(out, 2, self.at(&entry.value));
                        });
                    });
                }
                _ => {}
            }
        }
        let added = self.list.iter().filter(|entry| entry.field.is_none() && !entry.gone);
        for entry in added {
            delta += splicer.insert(self.tail, |out| self.put(out, entry));
        }
        delta
    }

    /// The encoded attributes of a holder that does not exist yet; `None` when it need not.
    fn added_only(&mut self) -> Option<Vec<u8>> {
        self.list();
        let mut out = Vec::new();
        self.list.iter().filter(|entry| !entry.gone).for_each(|entry| self.put(&mut out, entry));
        (!out.is_empty()).then_some(out)
    }

    fn put(&self, out: &mut Vec<u8>, entry: &Entry) {
        put_pair(out, self.number, self.at(&entry.key), self.at(&entry.value));
    }
}

/// Appends a field that is a `KeyValue`.
fn put_pair(out: &mut Vec<u8>, number: u32, key: &[u8], value: &[u8]) {
    let field = |body: &[u8]| 1 + varint_len(body.len() as u64) + body.len();
    put_tag(out, number, 2);
    put_varint(out, (field(key) + field(value)) as u64);
    put_bytes(out, 1, key);
    put_bytes(out, 2, value);
}

/// Where the key and the value of a `KeyValue` lie in the payload; what has none of it has it at its end.
#[inline]
fn pair(source: &[u8], field: &Field<'_>) -> (Range<usize>, Range<usize>) {
    let body = field.body();
    plain_pair(field.value.bytes(), body.start).unwrap_or_else(|| {
        let (mut key, mut value) = (body.end..body.end, body.end..body.end);
        for part in Fields::inside(source, body) {
            match part.number {
                1 => key = part.body(),
                2 => value = part.body(),
                _ => {}
            }
        }
        (key, value)
    })
}

/// What stands behind the attributes with this tag that follow each other, with lengths of one byte; `None` when one of them
/// has the key. Each is `tag length 0a key-length key… 12 value-length value…`.
#[inline]
fn behind_pairs_without<'s>(tag: u8, key: &[u8], mut rest: &'s [u8]) -> Option<&'s [u8]> {
    while let [first, length, 0x0a, key_length, ..] = *rest {
        let (value, end) = (4 + usize::from(key_length), 2 + usize::from(length));
        let Some([0x12, value_length]) = rest.get(value..value + 2) else { break };
        if first != tag || length >= 0x80 || value + 2 + usize::from(*value_length) != end {
            break;
        }
        let Some((pair, behind)) = rest.split_at_checked(end) else { break };
        if pair.get(4..value) == Some(key) {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}

/// Key and value of a `KeyValue` as everybody writes it; what is written otherwise is read field by field.
#[inline]
fn plain_pair(pair: &[u8], start: usize) -> Option<(Range<usize>, Range<usize>)> {
    let [0x0a, length @ 0..0x80, rest @ ..] = pair else { return None };
    let length = usize::from(*length);
    match rest.get(length..)? {
        [0x12, value @ 0..0x80, rest @ ..] if rest.len() == usize::from(*value) => {
            let (key, value) = (start + 2, start + length + 4);
            Some((key..key + length, value..start + pair.len()))
        }
        _ => None,
    }
}

// === splices ===

struct Splice {
    at: usize,
    remove: usize,
    insert: Range<usize>,
}

/// Changes to a payload, noted in order of place.
struct Splicer<'a> {
    source: &'a [u8],
    splices: Vec<Splice>,
    made: Vec<u8>,
    growth: isize,
}

impl<'a> Splicer<'a> {
    fn new(source: &'a [u8]) -> Self {
        Splicer { source, splices: Vec::new(), made: Vec::new(), growth: 0 }
    }

    fn replace(&mut self, what: Range<usize>, write: impl FnOnce(&mut Vec<u8>)) -> isize {
        let start = self.made.len();
        write(&mut self.made);
        let insert = start..self.made.len();
        let delta = insert.len() as isize - what.len() as isize;
        self.splices.push(Splice { at: what.start, remove: what.len(), insert });
        self.growth += delta;
        delta
    }

    fn insert(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) -> isize {
        self.replace(at..at, write)
    }

    /// What has been made already.
    fn insert_made(&mut self, at: usize, made: Range<usize>) -> isize {
        let delta = made.len() as isize;
        self.splices.push(Splice { at, remove: 0, insert: made });
        self.growth += delta;
        delta
    }

    /// Keeps a place in the order for the length at `length`, which only its content will tell.
    fn open(&mut self, length: Range<usize>) -> usize {
        self.splices.push(Splice { at: length.start, remove: length.len(), insert: 0..0 });
        self.splices.len() - 1
    }

    /// The content behind a length grew by `delta`; answers by how much the message grew, its length included.
    fn close(&mut self, slot: usize, content: usize, delta: isize) -> isize {
        if delta == 0 {
            if self.splices.len() == slot + 1 {
                self.splices.pop();
            } else {
                self.splices[slot].remove = 0;
            }
            return 0;
        }
        let start = self.made.len();
        put_varint(&mut self.made, content.saturating_add_signed(delta) as u64);
        let splice = &mut self.splices[slot];
        splice.insert = start..self.made.len();
        let length = splice.insert.len() as isize - splice.remove as isize;
        self.growth += length;
        delta + length
    }

    fn finish(self) -> Option<Vec<u8>> {
        if self.splices.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(self.source.len().saturating_add_signed(self.growth));
        let mut at = 0;
        for splice in self.splices {
            out.extend_from_slice(&self.source[at..splice.at]);
            out.extend_from_slice(&self.made[splice.insert]);
            at = splice.at + splice.remove;
        }
        out.extend_from_slice(&self.source[at..]);
        Some(out)
    }
}

/// Encoded `AnyValue`s, to be handed to [`Attributes`].
pub mod any {
    use super::{put_bytes, put_tag, put_varint};

    /// A text.
    #[must_use]
    pub fn text(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 4);
        put_bytes(&mut out, 1, text);
        out
    }

    /// A truth value.
    #[must_use]
    pub fn bool(value: bool) -> Vec<u8> {
        vec![0x10, u8::from(value)]
    }

    /// A whole number.
    #[must_use]
    pub fn int(value: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(11);
        put_tag(&mut out, 3, 0);
        put_varint(&mut out, value as u64);
        out
    }

    /// A number.
    #[must_use]
    pub fn double(value: f64) -> Vec<u8> {
        let mut out = Vec::with_capacity(9);
        put_tag(&mut out, 4, 1);
        out.extend_from_slice(&value.to_le_bytes());
        out
    }

    /// An array of encoded values.
    #[must_use]
    pub fn array<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        super::put_message(&mut out, 5, |out| values.into_iter().for_each(|value| put_bytes(out, 1, value)));
        out
    }

    /// A map of keys and encoded values.
    #[must_use]
    pub fn map<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        let mut out = Vec::new();
        super::put_message(&mut out, 6, |out| {
            for (key, value) in pairs {
                super::put_message(out, 1, |out| {
                    put_bytes(out, 1, key);
                    put_bytes(out, 2, value);
                });
            }
        });
        out
    }
}

#[cfg(test)]
mod tests;

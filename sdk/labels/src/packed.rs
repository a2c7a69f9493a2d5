//! The bytes behind a label set: the labels of a remote-write 1 `TimeSeries`, ready to send.
//!
//! Each label is `0A len { 0A len name } { 12 len value }` with varint lengths. The only writer is [`push`], which
//! takes `&str`; the only reader is [`next`]. This is the one place in the crate with unsafe code.
#![allow(unsafe_code)] // str::from_utf8_unchecked: each read of a label would check its text again

const LABEL: u8 = 0x0a;
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;

/// Bytes that hold labels and nothing else. Made by [`Packer::finish`] only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packed(std::sync::Arc<[u8]>);

/// Writes labels one behind the other; the caller brings them in order.
#[derive(Default)]
pub(crate) struct Packer(Vec<u8>);

impl Packer {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let inner = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        self.0.reserve(1 + varint_len(inner) + inner);
        self.0.push(LABEL);
        push_varint(&mut self.0, inner);
        self.0.push(NAME);
        push_varint(&mut self.0, name.len());
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(VALUE);
        push_varint(&mut self.0, value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn finish(&self) -> Packed {
        Packed(self.0.as_slice().into())
    }
}

impl Packed {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn same_allocation(&self, other: &Packed) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Takes one label from the front of `rest`, which is a [`Packed`]'s bytes from a label's start.
#[inline]
pub(crate) fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    if rest.is_empty() {
        return None;
    }
    let bytes = *rest;
    let mut at = 1;
    take_varint(bytes, &mut at);
    at += 1;
    let name_len = take_varint(bytes, &mut at);
    let name = &bytes[at..at + name_len];
    at += name_len + 1;
    let value_len = take_varint(bytes, &mut at);
    let value = &bytes[at..at + value_len];
    *rest = &bytes[at + value_len..];
    // SAFETY: a Packed is made by Packer alone, whose push copies a whole `&str` at exactly these ranges, and `rest`
    // is private to the iterator, which only this function moves, from one label's start to the next.
    Some(unsafe { (std::str::from_utf8_unchecked(name), std::str::from_utf8_unchecked(value)) })
}

fn varint_len(n: usize) -> usize {
    (64 - (n as u64 | 1).leading_zeros() as usize).div_ceil(7)
}

fn push_varint(to: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

#[inline]
fn take_varint(bytes: &[u8], at: &mut usize) -> usize {
    let first = bytes[*at];
    *at += 1;
    if first < 0x80 {
        return usize::from(first);
    }
    let mut n = usize::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = bytes[*at];
        *at += 1;
        n |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return n;
        }
        shift += 7;
    }
}

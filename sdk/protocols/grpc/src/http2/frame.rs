//! Frames: nine bytes, and what they announce (RFC 9113, 4.1).

/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes in front of each frame.
pub(crate) const HEAD: usize = 9;
/// The largest frame that everybody takes.
pub(crate) const DEFAULT_FRAME: usize = 16_384;
/// Every window begins with this.
pub(crate) const DEFAULT_WINDOW: i64 = 65_535;
/// And never grows beyond this.
pub(crate) const LARGEST_WINDOW: i64 = (1 << 31) - 1;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 0x20;

pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Why a stream or a connection ends (RFC 9113, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reason {
    NoError = 0,
    Protocol = 1,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// The first nine bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    pub(crate) fn read(bytes: &[u8; HEAD]) -> Head {
        Head {
            length: usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]),
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) & 0x7fff_ffff,
        }
    }

    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The nine bytes.
pub(crate) fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// Adds a whole frame.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&head(payload.len(), kind, flags, stream));
    out.extend_from_slice(payload);
}

/// Adds a block of headers, cut into frames of at most `longest`.
pub(crate) fn put_headers(out: &mut Vec<u8>, stream: u32, end_stream: bool, block: &[u8], longest: usize) {
    let end = if end_stream { END_STREAM } else { 0 };
    if block.len() <= longest {
        return put(out, HEADERS, end | END_HEADERS, stream, block);
    }
    let (first, rest) = block.split_at(longest);
    put(out, HEADERS, end, stream, first);
    let pieces = rest.chunks(longest);
    let last = pieces.len() - 1;
    for (at, piece) in pieces.enumerate() {
        put(out, CONTINUATION, if at == last { END_HEADERS } else { 0 }, stream, piece);
    }
}

pub(crate) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    out.extend_from_slice(&head(settings.len() * 6, SETTINGS, 0, 0));
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// `increment` must not be 0.
pub(crate) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(out, WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

pub(crate) fn put_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    put(out, RST_STREAM, 0, stream, &(reason as u32).to_be_bytes());
}

pub(crate) fn put_goaway(out: &mut Vec<u8>, last: u32, reason: Reason, why: &str) {
    out.extend_from_slice(&head(8 + why.len(), GOAWAY, 0, 0));
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(reason as u32).to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}

/// The settings of a frame; it is malformed when they are cut short.
pub(crate) fn settings(payload: &[u8]) -> Option<impl Iterator<Item = (u16, u32)>> {
    let settings = payload.chunks_exact(6);
    settings.remainder().is_empty().then(|| {
        settings.map(|bytes| {
            (u16::from_be_bytes([bytes[0], bytes[1]]), u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]))
        })
    })
}

/// The number that is the whole payload of several frames.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}

/// A payload without padding and priority.
pub(crate) fn content<'a>(head: &Head, mut payload: &'a [u8]) -> Option<&'a [u8]> {
    let mut padding = 0;
    if head.is(PADDED) {
        let (length, rest) = payload.split_first()?;
        (padding, payload) = (usize::from(*length), rest);
    }
    if head.kind == HEADERS && head.is(PRIORITISED) {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_bytes() {
        let bytes = head(0x01_02_03, DATA, END_STREAM, 7);
        let head = Head::read(&bytes);
        assert_eq!(head, Head { length: 0x01_02_03, kind: DATA, flags: END_STREAM, stream: 7 });
    }

    #[test]
    fn long_headers_are_continued() {
        let mut out = Vec::new();
        put_headers(&mut out, 3, true, &[b'x'; 25], 10);
        let heads: Vec<Head> = [0, HEAD + 10, 2 * (HEAD + 10)]
            .iter()
            .map(|at| Head::read(out[*at..*at + HEAD].try_into().unwrap()))
            .collect();
        assert_eq!(
            heads.iter().map(|h| (h.kind, h.flags, h.length)).collect::<Vec<_>>(),
            [(HEADERS, END_STREAM, 10), (CONTINUATION, 0, 10), (CONTINUATION, END_HEADERS, 5)]
        );
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let head = |kind, flags| Head { length: 0, kind, flags, stream: 1 };
        assert_eq!(content(&head(DATA, PADDED), b"\x02abcd"), Some(&b"ab"[..]));
        assert_eq!(content(&head(HEADERS, PADDED | PRIORITISED), b"\x01\0\0\0\0\0hx"), Some(&b"h"[..]));
        assert_eq!(content(&head(DATA, PADDED), b"\x05abcd"), None);
        assert_eq!(content(&head(HEADERS, PRIORITISED), b"abc"), None);
    }
}

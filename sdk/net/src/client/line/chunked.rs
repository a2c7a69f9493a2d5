//! A body in chunks, each with its length before it (RFC 9112, 7.1).

use std::io;

use bytes::{Buf as _, BytesMut};

/// A line with a chunk's length, and all that stands behind the last chunk, is not longer.
const MOST_ASIDE: usize = 16 << 10;

/// Where in such a body we are.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Bytes that are neither a chunk's nor of its length, since the last chunk.
    aside: usize,
}

#[derive(Debug, Default)]
enum At {
    /// Before a chunk's length.
    #[default]
    Length,
    /// So much of a chunk is missing.
    Chunk(u64),
    /// Behind a chunk, before the end of its line.
    ChunkEnd,
    /// Behind the last chunk, where headers may follow.
    Trailers,
    End,
}

impl Chunked {
    pub fn is_over(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// Takes a piece of the body from what came; an empty one when more must come, or at the end.
    pub fn next(&mut self, came: &mut BytesMut) -> io::Result<BytesMut> {
        loop {
            match &mut self.at {
                At::Chunk(missing) if !came.is_empty() => {
                    let most = usize::try_from(*missing).unwrap_or(usize::MAX);
                    let piece = came.split_to(came.len().min(most));
                    *missing -= piece.len() as u64;
                    if *missing == 0 {
                        self.at = At::ChunkEnd;
                    }
                    return Ok(piece);
                }
                At::Chunk(_) | At::End => return Ok(BytesMut::new()),
                At::Length | At::ChunkEnd | At::Trailers => {
                    let end = memchr::memchr(b'\n', came);
                    if self.aside + end.unwrap_or(came.len()) > MOST_ASIDE {
                        return Err(wrong("what stands beside its chunks has no end"));
                    }
                    let Some(end) = end else { return Ok(BytesMut::new()) };
                    let line = came[..end].strip_suffix(b"\r");
                    let line = line.ok_or_else(|| wrong("a line between its chunks ends without a CR"))?;
                    self.at = match &self.at {
                        At::ChunkEnd if line.is_empty() => At::Length,
                        At::ChunkEnd => return Err(wrong("a chunk is longer than its length says")),
                        At::Trailers if line.is_empty() => At::End,
                        At::Trailers => At::Trailers,
                        _ => match length(line)? {
                            0 => At::Trailers,
                            length => At::Chunk(length),
                        },
                    };
                    self.aside = if matches!(self.at, At::Trailers) { self.aside + end + 1 } else { 0 };
                    came.advance(end + 1);
                }
            }
        }
    }
}

/// The length in a line; what stands behind a `;` is for those who know it.
fn length(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number);
    number
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| wrong("the length of a chunk is no number"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("the answer is not HTTP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of what comes in such pieces, and what is left behind it.
    fn read(text: &[u8], at_once: usize) -> Result<(String, String), String> {
        let (mut chunked, mut came, mut body) = (Chunked::default(), BytesMut::new(), Vec::new());
        for piece in text.chunks(at_once) {
            came.extend_from_slice(piece);
            loop {
                let piece = chunked.next(&mut came).map_err(|error| error.to_string())?;
                if piece.is_empty() {
                    break;
                }
                body.extend_from_slice(&piece);
            }
        }
        if !chunked.is_over() {
            return Err("more must come".to_owned());
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
        Ok((text(&body), text(&came)))
    }

    #[test]
    fn a_body_is_the_same_however_it_comes() {
        let text =
            b"5\r\nhello\r\n1;name=\"value\"\r\n,\r\n00a \r\n ten bytes\r\n0\r\nTrailer: one\r\nother: two\r\n\r\nnext";
        for at_once in 1..=text.len() {
            assert_eq!(read(text, at_once), Ok(("hello, ten bytes".to_owned(), "next".to_owned())), "{at_once}");
        }
        assert_eq!(read(b"0\r\n\r\n", 9), Ok((String::new(), String::new())));
    }

    #[test]
    fn what_is_not_in_chunks_is_refused() {
        for (text, reason) in [
            (&b"x\r\n"[..], "the length of a chunk is no number"),
            (b"\r\n", "the length of a chunk is no number"),
            (b"-1\r\n", "the length of a chunk is no number"),
            (b"fffffffffffffffff\r\n", "the length of a chunk is no number"),
            (b"1\na\n0\n\n", "a line between its chunks ends without a CR"),
            (b"1\r\nab\r\n", "a chunk is longer than its length says"),
            (&[b'1'; MOST_ASIDE + 1], "what stands beside its chunks has no end"),
        ] {
            assert_eq!(read(text, 7), Err(format!("the answer is not HTTP: {reason}")), "{text:?}");
        }
        let endless = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(MOST_ASIDE / 5)].concat();
        assert_eq!(
            read(&endless, 7),
            Err("the answer is not HTTP: what stands beside its chunks has no end".to_owned())
        );
        assert_eq!(read(b"5\r\nhell", 7), Err("more must come".to_owned()));
    }
}

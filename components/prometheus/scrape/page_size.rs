//! How large a page is, found out without keeping it.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// Takes a page as it comes, compressed or not.
pub(crate) struct PageSize {
    most: usize,
    state: State,
    error: Option<String>,
}

enum State {
    Empty,
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<Counted>>),
}

/// What has come.
#[derive(Default)]
struct Counted {
    bytes: usize,
    lines: usize,
    most: usize,
}

/// What gzip makes begins so (RFC 1952, 2.3.1), and no page does: in protobuf there would be a field behind the first length.
const GZIP: [u8; 2] = [0x1f, 0x8b];

// === impl PageSize ===

impl PageSize {
    /// Of a page of at most so many bytes.
    pub(crate) fn new(most: usize) -> PageSize {
        PageSize { most, state: State::Empty, error: None }
    }

    /// The next bytes; false when it is no use to go on.
    pub(crate) fn add(&mut self, piece: &[u8]) -> bool {
        if piece.is_empty() {
            return self.error.is_none();
        }
        if let State::Empty = self.state {
            let counted = Counted { most: self.most, ..Counted::default() };
            self.state = match piece.iter().zip(GZIP).all(|(byte, gzip)| *byte == gzip) {
                true => State::Gzip(Box::new(MultiGzDecoder::new(counted))),
                false => State::Plain(counted),
            };
        }
        let (added, counted) = match &mut self.state {
            State::Empty => return true,
            State::Plain(counted) => (counted.write_all(piece), &*counted),
            State::Gzip(decoder) => (decoder.write_all(piece), decoder.get_ref()),
        };
        if let Err(error) = added
            && counted.bytes <= self.most
        {
            self.error = Some(format!("the body is not valid gzip: {error}"));
        }
        self.error.is_none() && counted.bytes <= self.most
    }

    /// Nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    /// What it is not a page for.
    pub(crate) fn error(&self) -> Option<String> {
        self.error.clone()
    }

    /// Its bytes and its lines, once all has come. More than the most bytes is no more than that.
    pub(crate) fn end(self) -> Result<(usize, usize), String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.state {
            State::Empty => Ok((0, 0)),
            State::Plain(counted) => Ok((counted.bytes, counted.lines)),
            State::Gzip(mut decoder) => {
                let ended = decoder.try_finish();
                let counted = decoder.get_ref();
                match ended {
                    Err(error) if counted.bytes <= self.most => Err(format!("the body is not valid gzip: {error}")),
                    _ => Ok((counted.bytes, counted.lines)),
                }
            }
        }
    }
}

impl Write for Counted {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.bytes += piece.len();
        self.lines += memchr::memchr_iter(b'\n', piece).count();
        // So that nothing more is inflated.
        if self.bytes > self.most { Err(io::Error::other("too large")) } else { Ok(piece.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(page: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(page).unwrap();
        encoder.finish().unwrap()
    }

    fn size(most: usize, pieces: &[&[u8]]) -> (bool, Result<(usize, usize), String>) {
        let mut size = PageSize::new(most);
        let all = pieces.iter().all(|piece| size.add(piece));
        (all, size.end())
    }

    #[test]
    fn a_page_has_bytes_and_lines_compressed_or_not() {
        assert_eq!(size(10, &[b"a 1\n", b"", b"b 2\n"]), (true, Ok((8, 2))));
        let page = "a 1\n".repeat(10_000);
        let compressed = gzip(page.as_bytes());
        let (head, tail) = compressed.split_at(20);
        assert_eq!(size(40_000, &[head, tail]), (true, Ok((40_000, 10_000))));
        let (all, cut) = size(40_000, &[head]);
        assert!(all && cut.is_err_and(|error| error.starts_with("the body is not valid gzip")));
    }

    #[test]
    fn what_is_too_large_is_not_read_to_its_end() {
        let (all, bytes) = size(7, &[b"a 1\n", b"b 2\n"]);
        assert!(!all && bytes.is_ok_and(|(bytes, _)| bytes == 8));
        let bomb = gzip(&vec![b'a'; 50 << 20]);
        let (all, bytes) = size(1 << 20, &[&bomb]);
        assert!(!all && bytes.is_ok_and(|(bytes, _)| bytes > 1 << 20 && bytes < 2 << 20));
    }

    #[test]
    fn what_is_no_gzip_says_so() {
        let (all, error) = size(100, &[b"\x1f\x8b\x09 not at all"]);
        assert!(!all && error.is_err_and(|error| error.starts_with("the body is not valid gzip")));
    }
}

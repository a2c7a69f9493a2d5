//! The body of an answer, gathered from the pieces in which it comes.

use bytes::{Bytes, BytesMut};

use super::SendError;

/// What takes the pieces of a body that is larger than is kept, from its first byte on; false when it has had enough.
pub type Beyond<'b> = dyn FnMut(&[u8]) -> bool + Send + 'b;

/// So much of a body stands together while it comes. What always stood together would have to move as it grows, and hold
/// room for more than twice as much.
const BLOCK: usize = 1 << 20;

/// How much of a body is kept, and what becomes of a larger one.
pub(super) struct Within<'b> {
    pub limit: usize,
    /// Nothing is kept of a body that went here. Without it, a larger one is an error at once.
    pub beyond: Option<&'b mut Beyond<'b>>,
}

/// A body within its bound; of one that comes in one piece nothing is copied.
pub(super) struct Gathered<'u, 'b> {
    declared: usize,
    within: Within<'b>,
    url: &'u str,
    first: Bytes,
    /// All of it, once there is a second piece.
    blocks: Vec<BytesMut>,
    /// Bytes that are kept.
    kept: usize,
    /// It did not fit.
    is_beyond: bool,
}

// === impl Gathered ===

impl<'u, 'b> Gathered<'u, 'b> {
    pub fn new(declared: Option<u64>, within: Within<'b>, url: &'u str) -> Result<Self, SendError> {
        let declared = declared.unwrap_or(0) as usize;
        let (first, blocks) = (Bytes::new(), Vec::new());
        let mut gathered = Gathered { declared, within, url, first, blocks, kept: 0, is_beyond: false };
        gathered.check(declared)?;
        Ok(gathered)
    }

    pub fn push(&mut self, piece: Bytes) -> Result<(), SendError> {
        self.check(self.kept + piece.len())?;
        if self.is_beyond {
            return self.pass_on(&piece);
        }
        if self.kept == 0 {
            self.kept = piece.len();
            self.first = piece;
            return Ok(());
        }
        self.kept += piece.len();
        let first = std::mem::take(&mut self.first);
        match self.blocks.last_mut() {
            None => {
                let mut block = BytesMut::with_capacity(self.declared.min(BLOCK).max(2 * first.len()));
                block.extend_from_slice(&first);
                block.extend_from_slice(&piece);
                self.blocks.push(block);
            }
            Some(block) if block.len() + piece.len() > BLOCK => {
                let mut block = BytesMut::with_capacity(BLOCK.max(piece.len()));
                block.extend_from_slice(&piece);
                self.blocks.push(block);
            }
            Some(block) => block.extend_from_slice(&piece),
        }
        Ok(())
    }

    pub fn whole(mut self) -> Bytes {
        match self.blocks.len() {
            0 => self.first,
            1 => self.blocks.remove(0).freeze(),
            _ => {
                let mut whole = BytesMut::with_capacity(self.kept);
                // Each block is given back as soon as it is there.
                self.blocks.into_iter().for_each(|block| whole.extend_from_slice(&block));
                whole.freeze()
            }
        }
    }

    fn check(&mut self, length: usize) -> Result<(), SendError> {
        if length > self.within.limit && !self.is_beyond {
            self.is_beyond = true;
            let (first, blocks) = (std::mem::take(&mut self.first), std::mem::take(&mut self.blocks));
            self.pass_on(&first)?;
            for block in blocks {
                self.pass_on(&block)?;
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, piece: &[u8]) -> Result<(), SendError> {
        let goes_on = self.within.beyond.as_mut().is_some_and(|beyond| beyond(piece));
        let (url, limit) = (self.url, self.within.limit);
        if goes_on { Ok(()) } else { Err(SendError::TooLarge { url: url.to_owned(), limit }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let body: Vec<u8> = (0..3 * BLOCK + 7).map(|at| (at % 251) as u8).collect();
        for at_once in [1000, 64 << 10, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, body.len()] {
            for declared in [None, Some(body.len() as u64)] {
                let gather = |limit: usize| {
                    let mut seen = Vec::new();
                    let mut beyond = |piece: &[u8]| {
                        seen.extend_from_slice(piece);
                        true
                    };
                    let within = Within { limit, beyond: Some(&mut beyond) };
                    let mut gathered = Gathered::new(declared, within, "x").unwrap();
                    for piece in body.chunks(at_once) {
                        gathered.push(Bytes::copy_from_slice(piece)).unwrap();
                    }
                    (gathered.whole(), seen)
                };
                let (kept, seen) = gather(body.len());
                assert!(kept == body && seen.is_empty(), "{at_once}");
                let (kept, seen) = gather(body.len() - 1);
                assert!(kept.is_empty() && seen == body, "{at_once}");
            }
        }
    }
}

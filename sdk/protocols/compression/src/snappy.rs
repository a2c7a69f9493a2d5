//! Snappy blocks, one after the other, with the memory of the first.

/// What is compressed by itself: an encoder looks back no further. What it may become at most fits a core's nearest cache.
const PIECE: usize = 64 << 10;

/// Makes Snappy blocks; what it needs for that is kept from one to the next.
///
/// `snap` alone asks for memory for the worst case of the whole body, zeroed, each time.
pub struct Snappy {
    encoder: snap::raw::Encoder,
    piece: Vec<u8>,
}

impl Snappy {
    /// An encoder that needs no memory before its first block.
    #[must_use]
    pub fn new() -> Snappy {
        Snappy { encoder: snap::raw::Encoder::new(), piece: Vec::new() }
    }

    /// `body` as a Snappy block; `None` if it has 4 GiB or more, which none can hold.
    pub fn compress(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut block = Vec::with_capacity(body.len() / 4 + 16);
        push_length(&mut block, u32::try_from(body.len()).ok()?);
        self.compress_part(body, &mut block)?;
        block.shrink_to_fit();
        Some(block)
    }

    /// Appends `part` to a block that grows, without the length that a block begins with: [`Snappy::block_of`] knows it in
    /// the end. `None` as above.
    pub fn compress_part(&mut self, part: &[u8], to: &mut Vec<u8>) -> Option<()> {
        self.piece.resize(snap::raw::max_compress_len(part.len().min(PIECE)).max(self.piece.len()), 0);
        for piece in part.chunks(PIECE) {
            let written = self.encoder.compress(piece, &mut self.piece).ok()?;
            // A block begins with the length of what it holds; ours tells that of all pieces.
            let length = self.piece.iter().position(|byte| byte & 0x80 == 0)? + 1;
            to.extend_from_slice(&self.piece[length..written]);
        }
        Some(())
    }

    /// The block of parts that lie end to end and hold `length` bytes; `None` as above.
    pub fn block_of(parts: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut block = Vec::with_capacity(parts.len() + 5);
        push_length(&mut block, u32::try_from(length).ok()?);
        block.extend_from_slice(parts);
        Some(block)
    }
}

fn push_length(to: &mut Vec<u8>, mut length: u32) {
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
}

impl Default for Snappy {
    fn default() -> Snappy {
        Snappy::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_snap_makes_of_the_whole() {
        let mut snappy = Snappy::new();
        let text: Vec<u8> = (0u32..40_000).flat_map(|number| (number * number).to_string().into_bytes()).collect();
        for length in [0, 1, 127, 128, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, text.len()] {
            let body = &text[..length];
            let block = snappy.compress(body).unwrap();
            assert_eq!(block, snap::raw::Encoder::new().compress_vec(body).unwrap(), "{length} bytes");
        }
    }
    #[test]
    fn a_block_may_be_made_of_parts() {
        let mut snappy = Snappy::new();
        let text: Vec<u8> = (0u32..40_000).flat_map(|number| (number % 977).to_string().into_bytes()).collect();
        let mut parts = Vec::new();
        for part in [&text[..1], &text[1..PIECE + 7], &text[PIECE + 7..]] {
            snappy.compress_part(part, &mut parts).unwrap();
        }
        let block = Snappy::block_of(&parts, text.len()).unwrap();
        assert_eq!(snap::raw::Decoder::new().decompress_vec(&block).unwrap(), text);
    }
}

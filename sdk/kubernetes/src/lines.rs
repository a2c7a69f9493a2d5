//! Lines out of an answer that lasts.

use bytes::{Bytes, BytesMut};
use sdk_net::{SendError, Streaming};

/// The lines of a streaming answer, each without its line feed.
#[derive(Debug)]
pub struct Lines {
    streaming: Streaming,
    buffer: BytesMut,
    /// So much of the buffer holds no line feed.
    searched: usize,
    max_line: usize,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error("{0}")]
    Send(#[from] SendError),
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
}

impl Lines {
    pub fn new(streaming: Streaming, max_line: usize) -> Lines {
        Lines { streaming, buffer: BytesMut::new(), searched: 0, max_line }
    }

    /// The next line; `None` at the end of the answer. May be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LinesError> {
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + found + 1).freeze();
                self.searched = 0;
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            self.searched = self.buffer.len();
            if self.searched > self.max_line {
                return Err(LinesError::TooLong(self.max_line));
            }
            match self.streaming.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                // An unfinished line at the end is half an object: of no use.
                None => return Ok(None),
            }
        }
    }
}

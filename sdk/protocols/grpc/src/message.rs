//! The one message of a unary body: a flag, a length, the bytes.

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};
use sdk_protocols_compression::{Coding, ExpandError};

use crate::{Code, Status};

/// Flag and length.
const PREFIX: usize = 5;
/// What is allocated for a message on the word of its sender; beyond that it must have come.
const TRUSTED: usize = 1 << 20;

/// The prefix of a message of `length` bytes.
pub(crate) fn prefix(compressed: bool, length: usize) -> Bytes {
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(compressed.into());
    prefix.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    prefix.freeze()
}

fn expand(flag: u8, message: Bytes, coding: Coding, limit: usize) -> Result<Bytes, Status> {
    match (flag, coding) {
        (0, _) => Ok(message),
        (1, Coding::Identity) => Err(Status::new(Code::Internal, "compressed message without grpc-encoding")),
        (1, coding) => coding.expand(&message, limit).map(Bytes::from).map_err(|error| match error {
            ExpandError::TooLarge { limit } => {
                let message = format!("message after decompression larger than max {limit} bytes");
                Status::new(Code::ResourceExhausted, message)
            }
            ExpandError::Damaged { error, .. } => Status::new(Code::Internal, format!("cannot decompress: {error}")),
        }),
        (flag, _) => Err(Status::new(Code::Internal, format!("unknown message flag {flag}"))),
    }
}

/// A message as it comes.
#[derive(Default)]
pub(crate) struct Gathered {
    prefix: [u8; PREFIX],
    prefix_length: usize,
    message: BytesMut,
}

impl Gathered {
    /// More of it, of at most `limit` bytes.
    pub(crate) fn add(&mut self, mut data: &[u8], limit: usize) -> Result<(), Status> {
        if self.prefix_length < PREFIX {
            let part = data.len().min(PREFIX - self.prefix_length);
            self.prefix[self.prefix_length..self.prefix_length + part].copy_from_slice(&data[..part]);
            self.prefix_length += part;
            data = &data[part..];
            if self.prefix_length < PREFIX {
                return Ok(());
            }
            if self.wanted() > limit {
                let message = format!("received message larger than max ({} vs. {limit})", self.wanted());
                return Err(Status::new(Code::ResourceExhausted, message));
            }
            self.message.reserve(self.wanted().min(TRUSTED));
        }
        if data.len() > self.wanted() - self.message.len() {
            return Err(Status::new(Code::Unimplemented, "more than one message in a unary call"));
        }
        self.message.extend_from_slice(data);
        Ok(())
    }

    /// Where the rest of it may be read to, once its prefix has come: at most `length` bytes now.
    pub(crate) fn rest(&mut self, length: usize) -> Option<Limit<&mut BytesMut>> {
        let length = length.min(self.wanted().checked_sub(self.message.len())?);
        if self.prefix_length < PREFIX || length == 0 {
            return None;
        }
        if self.message.len() == self.message.capacity() {
            self.message.reserve(length.min(TRUSTED.max(self.message.len())));
        }
        Some((&mut self.message).limit(length))
    }

    fn wanted(&self) -> usize {
        let [_, a, b, c, d] = self.prefix;
        u32::from_be_bytes([a, b, c, d]) as usize
    }

    /// Whether nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.prefix_length == 0
    }

    /// All of it, decompressed.
    pub(crate) fn finish(self, coding: Coding, limit: usize) -> Result<Bytes, Status> {
        if self.prefix_length == 0 {
            return Err(Status::new(Code::Internal, "unary call without a message"));
        }
        if self.prefix_length < PREFIX || self.message.len() < self.wanted() {
            return Err(Status::new(Code::Internal, "message ended early"));
        }
        expand(self.prefix[0], self.message.freeze(), coding, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_come_byte_by_byte() {
        let mut gathered = Gathered::default();
        for byte in b"\0\0\0\0\x03abc" {
            gathered.add(&[*byte], 3).unwrap();
        }
        assert_eq!(gathered.finish(Coding::Identity, 3).unwrap(), "abc");
    }

    #[test]
    fn the_rest_goes_where_the_beginning_is_and_no_further() {
        let mut gathered = Gathered::default();
        gathered.add(b"\0\0\0\0", 9).unwrap();
        assert!(gathered.rest(9).is_none(), "its length is not known");
        gathered.add(b"\x05a", 9).unwrap();
        gathered.rest(2).unwrap().put_slice(b"bc");
        assert_eq!(gathered.rest(9).unwrap().remaining_mut(), 2);
        gathered.rest(9).unwrap().put_slice(b"de");
        assert!(gathered.rest(9).is_none());
        assert_eq!(gathered.finish(Coding::Identity, 9).unwrap(), "abcde");
        // What nobody has sent is not allocated, however long the prefix says it is.
        let mut gathered = Gathered::default();
        gathered.add(b"\0\xff\xff\xff\xff", usize::MAX).unwrap();
        assert!(gathered.rest(usize::MAX).is_some());
        assert!(gathered.message.capacity() <= 2 * TRUSTED);
    }

    #[test]
    fn what_is_too_long_is_known_from_its_prefix() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.add(b"\0\0\0\0\x04", 3).unwrap_err().code, Code::ResourceExhausted);
        let mut gathered = Gathered::default();
        assert_eq!(gathered.add(b"\0\0\0\0\x01ab", 3).unwrap_err().code, Code::Unimplemented);
        let mut gathered = Gathered::default();
        gathered.add(b"\0\0\0\0\x02a", 3).unwrap();
        assert_eq!(gathered.finish(Coding::Identity, 3).unwrap_err().code, Code::Internal);
        assert_eq!(Gathered::default().finish(Coding::Identity, 3).unwrap_err().code, Code::Internal);
    }
}

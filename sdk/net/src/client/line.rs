//! A connection for one request at a time, in plain HTTP/1.1.
//!
//! Who asks the same server for as long as the collector runs needs little of what a whole client does: its bytes are written,
//! and what comes is read, where the request is made. No task moves them, and between two requests nothing is held but the
//! socket.

mod chunked;
mod head;

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;

use self::chunked::Chunked;
use self::head::{Framing, Head};

/// Room for what comes, at the least and at the most. Between the two it is what the answer before took.
const LEAST_ROOM: usize = 4 << 10;
const MOST_ROOM: usize = 64 << 10;
/// With less it is not worth asking the kernel.
const TOO_LITTLE: usize = 512;
/// The head of an answer is no larger.
const MOST_HEAD: usize = 1 << 20;

/// An open connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    /// What has come and was not asked for yet.
    came: BytesMut,
    /// Bytes of this answer so far, and of the one before.
    counted: usize,
    before: usize,
    rest: Rest,
    /// The server keeps it open when the answer is read.
    is_kept: bool,
}

/// What is left of an answer's body.
#[derive(Debug)]
enum Rest {
    Nothing,
    Length(u64),
    Chunked(Chunked),
    /// All that comes until the server closes the connection.
    ToTheEnd,
}

/// How a request went wrong.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nothing had come: the other end of a connection that was idle may just have been closed.
    Silently(io::Error),
    Broken(io::Error),
}

// === impl Line ===

impl Line {
    pub fn over(stream: TcpStream) -> Line {
        let (came, rest) = (BytesMut::new(), Rest::Nothing);
        Line { stream, came, counted: 0, before: LEAST_ROOM, rest, is_kept: true }
    }

    /// Whether another request may go this way, as far as can be told without asking the kernel.
    pub fn is_free(&self) -> bool {
        self.is_kept && matches!(self.rest, Rest::Nothing) && self.came.is_empty()
    }

    /// The same, and that the server has neither closed it nor said anything that it was not asked for.
    pub fn is_open(&self) -> bool {
        // What the socket tells by itself is known: this is no system call unless there is something to read.
        let silent = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.is_free() && self.stream.try_read(&mut [0]).as_ref().is_err_and(silent)
    }

    /// Sends a request and reads the head of its answer. An answer that comes before all is sent ends the sending. Whoever
    /// does not wait for the end of it must drop the line.
    pub async fn ask(&mut self, head: &[u8], body: &[u8]) -> Result<(StatusCode, HeaderMap), Unanswered> {
        let mut sending = Sending { head, body, sent: 0, failed: None };
        self.is_kept = false;
        let answer = std::future::poll_fn(|cx| self.poll_answer(cx, &mut sending)).await;
        let head = answer.map_err(|error| match self.counted {
            // The other end is gone, and what has been said to it, too.
            0 => Unanswered::Silently(sending.failed.take().unwrap_or(error)),
            _ => Unanswered::Broken(error),
        })?;
        self.is_kept = head.is_kept && sending.is_done();
        self.rest = match head.framing {
            Framing::Empty | Framing::Length(0) => Rest::Nothing,
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::default()),
            Framing::ToTheEnd => Rest::ToTheEnd,
        };
        self.settle();
        Ok((head.status, head.headers))
    }

    /// How long the rest of the answer is, if that is known.
    pub fn declared(&self) -> Option<u64> {
        match self.rest {
            Rest::Nothing => Some(0),
            Rest::Length(left) => Some(left),
            Rest::Chunked(_) | Rest::ToTheEnd => None,
        }
    }

    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let piece = match &mut self.rest {
                Rest::Nothing => return Ok(None),
                Rest::Length(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let piece = self.came.split_to(self.came.len().min(most));
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.rest = Rest::Nothing;
                    }
                    piece
                }
                Rest::Chunked(chunked) => {
                    let piece = chunked.next(&mut self.came)?;
                    if chunked.is_over() {
                        self.rest = Rest::Nothing;
                    }
                    piece
                }
                Rest::ToTheEnd => self.came.split(),
            };
            self.settle();
            if !piece.is_empty() {
                return Ok(Some(piece.freeze()));
            }
            if !matches!(self.rest, Rest::Nothing) && !std::future::poll_fn(|cx| self.poll_more(cx)).await? {
                if !matches!(self.rest, Rest::ToTheEnd) {
                    return Err(ended("the connection was closed within the answer"));
                }
                self.rest = Rest::Nothing;
            }
        }
    }

    /// Holds nothing any more once an answer is read.
    fn settle(&mut self) {
        if matches!(self.rest, Rest::Nothing) {
            if self.came.is_empty() {
                self.came = BytesMut::new();
            }
            self.before = std::mem::take(&mut self.counted);
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, sending: &mut Sending<'_>) -> Poll<io::Result<Head>> {
        sending.poll(&mut self.stream, cx);
        loop {
            let mut looked = self.came.len();
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Err(ended("the connection was closed before an answer came")));
            }
            while let Some((head, length)) = head::parse(&self.came, looked).map_err(io::Error::other)? {
                (looked, _) = (0, self.came.split_to(length));
                // What comes before the answer is of no interest.
                if !head.status.is_informational() {
                    return Poll::Ready(Ok(head));
                }
            }
            if self.came.len() > MOST_HEAD {
                return Poll::Ready(Err(io::Error::other("the head of the answer has no end")));
            }
        }
    }

    /// Reads once; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.came.capacity() - self.came.len() < TOO_LITTLE {
            // Most answers are as long as the one before, and come at once.
            let like_before = self.before + self.before / 8;
            let wanted = if self.counted == 0 { like_before } else { 2 * self.counted };
            self.came.reserve(wanted.clamp(LEAST_ROOM, MOST_ROOM));
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.came)).poll(cx))?;
        self.counted += read;
        Poll::Ready(Ok(read > 0))
    }
}

/// A request on its way.
struct Sending<'a> {
    head: &'a [u8],
    body: &'a [u8],
    sent: usize,
    /// The other end takes no more. It may still say why.
    failed: Option<io::Error>,
}

impl Sending<'_> {
    fn is_done(&self) -> bool {
        self.sent == self.head.len() + self.body.len()
    }

    /// Sends as much as goes.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) {
        while !self.is_done() && self.failed.is_none() {
            let head = &self.head[self.sent.min(self.head.len())..];
            let body = &self.body[self.sent.saturating_sub(self.head.len())..];
            let stream = Pin::new(&mut *stream);
            let wrote = match (head.is_empty(), body.is_empty()) {
                (_, true) => stream.poll_write(cx, head),
                (true, _) => stream.poll_write(cx, body),
                _ => stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]),
            };
            match wrote {
                Poll::Ready(Ok(sent)) => self.sent += sent,
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => return,
            }
        }
    }
}

fn ended(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

//! The log of a container as it grows: bytes as they come, from a connection of its own.
//!
//! The engine writes each line by itself, and a reader that is woken for each pays several times what the line costs. So what
//! comes within a turn (some hundredths of a second, the same ones for all logs) is read at once, and where nothing has to be
//! taken apart (HTTP/1.0, [`End::Unmarked`]) straight from the socket into the memory that the lines will be parts of. On the
//! engine's own machine nothing of us wakes up in between ([`turns`]).
//!
//! [`End::Unmarked`]: crate::End::Unmarked

use std::io;

use bytes::BytesMut;
use futures_util::FutureExt;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::turns::{self, Turns};

/// A connection to an engine, whatever it is made of.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// The log of a container as it grows.
pub struct Logs {
    body: Body,
    /// The container's output is one raw stream instead of frames.
    pub tty: bool,
}

enum Body {
    /// Taken out of its chunks.
    Marked(Incoming),
    Unmarked(Plain),
}

/// What follows the head of an answer by HTTP/1.0, up to the end of the connection.
pub(crate) struct Plain {
    from: From,
    /// Read together with the head.
    first: BytesMut,
    /// What was read last, and whether there was room for more.
    last: usize,
    is_all: bool,
}

enum From {
    Connection(Box<dyn Connection>),
    /// Of this machine.
    Turns(Turns),
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub status: StatusCode,
    /// What follows is in chunks, although HTTP/1.0 knows none.
    pub is_chunked: bool,
}

/// A longer head is none.
const MAX_HEAD: usize = 16 << 10;

/// Room that is made for what is read at once: twice what it was before, between these.
const LEAST_ROOM: usize = 8 << 10;
const MOST_ROOM: usize = 64 << 10;

// === impl Logs ===

impl Logs {
    pub(crate) fn marked(body: Incoming, tty: bool) -> Logs {
        Logs { body: Body::Marked(body), tty }
    }

    pub(crate) fn unmarked(plain: Plain, tty: bool) -> Logs {
        Logs { body: Body::Unmarked(plain), tty }
    }

    /// Appends the next bytes, and says how many; none at the end of the log, which a stopped container has. Nothing is lost
    /// when it is not waited for.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read(&mut self, to: &mut BytesMut) -> io::Result<usize> {
        match &mut self.body {
            Body::Marked(body) => read_chunk(body, to).await,
            Body::Unmarked(plain) => plain.read(to).await,
        }
    }

    /// Appends what else comes in this turn, up to about so many bytes; whether the log has ended.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn gather(&mut self, to: &mut BytesMut, most: usize) -> io::Result<bool> {
        let mut room = most;
        match &mut self.body {
            Body::Marked(body) => {
                let until = turns::next(turns::LONGEST);
                while room > 0 {
                    let Ok(read) = tokio::time::timeout_at(until, read_chunk(body, to)).await else { return Ok(false) };
                    match read? {
                        0 => return Ok(true),
                        read => room = room.saturating_sub(read),
                    }
                }
            }
            Body::Unmarked(Plain { from: From::Turns(_), .. }) => {}
            Body::Unmarked(plain) => {
                // The other lines of a log that is long are there already.
                if plain.is_all && room > 0 {
                    tokio::time::sleep_until(turns::next(turns::LONGEST)).await;
                }
                while room > 0 {
                    let Some(read) = plain.read(to).now_or_never() else { return Ok(false) };
                    match read? {
                        0 => return Ok(true),
                        read => room = room.saturating_sub(read),
                    }
                }
            }
        }
        Ok(false)
    }
}

async fn read_chunk(body: &mut Incoming, to: &mut BytesMut) -> io::Result<usize> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data()
            && !data.is_empty()
        {
            to.extend_from_slice(&data);
            return Ok(data.len());
        }
    }
    Ok(0)
}

// === impl Plain ===

impl Plain {
    /// Asks and reads the head of the answer.
    pub async fn ask(mut connection: Box<dyn Connection>, request: &[u8]) -> io::Result<(Head, Plain)> {
        let (head, first) = Self::ask_for_head(&mut connection, request).await?;
        Ok((head, Plain { from: From::Connection(connection), first, last: 0, is_all: true }))
    }

    /// The same on this machine.
    pub async fn ask_here(mut connection: UnixStream, request: &[u8]) -> io::Result<(Head, Plain)> {
        let (head, first) = Self::ask_for_head(&mut connection, request).await?;
        Ok((head, Plain { from: From::Turns(Turns::of(connection)?), first, last: 0, is_all: true }))
    }

    /// What the answer begins with, and what came behind it.
    async fn ask_for_head(connection: &mut impl Connection, request: &[u8]) -> io::Result<(Head, BytesMut)> {
        connection.write_all(request).await?;
        let mut first = BytesMut::with_capacity(LEAST_ROOM);
        let head = loop {
            if connection.read_buf(&mut first).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed before an answer"));
            }
            if let Some(at) = memchr::memmem::find(&first, b"\r\n\r\n") {
                let head = first.split_to(at + 4);
                break head_of(&head).ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
            }
            if first.len() > MAX_HEAD {
                return Err(io::Error::other("the head of the answer has no end"));
            }
        };
        Ok((head, first))
    }

    async fn read(&mut self, to: &mut BytesMut) -> io::Result<usize> {
        let read = if self.first.is_empty() {
            let connection = match &mut self.from {
                From::Connection(connection) => connection,
                From::Turns(turns) => return turns.read(to).await,
            };
            let wanted = (2 * self.last).clamp(LEAST_ROOM, MOST_ROOM);
            // What is left of the memory before is used up: little of what is read outlives the next second.
            if to.capacity() - to.len() < wanted / 4 {
                to.reserve(wanted);
            }
            let room = to.capacity() - to.len();
            let read = connection.read_buf(to).await?;
            self.is_all = read < room;
            read
        } else {
            let first = std::mem::take(&mut self.first);
            to.extend_from_slice(&first);
            first.len()
        };
        self.last = read;
        Ok(read)
    }

    /// All that follows, up to so many bytes: the words of a refusal.
    pub async fn rest(mut self, most: usize) -> io::Result<BytesMut> {
        let mut rest = BytesMut::new();
        while rest.len() < most && self.read(&mut rest).await? > 0 {}
        Ok(rest)
    }
}

/// What a head says; none if it is no head of HTTP/1.
pub(crate) fn head_of(head: &[u8]) -> Option<Head> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let (version, status) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let status = status.get(..3)?.parse().ok()?;
    let is_chunked = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
        name.eq_ignore_ascii_case("transfer-encoding") && value.to_ascii_lowercase().contains("chunked")
    });
    Some(Head { status, is_chunked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_understood() {
        let ok = |is_chunked| Some(Head { status: StatusCode::OK, is_chunked });
        assert_eq!(head_of(b"HTTP/1.0 200 OK\r\nApi-Version: 1.44\r\n\r\n"), ok(false));
        assert_eq!(head_of(b"HTTP/1.1 200\r\n\r\n"), ok(false));
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\nTRANSFER-encoding:  Chunked\r\n\r\n"), ok(true));
        let refused = Head { status: StatusCode::UPGRADE_REQUIRED, is_chunked: false };
        assert_eq!(head_of(b"HTTP/1.1 426 Upgrade Required\r\n\r\n"), Some(refused));
        for nonsense in [&b"SSH-2.0-x\r\n\r\n"[..], b"HTTP/2 200\r\n\r\n", b"HTTP/1.0 \xff", b"HTTP/1.1 2\r\n", b""] {
            assert_eq!(head_of(nonsense), None, "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn lines_of_one_moment_are_read_at_once_and_the_end_is_seen() {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let asked = Plain::ask(Box::new(ours), b"GET / HTTP/1.0\r\n\r\n");
        let answered = async {
            theirs.write_all(b"HTTP/1.0 200 OK\r\n\r\nfirst;").await.expect("room");
        };
        let (asked, ()) = tokio::join!(asked, answered);
        let (head, plain) = asked.expect("an answer");
        assert_eq!(head.status, StatusCode::OK);
        let mut logs = Logs::unmarked(plain, false);
        let mut text = BytesMut::new();
        assert_eq!(logs.read(&mut text).await.expect("it is whole"), 6);
        for line in ["second;", "third;"] {
            theirs.write_all(line.as_bytes()).await.expect("room");
        }
        assert!(!logs.gather(&mut text, 1000).await.expect("it is whole"));
        assert_eq!(&text[..], b"first;second;third;");
        let long = vec![b'x'; 50_000];
        theirs.write_all(&long).await.expect("room");
        drop(theirs);
        let mut ended = false;
        while !ended {
            ended = logs.gather(&mut text, 1000).await.expect("it is whole");
        }
        assert_eq!(text.len(), 19 + long.len());
        assert_eq!(logs.read(&mut text).await.expect("it is whole"), 0);
    }
}

//! Reading a socket of this machine by turns.
//!
//! Who waits for a socket is woken by each write to it, and the engine writes line by line. So nobody waits while a container
//! prints: at each turn, at the same moment for all containers, what has come is taken. Only a container that was silent for a
//! whole turn is waited for.
//!
//! What the kernel holds for us is bounded by what it costs: some 160 lines of 300 bytes, each in a buffer of its own. Who
//! prints so much that the engine would have to wait gets shorter turns, and in the end none.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base_sys::turn::together;
use bytes::BytesMut;
use tokio::time::Instant;

/// From one turn to the next, for who prints little: nobody sees a line so soon.
pub(crate) const LONGEST: Duration = Duration::from_millis(40);

/// A shorter turn is none.
const SHORTEST: Duration = Duration::from_millis(1);

/// Lines that the kernel holds without making the engine wait, with much to spare; and so few that a turn may be longer.
const MANY: usize = 64;
const FEW: usize = 16;

/// As much is read in one turn; the rest waits for those that read other logs.
const MOST: usize = 64 << 10;

thread_local! {
    /// Room that was zeroed once: to copy what is read costs less than to zero room for it each time.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log's end of a connection.
pub(crate) struct Turns {
    socket: Socket,
    /// When it is read next, if that is not now.
    due: Option<Instant>,
    /// From one turn to the next; zero when each write is waited for.
    every: Duration,
}

enum Socket {
    /// Each write to it wakes us.
    Watched(tokio::net::UnixStream),
    Free(UnixStream),
    /// It could not be changed from one to the other.
    Broken,
}

/// The next moment at which logs are read.
pub(crate) fn next(every: Duration) -> Instant {
    let now = Instant::now();
    // A test's clock may begin before another one's.
    together(now + Duration::from_micros(1), every).min(now + every)
}

// === impl Turns ===

impl Turns {
    pub fn of(connection: tokio::net::UnixStream) -> io::Result<Turns> {
        let socket = Socket::Free(connection.into_std()?);
        Ok(Turns { socket, due: None, every: LONGEST })
    }

    /// Appends what has come by the next turn, waiting for something to come; nothing at the end. Nothing is lost when it is
    /// not waited for.
    pub async fn read(&mut self, to: &mut BytesMut) -> io::Result<usize> {
        loop {
            if let Socket::Watched(socket) = &self.socket {
                socket.readable().await?;
                if !self.every.is_zero() {
                    self.socket.free()?;
                    self.due = Some(next(self.every));
                }
            }
            if let Some(due) = self.due {
                tokio::time::sleep_until(due).await;
                self.due = None;
            }
            let Some((read, is_all)) = self.take(to)? else {
                self.socket.watch()?;
                continue;
            };
            if is_all {
                let lines = memchr::memchr_iter(b'\n', &to[to.len() - read..]).count();
                self.adapt(lines);
                if !self.every.is_zero() {
                    self.socket.free()?;
                    self.due = Some(next(self.every));
                }
            }
            return Ok(read);
        }
    }

    /// Takes what is there: how much it is, and whether that is all; none if there is nothing.
    fn take(&mut self, to: &mut BytesMut) -> io::Result<Option<(usize, bool)>> {
        ROOM.with_borrow_mut(|room| {
            room.resize(MOST, 0);
            loop {
                match self.socket.read(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => return Err(error),
                    Ok(read) => {
                        to.extend_from_slice(&room[..read]);
                        return Ok(Some((read, 0 < read && read < MOST)));
                    }
                }
            }
        })
    }

    /// So many lines came in one turn: when the next one is.
    fn adapt(&mut self, lines: usize) {
        if lines > MANY {
            self.every = if self.every > SHORTEST { self.every / 2 } else { Duration::ZERO };
        } else if lines < FEW && self.every < LONGEST {
            self.every = (self.every * 2).clamp(SHORTEST, LONGEST);
        }
    }
}

// === impl Socket ===

impl Socket {
    fn watch(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Socket::Broken) {
            Socket::Free(socket) => *self = Socket::Watched(tokio::net::UnixStream::from_std(socket)?),
            other => *self = other,
        }
        Ok(())
    }

    fn free(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Socket::Broken) {
            Socket::Watched(socket) => *self = Socket::Free(socket.into_std()?),
            other => *self = other,
        }
        Ok(())
    }

    /// Does not wait.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Watched(socket) => socket.try_read(to),
            Socket::Free(socket) => socket.read(to),
            Socket::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (Turns, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.set_nonblocking(true).expect("it is ours");
        (Turns::of(tokio::net::UnixStream::from_std(ours).expect("it is a socket")).expect("it is a socket"), theirs)
    }

    #[tokio::test]
    async fn what_comes_in_one_turn_is_read_at_once_and_the_end_is_seen() {
        let (mut turns, mut theirs) = pair();
        let mut text = BytesMut::new();
        for round in 0..3 {
            // Silent for long, so it is waited for.
            assert!(tokio::time::timeout(2 * LONGEST, turns.read(&mut text)).await.is_err());
            assert!(matches!(turns.socket, Socket::Watched(_)), "round {round}");
            for line in ["one\n", "two\n", "three\n"] {
                theirs.write_all(line.as_bytes()).expect("room");
            }
            assert_eq!(turns.read(&mut text).await.expect("it is whole"), 14);
            assert!(matches!(turns.socket, Socket::Free(_)), "nothing wakes us before the next turn");
        }
        assert_eq!(&text[..14], b"one\ntwo\nthree\n");
        theirs.write_all(b"last").expect("room");
        drop(theirs);
        assert_eq!(turns.read(&mut text).await.expect("it is whole"), 4);
        assert_eq!(turns.read(&mut text).await.expect("it is whole"), 0);
        assert_eq!(turns.read(&mut text).await.expect("it is whole"), 0);
    }

    #[tokio::test]
    async fn who_prints_much_is_read_more_often_and_nothing_is_missing() {
        let (mut turns, mut theirs) = pair();
        let writer = std::thread::spawn(move || {
            for number in 0..20_000 {
                theirs.write_all(format!("line {number}\n").as_bytes()).expect("somebody reads");
            }
        });
        let mut text = BytesMut::new();
        let mut shortest = LONGEST;
        while turns.read(&mut text).await.expect("it is whole") > 0 {
            shortest = shortest.min(turns.every);
        }
        writer.join().expect("it does not panic");
        assert!(shortest < LONGEST, "{shortest:?}");
        let expected: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        assert!(text == expected.as_bytes(), "lines are missing");
    }

    #[test]
    fn turns_adapt_to_what_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let (mut turns, _theirs) = pair();
        turns.adapt(MANY);
        assert_eq!(turns.every, LONGEST);
        for _ in 0..10 {
            turns.adapt(MANY + 1);
        }
        assert!(turns.every.is_zero());
        turns.adapt(FEW);
        assert!(turns.every.is_zero());
        for _ in 0..10 {
            turns.adapt(FEW - 1);
        }
        assert_eq!(turns.every, LONGEST);
    }
}

//! A conversation with another program, which ends when its time is over, whatever the other side does: nothing, one byte a
//! second, or talk of something else.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::Instant;

/// All of it, from connecting to the last answer. A scrape usually has ten seconds: two programs that hang do not take the page
/// with them.
pub(crate) const TIME: Duration = Duration::from_secs(4);

/// A stream that fails when its time is over.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: Socket,
    time: Duration,
    end: Instant,
}

// === impl Conversation ===

impl Conversation {
    /// With what listens at a path.
    pub fn at_path(path: &Path, time: Duration) -> io::Result<Conversation> {
        let conversation = Conversation::over(Socket::new(Domain::UNIX, Type::STREAM, None)?, time);
        // A program that hangs takes no connections, and when enough of them wait, connecting waits as well: for as long as
        // writing may take.
        conversation.socket.set_write_timeout(Some(conversation.left()?))?;
        conversation.socket.connect(&SockAddr::unix(path)?).map_err(|error| conversation.late(error))?;
        Ok(conversation)
    }

    /// With what listens at the first of these addresses that can be reached.
    pub fn at_addresses(addresses: impl Iterator<Item = SocketAddr>, time: Duration) -> io::Result<Conversation> {
        let end = Instant::now() + time;
        let mut failed = io::Error::other("the host has no address");
        for address in addresses {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            let conversation = Conversation { socket, time, end };
            match conversation.left().and_then(|left| conversation.socket.connect_timeout(&address.into(), left)) {
                Ok(()) => return Ok(conversation),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Over what is connected.
    pub fn over(socket: impl Into<Socket>, time: Duration) -> Conversation {
        Conversation { socket: socket.into(), time, end: Instant::now() + time }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.late(io::ErrorKind::TimedOut.into())) } else { Ok(left) }
    }

    /// The kernel says of a time that is over that the resource is temporarily unavailable.
    fn late(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                io::Error::new(io::ErrorKind::TimedOut, format!("it did not answer within {:?}", self.time))
            }
            _ => error,
        }
    }
}

impl Read for Conversation {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        (&self.socket).read(room).map_err(|error| self.late(error))
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        (&self.socket).write(bytes).map_err(|error| self.late(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn is_late(outcome: io::Result<usize>) -> bool {
        outcome.is_err_and(|error| {
            error.kind() == io::ErrorKind::TimedOut && error.to_string() == "it did not answer within 50ms"
        })
    }

    #[test]
    fn who_says_nothing_does_not_keep_us() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut conversation = Conversation::over(ours, SHORT);
        assert!(is_late(conversation.read(&mut [0; 8])));
        assert!(is_late(conversation.write(b"still there?")));
    }

    #[test]
    fn who_answers_byte_by_byte_does_not_keep_us_either() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let talker = std::thread::spawn(move || while theirs.write_all(b".").is_ok() {});
        let mut conversation = Conversation::over(ours, SHORT);
        let outcome = loop {
            match conversation.read(&mut [0; 1]) {
                Ok(_) => {}
                outcome => break outcome,
            }
        };
        assert!(is_late(outcome));
        drop(conversation);
        talker.join().unwrap();
    }

    #[test]
    fn who_takes_no_connections_does_not_keep_us_when_many_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        let outcome = loop {
            match Conversation::at_path(&path, SHORT) {
                Ok(conversation) => waiting.push(conversation),
                Err(error) => break Err(error),
            }
        };
        assert!(!waiting.is_empty() && is_late(outcome));
    }

    #[test]
    fn what_is_not_there_is_told_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let gone = |path: &Path| Conversation::at_path(path, SHORT).unwrap_err().kind();
        assert_eq!(gone(&dir.path().join("none")), io::ErrorKind::NotFound);
        let path = dir.path().join("left");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(gone(&path), io::ErrorKind::ConnectionRefused);
        assert!(Conversation::at_addresses(std::iter::empty(), SHORT).is_err());
    }
}

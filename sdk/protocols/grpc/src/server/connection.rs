//! The state of one connection, and what moves it.

mod answer;
mod receive;

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Aborted;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::stream::{Pending, State, Stream};
use super::{Config, Service};
use crate::Status;
use crate::http2::frame::{self, Reason};
use crate::http2::hpack::Decoder;
use crate::message::Gathered;

/// What is read at a time, unless it is known to belong to a message.
const READ: usize = 64 << 10;
/// As much of a message that is still to come is read to where the message is gathered.
const DIRECT: usize = 16 << 10;
/// What the calls of a connection may hold, unless a single message may be larger.
const CONNECTION_WINDOW: i64 = 24 << 20;
/// Large frames mean fewer of them; a client decides.
const LARGEST_FRAME: usize = 1 << 20;
/// Frames other than DATA, which need to be seen whole, are never longer.
const LARGEST_CONTROL: usize = frame::DEFAULT_FRAME * 4;
/// What is read, behind what has come of a frame: one buffer for all connections of a thread.
const SCRATCH: usize = frame::HEAD + LARGEST_CONTROL + READ;
/// The headers of a call, with what HPACK counts for each.
const HEADER_LIMIT: usize = 64 << 10;
/// While this much is not written, nothing is read: a client that does not read cannot make us remember answers.
const UNWRITTEN: usize = 64 << 10;
/// Calls that a client takes back beyond those that were answered, before it is asked to calm down.
const RESETS: u32 = 200;
/// Frames in a row that say nothing.
const EMPTY_FRAMES: u32 = 1000;
/// Until the client has said who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to notice that the connection is going to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// The payload of the ping that finds out.
const FAREWELL_PING: [u8; 8] = *b"farewell";
const ALIVE_PING: [u8; 8] = *b"alive?\0\0";

const ENCODINGS: &[u8] = b"gzip,zstd,snappy,deflate";

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

type CallResult = Result<Bytes, Status>;
type BoxedCall = Pin<Box<dyn Future<Output = (u32, Result<CallResult, Aborted>)> + Send>>;

pub(super) struct Connection<S, T: Service> {
    io: S,
    service: Arc<T>,
    config: Config,
    /// Bytes of a frame that has not come whole.
    carry: Vec<u8>,
    greeted: bool,
    /// The DATA frame under way.
    data: Option<Data>,
    /// The headers under way.
    block: Option<Block>,
    decoder: Decoder,
    /// By id.
    streams: Vec<Stream<T::Admission>>,
    /// Messages that have come whole.
    complete: Vec<Complete<T::Admission>>,
    /// Calls that wait.
    calls: FuturesUnordered<BoxedCall>,
    out: Vec<u8>,
    written: usize,
    last_stream: u32,
    /// What the client may still send.
    receive_window: i64,
    /// What it may send again, not yet told.
    released: u32,
    send_window: i64,
    initial_send_window: i64,
    resets: u32,
    empty_frames: u32,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    times: Times,
}

struct Data {
    stream: u32,
    left: usize,
    padding: usize,
    end: bool,
}

struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
}

struct Complete<A> {
    stream: u32,
    call: Pending<A>,
    gathered: Gathered,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Open,
    /// The client has been told, and has not answered yet: its calls are still taken.
    Leaving,
    /// No new calls.
    Draining,
    /// What is written is all there will be.
    Closing,
}

struct Times {
    age: Option<Instant>,
    /// When everything ends.
    end: Option<Instant>,
    last_read: Instant,
    last_call: Instant,
    /// Not before the client has greeted.
    greeting: Instant,
    pinged: Option<Instant>,
    left: Option<Instant>,
}

/// The end of a connection, and what the client is told.
struct Broken(Reason, &'static str);

impl<S: AsyncRead + AsyncWrite + Unpin, T: Service> Connection<S, T> {
    pub(super) fn new(io: S, service: Arc<T>, config: Config) -> Self {
        let now = Instant::now();
        let stream_window = (config.message_limit as i64 + (64 << 10)).min(frame::LARGEST_WINDOW);
        let window = CONNECTION_WINDOW.max(2 * stream_window).min(frame::LARGEST_WINDOW);
        let mut out = Vec::with_capacity(256);
        frame::put_settings(
            &mut out,
            &[
                (frame::MAX_CONCURRENT_STREAMS, config.max_streams),
                (frame::INITIAL_WINDOW_SIZE, stream_window as u32),
                (frame::MAX_FRAME_SIZE, LARGEST_FRAME as u32),
                (frame::MAX_HEADER_LIST_SIZE, HEADER_LIMIT as u32),
            ],
        );
        frame::put_window_update(&mut out, 0, (window - frame::DEFAULT_WINDOW) as u32);
        let times = Times {
            age: config.age.map(|age| now + age.mul_f64(spread(now))),
            end: None,
            last_read: now,
            last_call: now,
            greeting: now + HANDSHAKE,
            pinged: None,
            left: None,
        };
        let mut connection = Connection {
            io,
            service,
            config,
            carry: Vec::new(),
            greeted: false,
            data: None,
            block: None,
            decoder: Decoder::new(),
            streams: Vec::new(),
            complete: Vec::new(),
            calls: FuturesUnordered::new(),
            out,
            written: 0,
            last_stream: 0,
            receive_window: window,
            released: 0,
            send_window: frame::DEFAULT_WINDOW,
            initial_send_window: frame::DEFAULT_WINDOW,
            resets: 0,
            empty_frames: 0,
            phase: Phase::Open,
            timer: Box::pin(tokio::time::sleep_until(now + HANDSHAKE)),
            times,
        };
        let first = connection.next_time();
        connection.timer.as_mut().reset(first);
        connection
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        closing: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Poll<Result<(), String>> {
        if self.phase == Phase::Open && closing.poll(cx).is_ready() {
            self.leave();
        }
        loop {
            self.check_times(cx)?;
            self.poll_calls(cx);
            let writable = self.poll_write(cx)?.is_ready();
            if self.phase == Phase::Draining && self.streams.is_empty() {
                self.close();
            }
            if self.phase == Phase::Closing {
                if !writable {
                    return Poll::Pending;
                }
                return Pin::new(&mut self.io).poll_shutdown(cx).map(|_| Ok(()));
            }
            if !writable && self.out.len() - self.written > UNWRITTEN {
                return Poll::Pending;
            }
            match std::task::ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(self.ended_by_client()),
                Ok(_) => {}
                // A client that is gone is nothing to complain of, unless it waits for an answer.
                Err(_) if self.streams.is_empty() => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
    }

    fn ended_by_client(&self) -> Result<(), String> {
        if self.streams.is_empty() {
            Ok(())
        } else {
            Err("the client closed the connection with calls under way".to_owned())
        }
    }

    // === time ===

    fn check_times(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if !self.greeted && now >= self.times.greeting {
                return Err("the client did not greet in time".to_owned());
            }
            if self.times.end.is_some_and(|end| now >= end) {
                if self.phase == Phase::Closing {
                    return Err("the client does not read".to_owned());
                }
                self.close();
            }
            if self.phase == Phase::Leaving && self.times.left.is_some_and(|left| now >= left + FAREWELL) {
                self.drain();
            }
            if self.phase == Phase::Open && self.times.age.is_some_and(|age| now >= age) {
                self.leave();
                self.times.end = self.config.age_grace.map(|grace| now + grace);
            }
            if self.phase == Phase::Open
                && self.streams.is_empty()
                && self.config.idle.is_some_and(|idle| now >= self.times.last_call + idle)
            {
                self.leave();
            }
            match self.times.pinged {
                Some(pinged) if self.times.last_read >= pinged => self.times.pinged = None,
                Some(pinged) if now >= pinged + self.config.ping_timeout => {
                    return Err("the client gave no sign of life".to_owned());
                }
                None if now >= self.times.last_read + self.config.ping_after => {
                    self.times.pinged = Some(now);
                    frame::put(&mut self.out, frame::PING, 0, 0, &ALIVE_PING);
                }
                _ => {}
            }
            let next = self.next_time().max(now + Duration::from_millis(1));
            self.timer.as_mut().reset(next);
        }
        Ok(())
    }

    /// When something is due at the earliest, as far as is known now; what happens until then can only put it off.
    fn next_time(&self) -> Instant {
        let ping = match self.times.pinged {
            Some(pinged) => pinged + self.config.ping_timeout,
            None => self.times.last_read + self.config.ping_after,
        };
        let idle = self.config.idle.filter(|_| self.phase == Phase::Open);
        // A call under way is no idleness: look again later.
        let idle_from = if self.streams.is_empty() { self.times.last_call } else { Instant::now() };
        [
            (!self.greeted).then_some(self.times.greeting),
            self.times.end,
            self.times.left.filter(|_| self.phase == Phase::Leaving).map(|left| left + FAREWELL),
            self.times.age.filter(|_| self.phase == Phase::Open),
            idle.map(|idle| idle_from + idle),
        ]
        .into_iter()
        .flatten()
        .fold(ping, Instant::min)
    }

    /// Tells the client to go elsewhere; what it has already sent is still taken.
    fn leave(&mut self) {
        let now = Instant::now();
        frame::put_goaway(&mut self.out, frame::LARGEST_WINDOW as u32, Reason::NoError, "");
        frame::put(&mut self.out, frame::PING, 0, 0, &FAREWELL_PING);
        self.phase = Phase::Leaving;
        self.times.left = Some(now);
        self.timer.as_mut().reset(now + FAREWELL);
    }

    /// What is to be written is all there will be, and has a second for it.
    fn close(&mut self) {
        let end = Instant::now() + FAREWELL;
        self.phase = Phase::Closing;
        self.times.end = Some(end);
        self.timer.as_mut().reset(end);
    }

    fn drain(&mut self) {
        frame::put_goaway(&mut self.out, self.last_stream, Reason::NoError, "");
        self.phase = Phase::Draining;
    }

    // === bytes ===

    /// Ready when everything is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err("the connection takes nothing more".to_owned())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.to_string())),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.out.clear();
        self.out.shrink_to(4096);
        self.written = 0;
        Pin::new(&mut self.io).poll_flush(cx).map_err(|error| error.to_string())
    }

    /// Reads once, and takes what has come.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let read = match self.poll_read_message(cx) {
            Some(read) => read,
            None => self.poll_read_frames(cx),
        };
        if let Poll::Ready(Ok(1..)) = read {
            self.times.last_read = Instant::now();
            self.start_calls(cx);
            self.unstick();
            self.tell_window();
        }
        read
    }

    fn poll_read_frames(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        INPUT.with_borrow_mut(|input| {
            let kept = self.carry.len();
            input[..kept].copy_from_slice(&self.carry);
            let mut buffer = ReadBuf::new(&mut input[kept..kept + READ]);
            std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            let count = buffer.filled().len();
            self.carry.clear();
            if count > 0 && self.phase != Phase::Closing {
                self.take(&input[..kept + count]);
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Reads more of a message to where it will stay, so that only the kernel copies it. `None` when nothing of the kind is due.
    fn poll_read_message(&mut self, cx: &mut Context<'_>) -> Option<Poll<std::io::Result<usize>>> {
        let data = self.data.as_mut()?;
        let length = data.left.checked_sub(data.padding).filter(|length| *length >= DIRECT)?;
        let at = self.streams.binary_search_by_key(&data.stream, |stream| stream.id).ok()?;
        let State::Receiving { gathered, .. } = &mut self.streams[at].state else { return None };
        let mut rest = gathered.rest(length)?;
        let read = { pin!(self.io.read_buf(&mut rest)).poll(cx) };
        if let Poll::Ready(Ok(count)) = &read {
            data.left -= count;
            if data.left == 0 {
                self.take(&[]);
            }
        }
        Some(read)
    }

    // === the connection's window ===

    fn tell_window(&mut self) {
        let enough = (CONNECTION_WINDOW / 2) as u32;
        if self.released > 0 && (self.released >= enough || self.receive_window < LARGEST_FRAME as i64) {
            frame::put_window_update(&mut self.out, 0, self.released);
            self.receive_window += i64::from(self.released);
            self.released = 0;
        }
    }

    /// When the window is full of messages of which none can be finished, the youngest makes room.
    fn unstick(&mut self) {
        while self.receive_window + i64::from(self.released) < frame::DEFAULT_FRAME as i64 {
            let receiving = |stream: &Stream<_>| matches!(stream.state, State::Receiving { .. });
            if !self.streams.iter().all(receiving) {
                return;
            }
            let Some(youngest) = self.streams.last().map(|stream| stream.id) else { return };
            frame::put_reset(&mut self.out, youngest, Reason::RefusedStream);
            self.remove(self.streams.len() - 1);
        }
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream<T::Admission>> {
        self.position(id).map(|at| &mut self.streams[at])
    }
}

/// Between 0.9 and 1.1, different for each connection.
fn spread(now: Instant) -> f64 {
    use std::hash::BuildHasher as _;
    let random = std::hash::RandomState::new().hash_one(now);
    0.9 + 0.2 * (random >> 11) as f64 / (1_u64 << 53) as f64
}

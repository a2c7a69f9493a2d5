//! The state of one connection, and what moves it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use super::{ChannelConfig, Stream};
use crate::http2::frame::{self, Head, Reason};
use crate::http2::hpack::{Decoder, Headers, Malformed};
use crate::message::Gathered;
use crate::{Code, Status};

/// A reply may be this large.
pub(super) const REPLY_LIMIT: usize = 4 << 20;
/// What a server may send in one stream: a reply at the limit, and padding.
const STREAM_WINDOW: u32 = (REPLY_LIMIT + (64 << 10)) as u32;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// The headers of a reply, with what HPACK counts for each.
const HEADER_LIMIT: usize = 64 << 10;
/// Bytes that are cut into frames before they can be written.
const AHEAD: usize = 1 << 20;
/// Slices of one write: frame heads and payloads.
const SLICES: usize = 64;
/// Larger frames gain nothing, whatever the server takes.
const LONGEST_FRAME: usize = 256 << 10;
const READ: usize = 16 << 10;
/// Bytes of frames that wait for the server to read: one that only asks and never reads is not answered for ever.
const UNWRITTEN_CONTROL: usize = 1 << 20;
/// Until the server has said how it wants to be spoken to. Calls wait for it.
const GREETING: Duration = Duration::from_secs(10);
const ENABLE_PUSH: u16 = 2;

/// A unary call.
pub(super) struct Call {
    pub(super) headers: Vec<u8>,
    /// Without empty ones.
    pub(super) body: VecDeque<Bytes>,
    pub(super) reply: oneshot::Sender<Result<Answer, Status>>,
}

/// What a server said.
pub(super) struct Answer {
    pub(super) headers: Headers,
    pub(super) trailers: Option<Headers>,
    pub(super) message: Gathered,
}

pub(super) struct Connection {
    io: Box<dyn Stream>,
    waiting: mpsc::Receiver<Call>,
    /// No new calls: the server leaves, or nobody has any.
    leaving: bool,
    /// A call was given up without a sign of life from the server.
    silent: bool,
    calls: Vec<Open>,
    decoder: Decoder,
    input: BytesMut,
    /// Headers under way: the stream, its end, and the bytes.
    block: Option<(u32, bool, Vec<u8>)>,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    next_id: u32,
    greeted: bool,
    /// The server has until then to greet.
    greeting: Option<Pin<Box<Sleep>>>,
    most_calls: usize,
    longest_frame: usize,
    send_window: i64,
    initial_send_window: i64,
    /// Taken, and not yet told.
    released: u32,
    ping: Option<Ping>,
    last_read: Instant,
}

/// A call on its way.
struct Open {
    id: u32,
    since: Instant,
    body: VecDeque<Bytes>,
    send_window: i64,
    headers: Option<Headers>,
    message: Gathered,
    reply: oneshot::Sender<Result<Answer, Status>>,
}

/// Signs of life that we ask for.
struct Ping {
    interval: Duration,
    timeout: Duration,
    when_idle: bool,
    sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(io: Box<dyn Stream>, waiting: mpsc::Receiver<Call>, config: &ChannelConfig) -> Connection {
        let mut greeting = frame::PREFACE.to_vec();
        frame::put_settings(
            &mut greeting,
            &[
                (ENABLE_PUSH, 0),
                (frame::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (frame::MAX_HEADER_LIST_SIZE, HEADER_LIMIT as u32),
            ],
        );
        frame::put_window_update(&mut greeting, 0, CONNECTION_WINDOW - frame::DEFAULT_WINDOW as u32);
        let ping = config.ping_interval.map(|interval| Ping {
            interval,
            timeout: config.ping_timeout,
            when_idle: config.ping_when_idle,
            sent: None,
            timer: Box::pin(tokio::time::sleep(interval)),
        });
        let mut connection = Connection {
            io,
            waiting,
            leaving: false,
            silent: false,
            calls: Vec::new(),
            decoder: Decoder::new(),
            input: BytesMut::new(),
            block: None,
            out: VecDeque::new(),
            out_bytes: 0,
            next_id: 1,
            greeted: false,
            greeting: Some(Box::pin(tokio::time::sleep(GREETING))),
            most_calls: usize::MAX,
            longest_frame: frame::DEFAULT_FRAME,
            send_window: frame::DEFAULT_WINDOW,
            initial_send_window: frame::DEFAULT_WINDOW,
            released: 0,
            ping,
            last_read: Instant::now(),
        };
        connection.push(greeting.into());
        connection
    }

    /// Works until nobody has calls any more, or the server goes away; then every call hears of it.
    pub(super) async fn run(mut self) {
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        let why = match &ended {
            Ok(()) => "the connection was closed",
            Err(why) => {
                tracing::debug!(error = why, "connection ended");
                why
            }
        };
        self.waiting.close();
        while let Ok(call) = self.waiting.try_recv() {
            // Nobody has seen it.
            let _ = call.reply.send(Err(Status::new(Code::Unavailable, why)));
        }
        for call in self.calls.drain(..) {
            let _ = call.reply.send(Err(Status::new(Code::Unavailable, why)));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        loop {
            self.check_time(cx)?;
            self.drop_cancelled(cx);
            self.take_calls(cx);
            if self.silent && self.calls.is_empty() {
                return Poll::Ready(Err("the server gave no sign of life".to_owned()));
            }
            let written = self.poll_write(cx)?;
            if self.leaving && self.calls.is_empty() && written.is_ready() {
                return Pin::new(&mut self.io).poll_shutdown(cx).map(|_| Ok(()));
            }
            let count = std::task::ready!(self.poll_read(cx)).map_err(|error| error.to_string())?;
            if count == 0 {
                return Poll::Ready(Err("the server closed the connection".to_owned()));
            }
            self.last_read = Instant::now();
            self.frames()?;
            if self.released >= CONNECTION_WINDOW / 2 {
                let mut update = Vec::new();
                frame::put_window_update(&mut update, 0, std::mem::take(&mut self.released));
                self.push(update.into());
            }
            if self.out_bytes > AHEAD + UNWRITTEN_CONTROL {
                return Poll::Ready(Err("the server does not read".to_owned()));
            }
        }
    }

    fn check_time(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if let Some(greeting) = &mut self.greeting
            && greeting.as_mut().poll(cx).is_ready()
        {
            return Err("the server did not greet in time".to_owned());
        }
        let mut asks = false;
        if let Some(ping) = &mut self.ping {
            while ping.timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                match ping.sent {
                    Some(sent) if self.last_read >= sent => ping.sent = None,
                    Some(sent) if now >= sent + ping.timeout => {
                        return Err("the server gave no sign of life".to_owned());
                    }
                    None if now >= self.last_read + ping.interval && (ping.when_idle || !self.calls.is_empty()) => {
                        ping.sent = Some(now);
                        asks = true;
                    }
                    _ => {}
                }
                let next = match ping.sent {
                    Some(sent) => sent + ping.timeout,
                    None => (self.last_read + ping.interval).max(now + Duration::from_secs(1).min(ping.interval)),
                };
                ping.timer.as_mut().reset(next.max(now + Duration::from_millis(1)));
            }
        }
        if asks {
            let mut frame = Vec::new();
            frame::put(&mut frame, frame::PING, 0, 0, b"alive?\0\0");
            self.push(frame.into());
        }
        Ok(())
    }

    fn drop_cancelled(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while at < self.calls.len() {
            if self.calls[at].reply.poll_closed(cx).is_ready() {
                let call = self.calls.remove(at);
                self.reset(call.id, Reason::Cancel);
                // Given up without a byte from the server in all that time: it may be gone without a word, and TCP may take
                // a quarter of an hour to notice. What follows goes over another connection.
                if self.last_read <= call.since {
                    self.silent = true;
                    self.leave();
                }
            } else {
                at += 1;
            }
        }
    }

    /// Opens what waits, as far as the server lets us; how far that is it says first.
    fn take_calls(&mut self, cx: &mut Context<'_>) {
        while self.greeted && !self.leaving && self.calls.len() < self.most_calls {
            if self.next_id > i32::MAX as u32 {
                // The ids of a connection are used up: what follows goes over another one.
                self.leave();
                return;
            }
            match self.waiting.poll_recv(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => return self.leave(),
                Poll::Ready(Some(call)) => {
                    let mut head = Vec::with_capacity(call.headers.len() + frame::HEAD);
                    frame::put_headers(&mut head, self.next_id, false, &call.headers, self.longest_frame);
                    self.push(head.into());
                    let mut open = Open {
                        id: self.next_id,
                        since: Instant::now(),
                        body: call.body,
                        send_window: self.initial_send_window,
                        headers: None,
                        message: Gathered::default(),
                        reply: call.reply,
                    };
                    self.next_id += 2;
                    // Asks to be woken when the caller goes away.
                    if open.reply.poll_closed(cx).is_ready() {
                        self.reset(open.id, Reason::Cancel);
                    } else {
                        self.calls.push(open);
                    }
                }
            }
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.waiting.close();
    }

    // === sending ===

    fn push(&mut self, bytes: Bytes) {
        self.out_bytes += bytes.len();
        self.out.push_back(bytes);
    }

    fn reset(&mut self, id: u32, reason: Reason) {
        let mut frame = Vec::with_capacity(13);
        frame::put_reset(&mut frame, id, reason);
        self.push(frame.into());
    }

    /// Cuts bodies into frames, the oldest call first, as far as the windows let and the memory should.
    fn cut(&mut self) {
        let mut at = 0;
        while at < self.calls.len() && self.out_bytes < AHEAD && self.send_window > 0 {
            let call = &mut self.calls[at];
            let room = call.send_window.min(self.send_window);
            if call.body.is_empty() || room <= 0 {
                at += 1;
                continue;
            }
            // A frame may span segments: a prefix of five bytes is no frame of its own.
            let available: usize = call.body.iter().map(Bytes::len).sum();
            let length = available.min(self.longest_frame).min(usize::try_from(room).unwrap_or(usize::MAX));
            let mut pieces = Vec::with_capacity(2);
            let mut left = length;
            while left > 0 {
                let Some(segment) = call.body.front_mut() else { break };
                let part = left.min(segment.len());
                pieces.push(segment.split_to(part));
                left -= part;
                if segment.is_empty() {
                    call.body.pop_front();
                }
            }
            call.send_window -= length as i64;
            self.send_window -= length as i64;
            let flags = if call.body.is_empty() { frame::END_STREAM } else { 0 };
            let head = frame::head(length, frame::DATA, flags, call.id);
            self.push(Bytes::copy_from_slice(&head));
            pieces.into_iter().for_each(|piece| self.push(piece));
        }
    }

    /// Ready when there is nothing more to write for now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        loop {
            self.cut();
            if self.out.is_empty() {
                return Pin::new(&mut self.io).poll_flush(cx).map_err(|error| error.to_string());
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.out.iter().take(SLICES).zip(&mut slices).fold(0, |count, (bytes, slice)| {
                *slice = IoSlice::new(bytes);
                count + 1
            });
            let written = if self.io.is_write_vectored() || count == 1 {
                Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count])
            } else {
                // One record, not one for each frame head.
                let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                Pin::new(&mut self.io).poll_write(cx, &joined)
            };
            match std::task::ready!(written) {
                Ok(0) => return Poll::Ready(Err("the connection takes nothing more".to_owned())),
                Ok(count) => self.written(count),
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
    }

    fn written(&mut self, mut count: usize) {
        self.out_bytes -= count;
        while let Some(first) = self.out.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.out.pop_front();
        }
    }

    // === receiving ===

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut memory = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut memory);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn frames(&mut self) -> Result<(), String> {
        loop {
            let Some(head) = self.input.first_chunk::<{ frame::HEAD }>() else { return Ok(()) };
            let head = Head::read(head);
            if !self.greeted && (head.kind != frame::SETTINGS || head.stream != 0) {
                return Err("the server does not speak HTTP/2; is this its gRPC port?".to_owned());
            }
            self.greeted = true;
            self.greeting = None;
            if head.length > frame::DEFAULT_FRAME {
                return Err("the server sent a frame that is too large".to_owned());
            }
            if self.input.len() < frame::HEAD + head.length {
                return Ok(());
            }
            self.input.advance(frame::HEAD);
            let payload = self.input.split_to(head.length).freeze();
            self.frame(&head, &payload)?;
        }
    }

    fn frame(&mut self, head: &Head, payload: &[u8]) -> Result<(), String> {
        let malformed = || format!("the server sent a malformed frame of type {}", head.kind);
        if self.block.is_some() && head.kind != frame::CONTINUATION {
            return Err(malformed());
        }
        match head.kind {
            frame::DATA => {
                self.released += head.length as u32;
                let content = frame::content(head, payload).ok_or_else(malformed)?;
                self.data(head, content);
                Ok(())
            }
            frame::HEADERS => {
                let content = frame::content(head, payload).ok_or_else(malformed)?;
                let block = (head.stream, head.is(frame::END_STREAM), content.to_vec());
                self.header_block(block, head.is(frame::END_HEADERS))
            }
            frame::CONTINUATION => {
                let Some((stream, end, mut bytes)) = self.block.take().filter(|block| block.0 == head.stream) else {
                    return Err(malformed());
                };
                bytes.extend_from_slice(payload);
                self.header_block((stream, end, bytes), head.is(frame::END_HEADERS))
            }
            frame::RST_STREAM => {
                let reason = frame::number(payload).ok_or_else(malformed)?;
                if let Some(call) = self.remove(head.stream) {
                    let message = format!("the server reset the call (HTTP/2 error {reason})");
                    let _ = call.reply.send(Err(Status::new(Code::Unavailable, message)));
                }
                Ok(())
            }
            frame::SETTINGS if head.is(frame::ACK) => Ok(()),
            frame::SETTINGS => {
                for (name, value) in frame::settings(payload).ok_or_else(malformed)? {
                    match name {
                        frame::MAX_CONCURRENT_STREAMS => self.most_calls = value as usize,
                        frame::MAX_FRAME_SIZE => {
                            self.longest_frame = (value as usize).clamp(frame::DEFAULT_FRAME, LONGEST_FRAME)
                        }
                        frame::INITIAL_WINDOW_SIZE => {
                            let difference = i64::from(value) - self.initial_send_window;
                            self.initial_send_window = i64::from(value);
                            self.calls.iter_mut().for_each(|call| call.send_window += difference);
                        }
                        _ => {}
                    }
                }
                let mut ack = Vec::with_capacity(frame::HEAD);
                frame::put(&mut ack, frame::SETTINGS, frame::ACK, 0, b"");
                self.push(ack.into());
                Ok(())
            }
            frame::PING => {
                if payload.len() != 8 {
                    return Err(malformed());
                }
                if !head.is(frame::ACK) {
                    let mut ack = Vec::with_capacity(frame::HEAD + 8);
                    frame::put(&mut ack, frame::PING, frame::ACK, 0, payload);
                    self.push(ack.into());
                }
                Ok(())
            }
            frame::GOAWAY => {
                let last = payload.get(..4).and_then(frame::number).ok_or_else(malformed)? & 0x7fff_ffff;
                self.leave();
                let (done, not_seen) = std::mem::take(&mut self.calls).into_iter().partition(|call| call.id <= last);
                self.calls = done;
                let not_seen: Vec<Open> = not_seen;
                for call in not_seen {
                    let _ = call.reply.send(Err(Status::new(Code::Unavailable, "the server is going away")));
                }
                Ok(())
            }
            frame::WINDOW_UPDATE => {
                let increment = i64::from(frame::number(payload).ok_or_else(malformed)? & 0x7fff_ffff);
                if head.stream == 0 {
                    self.send_window += increment;
                } else if let Some(call) = self.calls.iter_mut().find(|call| call.id == head.stream) {
                    call.send_window += increment;
                }
                if self.send_window > frame::LARGEST_WINDOW { Err(malformed()) } else { Ok(()) }
            }
            frame::PUSH_PROMISE => Err(malformed()),
            _ => Ok(()),
        }
    }

    fn header_block(&mut self, (stream, end, bytes): (u32, bool, Vec<u8>), whole: bool) -> Result<(), String> {
        if bytes.len() > HEADER_LIMIT {
            return Err("the server sent headers that are too large".to_owned());
        }
        if !whole {
            self.block = Some((stream, end, bytes));
            return Ok(());
        }
        let headers = self.decoder.decode(&bytes, HEADER_LIMIT).map_err(|error| match error {
            Malformed::Compression => "the server sent headers that cannot be decoded".to_owned(),
            Malformed::TooLarge => "the server sent headers that are too large".to_owned(),
        })?;
        let Some(call) = self.calls.iter_mut().find(|call| call.id == stream) else { return Ok(()) };
        if headers.get(":status").is_some_and(|code| code.starts_with(b"1")) {
            return Ok(());
        }
        match (&call.headers, end) {
            (None, false) => call.headers = Some(headers),
            (None, true) => self.end(stream, Some(headers), None),
            (Some(_), _) => self.end(stream, None, Some(headers)),
        }
        Ok(())
    }

    fn data(&mut self, head: &Head, content: &[u8]) {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == head.stream) else { return };
        if let Err(status) = call.message.add(content, REPLY_LIMIT) {
            if let Some(call) = self.remove(head.stream) {
                let _ = call.reply.send(Err(status));
                self.reset(head.stream, Reason::Cancel);
            }
        } else if head.is(frame::END_STREAM) {
            self.end(head.stream, None, None);
        }
    }

    /// The server has said everything about a call.
    fn end(&mut self, id: u32, headers: Option<Headers>, trailers: Option<Headers>) {
        let Some(call) = self.remove(id) else { return };
        if !call.body.is_empty() {
            // It does not want the rest.
            self.reset(id, Reason::NoError);
        }
        let headers = headers.or(call.headers).unwrap_or_default();
        let _ = call.reply.send(Ok(Answer { headers, trailers, message: call.message }));
    }

    fn remove(&mut self, id: u32) -> Option<Open> {
        let at = self.calls.iter().position(|call| call.id == id)?;
        Some(self.calls.remove(at))
    }
}

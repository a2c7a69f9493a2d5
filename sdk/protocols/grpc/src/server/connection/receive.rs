//! What a client sends: frames, and the calls that they open.

use sdk_protocols_compression::Coding;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Block, Broken, Complete, Connection, Data, Phase};
use super::{EMPTY_FRAMES, FAREWELL_PING, HEADER_LIMIT, LARGEST_CONTROL, LARGEST_FRAME, RESETS};
use crate::http2::frame::{self, Head, Reason};
use crate::http2::hpack::{self, Malformed};
use crate::message::Gathered;
use crate::server::stream::{Pending, State, Stream};
use crate::server::{Headers, Service, parse_timeout};
use crate::{Code, Status};

impl<S: AsyncRead + AsyncWrite + Unpin, T: Service> Connection<S, T> {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self.frames(bytes) {
            Ok(taken) => self.carry.extend_from_slice(&bytes[taken..]),
            Err(Broken(reason, why)) => {
                frame::put_goaway(&mut self.out, self.last_stream, reason, why);
                self.streams.clear();
                self.complete.clear();
                self.calls.clear();
                self.close();
            }
        }
        if self.carry.is_empty() {
            self.carry.shrink_to(0);
        }
    }

    /// Takes all frames that are whole, and what has come of a DATA frame; answers how many bytes that were.
    fn frames(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut at = 0;
        if !self.greeted {
            let known = bytes.len().min(frame::PREFACE.len());
            if bytes[..known] != frame::PREFACE[..known] {
                return Err(Broken(Reason::Protocol, "not HTTP/2"));
            }
            if known < frame::PREFACE.len() {
                return Ok(0);
            }
            self.greeted = true;
            at = known;
        }
        loop {
            if let Some(data) = &mut self.data {
                let part = data.left.min(bytes.len() - at);
                data.left -= part;
                let (stream, end) = (data.stream, data.left == 0);
                let last = end && data.end;
                // The last bytes are padding.
                let padding = data.padding;
                let content = part.min((data.left + part).saturating_sub(padding));
                if end {
                    self.data = None;
                }
                self.add_data(stream, &bytes[at..at + content], last);
                at += part;
                if !end {
                    return Ok(at);
                }
            }
            let Some(head) = bytes.get(at..at + frame::HEAD).and_then(|head| head.try_into().ok()) else {
                return Ok(at);
            };
            let head = Head::read(head);
            if self.block.is_some() && head.kind != frame::CONTINUATION {
                return Err(Broken(Reason::Protocol, "headers must be continued"));
            }
            let start = at + frame::HEAD;
            if head.kind == frame::DATA {
                let Some(taken) = self.begin_data(&head, &bytes[start..])? else { return Ok(at) };
                at = start + taken;
                continue;
            }
            if head.length > LARGEST_CONTROL {
                return Err(Broken(Reason::FrameSize, "frame is too large"));
            }
            let Some(payload) = bytes.get(start..start + head.length) else { return Ok(at) };
            self.frame(&head, payload)?;
            at = start + head.length;
        }
    }

    /// The head of a DATA frame, and the byte that tells its padding; `None` when that has not come.
    fn begin_data(&mut self, head: &Head, rest: &[u8]) -> Result<Option<usize>, Broken> {
        if head.length > LARGEST_FRAME {
            return Err(Broken(Reason::FrameSize, "DATA frame is too large"));
        }
        if head.stream == 0 || head.stream > self.last_stream {
            return Err(Broken(Reason::Protocol, "DATA for a stream that is not open"));
        }
        let (mut padding, mut taken) = (0, 0);
        if head.is(frame::PADDED) {
            let Some(length) = rest.first() else { return Ok(None) };
            (padding, taken) = (usize::from(*length), 1);
            if padding >= head.length {
                return Err(Broken(Reason::Protocol, "more padding than there is frame"));
            }
        }
        self.idle_frame(head.length == 0 && !head.is(frame::END_STREAM))?;
        self.receive_window -= head.length as i64;
        if self.receive_window < 0 {
            return Err(Broken(Reason::FlowControl, "more than the connection's window"));
        }
        match self.stream(head.stream) {
            Some(stream) if stream.ended => {
                return Err(Broken(Reason::StreamClosed, "DATA after the end of the stream"));
            }
            Some(stream) => stream.held += head.length as u32,
            // Answered or taken back: what was under way is not kept.
            None => self.released += head.length as u32,
        }
        self.data =
            Some(Data { stream: head.stream, left: head.length - taken, padding, end: head.is(frame::END_STREAM) });
        Ok(Some(taken))
    }

    fn add_data(&mut self, id: u32, content: &[u8], end: bool) {
        let limit = self.config.message_limit;
        let Some(at) = self.position(id) else { return };
        let stream = &mut self.streams[at];
        if i64::from(stream.held) > limit as i64 + (64 << 10) {
            // The prefix would have told, so this is padding.
            frame::put_reset(&mut self.out, id, Reason::FlowControl);
            return self.remove(at);
        }
        let State::Receiving { gathered, .. } = &mut stream.state else { return };
        if let Err(refused) = gathered.add(content, limit) {
            return self.refuse(id, &refused);
        }
        if end {
            self.message_ended(at);
        }
    }

    fn message_ended(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        stream.ended = true;
        if let State::Receiving { call, gathered } = std::mem::replace(&mut stream.state, State::Called(None)) {
            self.complete.push(Complete { stream: stream.id, call, gathered });
        }
    }

    fn frame(&mut self, head: &Head, payload: &[u8]) -> Result<(), Broken> {
        match head.kind {
            frame::HEADERS => {
                let content = frame::content(head, payload).ok_or(Broken(Reason::Protocol, "padding"))?;
                if head.stream.is_multiple_of(2) {
                    return Err(Broken(Reason::Protocol, "clients open odd streams"));
                }
                let block =
                    Block { stream: head.stream, end_stream: head.is(frame::END_STREAM), bytes: content.to_vec() };
                self.header_block(block, head.is(frame::END_HEADERS))
            }
            frame::CONTINUATION => {
                let mut block = self.block.take().ok_or(Broken(Reason::Protocol, "nothing to continue"))?;
                if block.stream != head.stream {
                    return Err(Broken(Reason::Protocol, "headers of another stream"));
                }
                self.idle_frame(payload.is_empty())?;
                block.bytes.extend_from_slice(payload);
                self.header_block(block, head.is(frame::END_HEADERS))
            }
            frame::RST_STREAM => {
                frame::number(payload).ok_or(Broken(Reason::FrameSize, "RST_STREAM"))?;
                if head.stream == 0 || head.stream > self.last_stream {
                    return Err(Broken(Reason::Protocol, "RST_STREAM for a stream that is not open"));
                }
                if let Some(at) = self.position(head.stream) {
                    self.remove(at);
                    self.resets += 1;
                    if self.resets > RESETS {
                        return Err(Broken(Reason::EnhanceYourCalm, "too many calls taken back"));
                    }
                }
                Ok(())
            }
            frame::SETTINGS if head.is(frame::ACK) => Ok(()),
            frame::SETTINGS => {
                let settings = frame::settings(payload).ok_or(Broken(Reason::FrameSize, "SETTINGS"))?;
                for (name, value) in settings {
                    if name == frame::INITIAL_WINDOW_SIZE {
                        if i64::from(value) > frame::LARGEST_WINDOW {
                            return Err(Broken(Reason::FlowControl, "window is too large"));
                        }
                        let difference = i64::from(value) - self.initial_send_window;
                        self.initial_send_window = i64::from(value);
                        self.streams.iter_mut().for_each(|stream| stream.send_window += difference);
                    }
                }
                frame::put(&mut self.out, frame::SETTINGS, frame::ACK, 0, b"");
                self.send_replies();
                Ok(())
            }
            frame::PING => {
                if payload.len() != 8 {
                    return Err(Broken(Reason::FrameSize, "PING"));
                }
                if !head.is(frame::ACK) {
                    frame::put(&mut self.out, frame::PING, frame::ACK, 0, payload);
                } else if payload == FAREWELL_PING && self.phase == Phase::Leaving {
                    self.drain();
                }
                Ok(())
            }
            frame::WINDOW_UPDATE => {
                let increment = frame::number(payload).ok_or(Broken(Reason::FrameSize, "WINDOW_UPDATE"))?;
                self.window_update(head.stream, i64::from(increment & 0x7fff_ffff))
            }
            frame::PUSH_PROMISE => Err(Broken(Reason::Protocol, "clients do not push")),
            frame::PRIORITY if payload.len() != 5 => Err(Broken(Reason::FrameSize, "PRIORITY")),
            // GOAWAY: its calls go on. Priorities say nothing to us, and what is unknown is to be ignored.
            _ => Ok(()),
        }
    }

    fn window_update(&mut self, id: u32, increment: i64) -> Result<(), Broken> {
        if id == 0 {
            self.send_window += increment;
            if increment == 0 || self.send_window > frame::LARGEST_WINDOW {
                return Err(Broken(Reason::FlowControl, "WINDOW_UPDATE"));
            }
        } else if id > self.last_stream {
            return Err(Broken(Reason::Protocol, "WINDOW_UPDATE for a stream that is not open"));
        } else if let Some(at) = self.position(id) {
            self.streams[at].send_window += increment;
            if increment == 0 || self.streams[at].send_window > frame::LARGEST_WINDOW {
                frame::put_reset(&mut self.out, id, Reason::FlowControl);
                self.remove(at);
            }
        }
        self.send_replies();
        Ok(())
    }

    fn idle_frame(&mut self, idle: bool) -> Result<(), Broken> {
        self.empty_frames = if idle { self.empty_frames + 1 } else { 0 };
        if self.empty_frames > EMPTY_FRAMES {
            return Err(Broken(Reason::EnhanceYourCalm, "too many empty frames"));
        }
        Ok(())
    }

    fn header_block(&mut self, block: Block, whole: bool) -> Result<(), Broken> {
        if block.bytes.len() > HEADER_LIMIT {
            return Err(Broken(Reason::EnhanceYourCalm, "headers are too large"));
        }
        if !whole {
            self.block = Some(block);
            return Ok(());
        }
        // Decoded in any case: the table must stay the client's.
        let headers = match self.decoder.decode(&block.bytes, HEADER_LIMIT) {
            Ok(headers) => Some(headers),
            Err(Malformed::TooLarge) => None,
            Err(Malformed::Compression) => return Err(Broken(Reason::Compression, "headers cannot be decoded")),
        };
        if block.stream <= self.last_stream {
            return self.trailers(&block);
        }
        if self.phase == Phase::Draining {
            return Ok(());
        }
        self.last_stream = block.stream;
        if self.streams.len() >= self.config.max_streams as usize {
            frame::put_reset(&mut self.out, block.stream, Reason::RefusedStream);
            return Ok(());
        }
        self.open(block.stream, headers.as_ref(), block.end_stream);
        Ok(())
    }

    /// Headers of a stream that is open: what a client says behind its message, which is nothing that we use.
    fn trailers(&mut self, block: &Block) -> Result<(), Broken> {
        let Some(at) = self.position(block.stream) else { return Ok(()) };
        if self.streams[at].ended || !block.end_stream {
            return Err(Broken(Reason::Protocol, "headers in the middle of a stream"));
        }
        self.message_ended(at);
        Ok(())
    }

    fn open(&mut self, id: u32, headers: Option<&Headers>, ended: bool) {
        let stream = |state| Stream { id, ended, held: 0, send_window: self.initial_send_window, state };
        let Some(headers) = headers else {
            self.streams.push(stream(State::Called(None)));
            return self.refuse(id, &Status::new(Code::ResourceExhausted, "headers are too large"));
        };
        if headers.get(":method") != Some(b"POST") || !is_grpc(headers) {
            self.streams.push(stream(State::Called(None)));
            let mut block = Vec::new();
            hpack::put(&mut block, ":status", b"415");
            frame::put_headers(&mut self.out, id, true, &block, frame::DEFAULT_FRAME);
            return self.finish(id);
        }
        match self.admit(headers) {
            Err(refused) => {
                self.streams.push(stream(State::Called(None)));
                self.refuse(id, &refused);
            }
            Ok(call) => {
                self.streams.push(stream(State::Receiving { call, gathered: Gathered::default() }));
                if ended {
                    self.message_ended(self.streams.len() - 1);
                }
            }
        }
    }

    fn admit(&self, headers: &Headers) -> Result<Pending<T::Admission>, Status> {
        let text = |name| headers.get(name).map_or(Some(""), |value| std::str::from_utf8(value).ok());
        let encoding = text("grpc-encoding").unwrap_or("?");
        let Some(coding) = Coding::of_grpc(encoding) else {
            let message = format!("grpc: Decompressor is not installed for grpc-encoding {encoding:?}");
            return Err(Status::new(Code::Unimplemented, message));
        };
        let path = text(":path").unwrap_or_default();
        let admission = self.service.admit(path, headers)?;
        Ok(Pending { admission, coding, deadline: text("grpc-timeout").and_then(parse_timeout) })
    }
}

fn is_grpc(headers: &Headers) -> bool {
    let kind = headers.get("content-type").unwrap_or_default();
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

//! From a whole message to what the client reads.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use bytes::Buf as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{CallResult, Complete, Connection, ENCODINGS};
use crate::http2::frame::{self, Reason};
use crate::http2::hpack;
use crate::server::Service;
use crate::server::stream::State;
use crate::{Code, Status, message, status};

impl<S: AsyncRead + AsyncWrite + Unpin, T: Service> Connection<S, T> {
    /// Gives the service what has come whole. Most calls are answered here.
    pub(super) fn start_calls(&mut self, cx: &mut Context<'_>) {
        for Complete { stream, call, gathered } in std::mem::take(&mut self.complete) {
            let Some(at) = self.position(stream) else { continue };
            let message = match gathered.finish(call.coding, self.config.message_limit) {
                Ok(message) => message,
                Err(refused) => {
                    self.refuse(stream, &refused);
                    continue;
                }
            };
            let future = self.service.clone().call(call.admission, message);
            let mut future = Box::pin(AssertUnwindSafe(future).catch_unwind());
            let panicked = |_| Err(Status::new(Code::Internal, "the call panicked"));
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                self.answer(stream, result.unwrap_or_else(panicked));
                continue;
            }
            let deadline = call.deadline;
            let waiting = async move {
                let result = match deadline {
                    None => future.await,
                    Some(deadline) => match tokio::time::timeout(deadline, future).await {
                        Ok(result) => result,
                        Err(_) => Ok(Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded"))),
                    },
                };
                result.unwrap_or_else(panicked)
            };
            let (handle, registration) = AbortHandle::new_pair();
            self.streams[at].state = State::Called(Some(handle));
            let waiting = Abortable::new(waiting, registration);
            // Polled with the others, before the connection waits again.
            self.calls.push(Box::pin(async move { (stream, waiting.await) }));
        }
    }

    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((stream, result))) = self.calls.poll_next_unpin(cx) {
            if let Ok(result) = result {
                self.answer(stream, result);
            }
        }
    }

    fn answer(&mut self, id: u32, result: CallResult) {
        let Some(at) = self.position(id) else { return };
        self.resets = self.resets.saturating_sub(1);
        match result {
            Err(refused) => self.refuse(id, &refused),
            Ok(reply) => {
                let mut block = Vec::with_capacity(24);
                hpack::put_known(&mut block, ":status", "200");
                hpack::put(&mut block, "content-type", b"application/grpc");
                frame::put_headers(&mut self.out, id, false, &block, frame::DEFAULT_FRAME);
                let mut data = message::prefix(false, reply.len());
                if !reply.is_empty() {
                    data = [&data[..], &reply].concat().into();
                }
                self.streams[at].state = State::Replying(data);
                self.send_replies();
            }
        }
    }

    /// Sends as much of the replies as the client's windows let.
    pub(super) fn send_replies(&mut self) {
        let mut at = 0;
        while at < self.streams.len() {
            let stream = &mut self.streams[at];
            let State::Replying(data) = &mut stream.state else {
                at += 1;
                continue;
            };
            while data.has_remaining() {
                let room = stream.send_window.min(self.send_window).min(frame::DEFAULT_FRAME as i64);
                let part = data.len().min(usize::try_from(room).unwrap_or(0));
                if part == 0 {
                    break;
                }
                frame::put(&mut self.out, frame::DATA, 0, stream.id, &data.split_to(part));
                stream.send_window -= part as i64;
                self.send_window -= part as i64;
            }
            if data.has_remaining() {
                at += 1;
                continue;
            }
            let mut block = Vec::with_capacity(16);
            hpack::put(&mut block, "grpc-status", b"0");
            let id = stream.id;
            frame::put_headers(&mut self.out, id, true, &block, frame::DEFAULT_FRAME);
            self.finish(id);
        }
    }

    /// Answers with a status alone.
    pub(super) fn refuse(&mut self, id: u32, refused: &Status) {
        let mut block = Vec::with_capacity(64);
        hpack::put_known(&mut block, ":status", "200");
        hpack::put(&mut block, "content-type", b"application/grpc");
        if refused.code == Code::Unimplemented {
            hpack::put(&mut block, "grpc-accept-encoding", ENCODINGS);
        }
        for (name, value) in &status::headers(refused) {
            hpack::put(&mut block, name.as_str(), value.as_bytes());
        }
        frame::put_headers(&mut self.out, id, true, &block, frame::DEFAULT_FRAME);
        self.finish(id);
    }

    /// A stream that was answered to the end.
    pub(super) fn finish(&mut self, id: u32) {
        let Some(at) = self.position(id) else { return };
        if !self.streams[at].ended {
            // The client need not go on sending.
            frame::put_reset(&mut self.out, id, Reason::NoError);
        }
        self.remove(at);
    }

    pub(super) fn remove(&mut self, at: usize) {
        let stream = self.streams.remove(at);
        self.released += stream.held;
        if let State::Called(Some(call)) = stream.state {
            call.abort();
        }
        self.times.last_call = self.times.last_read;
        self.tell_window();
    }
}

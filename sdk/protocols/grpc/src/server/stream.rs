//! One call on a connection: what has come of it, and what is still to be sent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::AbortHandle;
use sdk_protocols_compression::Coding;

use crate::message::Gathered;

pub(super) struct Stream<A> {
    pub(super) id: u32,
    /// The client has sent everything.
    pub(super) ended: bool,
    /// Bytes of the client that count against the connection's window until the call is over.
    pub(super) held: u32,
    /// What we may still send.
    pub(super) send_window: i64,
    pub(super) state: State<A>,
}

pub(super) enum State<A> {
    /// The message is coming.
    Receiving { call: Pending<A>, gathered: Gathered },
    /// The service has the message. The handle is there once the call has to wait.
    Called(Option<AbortHandle>),
    /// The reply waits for the client's window.
    Replying(Bytes),
}

/// A call without its message.
pub(super) struct Pending<A> {
    pub(super) admission: A,
    pub(super) coding: Coding,
    pub(super) deadline: Option<Duration>,
}

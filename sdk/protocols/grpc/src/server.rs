//! The answering side: unary calls over one HTTP/2 connection.
//!
//! A connection is one task. It reads into a buffer that all connections of a thread share, copies each message once into
//! an allocation of its own length, and polls the call in place: a call that is taken at once costs no task, no timer and
//! no second wake-up, and its answer leaves with the same write as others that are ready. Compared with hyper and h2 at
//! 200 requests of 40 KB a second, a whole collector takes a quarter less CPU time (2.28 -> 1.67 µs per span).

mod connection;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Status;
pub use crate::http2::hpack::Headers;
use connection::Connection;

/// Answers calls.
pub trait Service: Send + Sync + 'static {
    /// What is known of a call before its message has come.
    type Admission: Send + 'static;

    /// Looks at the headers of a call, before anything of its message is kept.
    ///
    /// # Errors
    /// The call is answered with this, and its message is not read.
    fn admit(&self, path: &str, headers: &Headers) -> Result<Self::Admission, Status>;

    /// Answers a call with the bytes of its reply. Dropped when the client goes away, or its deadline passes.
    fn call(
        self: Arc<Self>,
        admission: Self::Admission,
        message: Bytes,
    ) -> impl Future<Output = Result<Bytes, Status>> + Send + 'static;
}

/// The bounds of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The largest message, as sent and as decompressed, in bytes.
    pub message_limit: usize,
    /// Calls at a time; further ones are refused, and may be sent again.
    pub max_streams: u32,
    /// Closed after this long without a call.
    pub idle: Option<Duration>,
    /// Closed when this old, give or take a tenth, so that not all clients come back at once.
    pub age: Option<Duration>,
    /// How long the calls of an old connection may go on.
    pub age_grace: Option<Duration>,
    /// The client is asked for a sign of life after this long without one.
    pub ping_after: Duration,
    /// And is gone when it gives none for this long.
    pub ping_timeout: Duration,
}

impl Default for Config {
    /// grpc-go's defaults, but for the streams, which it does not limit.
    fn default() -> Config {
        Config {
            message_limit: 4 << 20,
            max_streams: 1000,
            idle: None,
            age: None,
            age_grace: None,
            ping_after: Duration::from_secs(2 * 60 * 60),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves a connection until the client closes it, or until `closing` resolves and its last call has been answered.
///
/// # Errors
/// What went wrong with the connection; calls under way are dropped.
pub async fn serve<S, T>(
    stream: S,
    service: Arc<T>,
    config: Config,
    closing: impl Future<Output = ()> + Send,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: Service,
{
    let mut closing = std::pin::pin!(closing);
    let mut connection = Connection::new(stream, service, config);
    std::future::poll_fn(|cx| connection.poll(cx, closing.as_mut())).await
}

/// Up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_a_unit() {
        assert_eq!(parse_timeout("10S"), Some(Duration::from_secs(10)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "10", "123456789S", "1é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }
}

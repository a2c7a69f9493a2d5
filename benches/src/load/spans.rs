//! Spans by gRPC.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdk_testing::spans::requests;
use tokio::net::TcpStream;

/// What is sent: spans of about 400 bytes with 10 attributes each.
#[derive(Clone, Copy)]
pub struct Spans {
    /// Spans in one request.
    pub per_request: u64,
    /// Spans in a second.
    pub per_second: u64,
    /// Whether requests are compressed.
    pub gzip: bool,
}

impl Spans {
    /// Mean bytes of one span, not compressed.
    pub fn bytes(self) -> f64 {
        let requests = requests(self.per_request);
        requests.iter().map(Bytes::len).sum::<usize>() as f64 / (requests.len() as u64 * self.per_request) as f64
    }

    /// The requests as gRPC messages.
    fn messages(self) -> Vec<Bytes> {
        let message = |request: Bytes| {
            let (flag, body) = match self.gzip {
                true => (1, gzip(&request)),
                false => (0, request.to_vec()),
            };
            [&[flag][..], &(body.len() as u32).to_be_bytes(), &body].concat().into()
        };
        requests(self.per_request).into_iter().map(message).collect()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it")
}

/// Sends spans by gRPC at a fixed rate over one connection; returns how many were answered with status 0.
pub async fn send_spans(port: u16, spans: Spans, duration: Duration) -> std::io::Result<u64> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let messages = spans.messages();
    let accepted = Arc::new(AtomicU64::new(0));
    let in_flight = Arc::new(tokio::sync::Semaphore::new(64));
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * spans.per_second as f64) as u64 / spans.per_request;
        while sent < due {
            let permit = in_flight.clone().acquire_owned().await.expect("never closed");
            let mut client = client.clone().ready().await.map_err(std::io::Error::other)?;
            let request =
                http::Request::post("http://bench/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .header("grpc-encoding", if spans.gzip { "gzip" } else { "identity" })
                    .body(())
                    .expect("constant parts");
            let (response, mut body) = client.send_request(request, false).map_err(std::io::Error::other)?;
            let message = messages[(sent % 8) as usize].clone();
            body.reserve_capacity(message.len());
            body.send_data(message, true).map_err(std::io::Error::other)?;
            let accepted = accepted.clone();
            tokio::spawn(async move {
                let _permit = permit;
                if grpc_ok(response).await.unwrap_or(false) {
                    accepted.fetch_add(spans.per_request, Relaxed);
                }
            });
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(5), in_flight.acquire_many(64)).await;
    Ok(accepted.load(Relaxed))
}

async fn grpc_ok(response: h2::client::ResponseFuture) -> Result<bool, h2::Error> {
    let response = response.await?;
    let status = |headers: &http::HeaderMap| headers.get("grpc-status").map(|status| status == "0");
    if let Some(ok) = status(response.headers()) {
        return Ok(ok);
    }
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        let _ = body.flow_control().release_capacity(piece?.len());
    }
    Ok(body.trailers().await?.as_ref().and_then(status).unwrap_or(false))
}

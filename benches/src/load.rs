//! What collectors are fed with: scrape targets, log files, spans.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use sdk_testing::wire::{put_bytes, put_fixed64, put_number};

/// Samples on a page of [`targets`].
pub const SAMPLES_PER_PAGE: usize = 550;

/// A page like a node exporter's: 550 samples of 3 labels and fewer, in families, values that vary.
fn page(variant: u64) -> Bytes {
    let mut text = String::new();
    let mut random = variant.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for family in 0..55 {
        text += &format!("# HELP node_family_{family}_bytes_total What family {family} has counted so far.\n");
        text += &format!("# TYPE node_family_{family}_bytes_total counter\n");
        for series in 0..SAMPLES_PER_PAGE / 55 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Two in five change from scrape to scrape, as on a real host.
            let value =
                if series % 5 < 2 { (random >> 20) as f64 / 64.0 } else { f64::from(family * 1000 + series as u32) };
            text += &format!(
                "node_family_{family}_bytes_total{{device=\"disk{series}\",mode=\"read-{}\"}} {value}\n",
                series % 3
            );
        }
    }
    text.into()
}

/// Serves 8 variants of the page at any path, on a free port.
pub async fn targets() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let pages: Arc<Vec<Bytes>> = Arc::new((0..8).map(page).collect());
    let turn = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pages, turn) = (pages.clone(), turn.clone());
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |_| {
                    let body = pages[(turn.fetch_add(1, Relaxed) % 8) as usize].clone();
                    async move {
                        http::Response::builder()
                            .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
                            .body(Full::new(body))
                    }
                });
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(port)
}

/// Bytes of one line of [`write_cri`], line feed included.
pub const LINE_BYTES: usize = 300;

/// Appends CRI lines of 300 bytes with ascending `seq=N` at a fixed rate; returns how many.
pub async fn write_cri(path: &Path, lines_per_second: u64, duration: Duration) -> std::io::Result<u64> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let start = Instant::now();
    let mut written = 0;
    let mut buffer = Vec::new();
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * lines_per_second as f64) as u64;
        buffer.clear();
        for sequence in written..due {
            put_line(&mut buffer, sequence);
        }
        file.write_all(&buffer)?;
        written = due;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(written)
}

fn put_line(buffer: &mut Vec<u8>, sequence: u64) {
    let start = buffer.len();
    let _ = write!(
        buffer,
        "2026-11-21T12:{:02}:{:02}.{:09}Z stdout F {{\"level\":\"info\",\"path\":\"/api/v1/items/{}\",\"status\":200,\"msg\":\"seq={sequence} request served\"",
        sequence / 60_000 % 60,
        sequence / 1000 % 60,
        sequence % 1000 * 1_000_000,
        sequence.wrapping_mul(2_654_435_761) % 100_000,
    );
    let used = buffer.len() - start;
    let mut random = sequence;
    let _ = write!(buffer, ",\"pad\":\"");
    for _ in used + 8..LINE_BYTES - 3 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        buffer.push(b'a' + (random >> 59) as u8 % 26);
    }
    buffer.extend_from_slice(b"\"}\n");
}

/// Spans in one request of [`send_spans`].
pub const SPANS_PER_REQUEST: u64 = 100;

/// Eight different requests of 100 spans of about 470 bytes, each with 10 attributes.
fn requests() -> Vec<Bytes> {
    (0..8u64)
        .map(|variant| {
            let mut scope = Vec::new();
            put_bytes(&mut scope, 1, &{
                let mut name = Vec::new();
                put_bytes(&mut name, 1, b"bench");
                name
            });
            for index in 0..SPANS_PER_REQUEST {
                put_bytes(&mut scope, 2, &span(variant * SPANS_PER_REQUEST + index));
            }
            let mut resource = Vec::new();
            put_bytes(&mut resource, 1, &attribute("service.name", "checkout"));
            let mut resource_spans = Vec::new();
            put_bytes(&mut resource_spans, 1, &resource);
            put_bytes(&mut resource_spans, 2, &scope);
            let mut request = Vec::new();
            put_bytes(&mut request, 1, &resource_spans);
            request.into()
        })
        .collect()
}

fn span(seed: u64) -> Vec<u8> {
    let id = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut span = Vec::new();
    put_bytes(&mut span, 1, &[id.to_be_bytes(), (!id).to_be_bytes()].concat());
    put_bytes(&mut span, 2, &id.rotate_left(17).to_be_bytes());
    put_bytes(&mut span, 5, b"GET /api/v1/items/{id}");
    put_number(&mut span, 6, 2);
    put_fixed64(&mut span, 7, 1_760_000_000_000_000_000 + seed);
    put_fixed64(&mut span, 8, 1_760_000_000_005_000_000 + seed);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/items/{id}"),
        ("http.response.status", "200"),
        ("server.address", "items.internal"),
        ("client.address", "10.1.2.3"),
        ("user_agent.original", "Mozilla/5.0 bench"),
        ("network.protocol", "http/1.1"),
        ("deployment", "production"),
        ("thread.name", "worker-17"),
    ] {
        put_bytes(&mut span, 9, &attribute(name, value));
    }
    put_bytes(&mut span, 9, &attribute("request.id", &format!("{id:016x}")));
    span
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    put_bytes(&mut any, 1, value.as_bytes());
    let mut pair = Vec::new();
    put_bytes(&mut pair, 1, key.as_bytes());
    put_bytes(&mut pair, 2, &any);
    pair
}

/// Mean bytes of one span as sent.
pub fn span_bytes() -> f64 {
    let requests = requests();
    requests.iter().map(Bytes::len).sum::<usize>() as f64 / (requests.len() as u64 * SPANS_PER_REQUEST) as f64
}

/// Sends spans by gRPC at a fixed rate over one connection; returns how many were answered with status 0.
pub async fn send_spans(port: u16, spans_per_second: u64, duration: Duration) -> std::io::Result<u64> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let framed: Vec<Bytes> = requests()
        .into_iter()
        .map(|request| [&[0][..], &(request.len() as u32).to_be_bytes(), &request].concat().into())
        .collect();
    let accepted = Arc::new(AtomicU64::new(0));
    let in_flight = Arc::new(tokio::sync::Semaphore::new(64));
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * spans_per_second as f64) as u64 / SPANS_PER_REQUEST;
        while sent < due {
            let permit = in_flight.clone().acquire_owned().await.expect("never closed");
            let mut client = client.clone().ready().await.map_err(std::io::Error::other)?;
            let request =
                http::Request::post("http://bench/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(())
                    .expect("constant parts");
            let (response, mut body) = client.send_request(request, false).map_err(std::io::Error::other)?;
            let frame = framed[(sent % 8) as usize].clone();
            body.reserve_capacity(frame.len());
            body.send_data(frame, true).map_err(std::io::Error::other)?;
            let accepted = accepted.clone();
            tokio::spawn(async move {
                let _permit = permit;
                if grpc_ok(response).await.unwrap_or(false) {
                    accepted.fetch_add(SPANS_PER_REQUEST, Relaxed);
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

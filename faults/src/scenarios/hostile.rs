//! Clients that vanish, attack or lie, beside one that does not; and a backend that dies without a word.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::{Channel, ChannelConfig, Code, Connect, Stream};

use super::RATE;
use crate::collector::{Collector, said};
use crate::config::Otlp;
use crate::load::Load;
use crate::pushes::{Kind, Pushes};
use crate::site::{Site, a_moment};
use crate::wire::Wire;
use crate::{Outcome, Settings};

/// Memory that may come to what an idle process holds, in MiB.
const MORE_MEMORY: u64 = 96;

/// What one of the clients leaves open.
const HALF_OPEN: usize = 60;

/// Connections to the backend, and of the client that behaves.
const OTHER_FILES: u64 = 30;

/// The trace method of OTLP.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Spans of a client that behaves, by HTTP and on by HTTP.
async fn peaceful(settings: Settings) -> Result<(Site<Pushes>, Collector), String> {
    let site = Site::otlp(settings, Pushes::new(Kind::Spans), &Otlp::default(), async |port| Ok(port)).await?;
    let collector = site.start().await?;
    Ok((site, collector))
}

/// What the client that behaves was promised.
async fn undisturbed(site: &Site<Pushes>) -> Outcome {
    let (refused, unanswered) = (site.log.refused(), site.log.unanswered());
    site.all_arrive()
        .await
        .nothing_lost()
        .nothing_repeated()
        .promised(refused == 0, format!("{refused} spans of another client were refused"))
        .promised(unanswered == 0, format!("{unanswered} spans of another client were not answered"))
}

/// Clients that send the half of a request by HTTP or gRPC, or nothing at all, and are not heard of again.
pub async fn half_open(settings: Settings) -> Result<Outcome, String> {
    let (site, collector) = peaceful(settings).await?;
    let before = collector.holdings()?;
    let load = site.log.load(RATE);
    let http = collector.port_of("otelcol.receiver.otlp.a").await?;
    let grpc = collector.port_of("otelcol.receiver.otlp.b").await?;
    let body = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000000\r\n\r\nhalf";
    // A call, and a frame of it that promises more than comes.
    let mut call = [PREFACE, &frame(SETTINGS, 0, 0, b""), &headers(1)].concat();
    call.extend([0, 0x40, 0, DATA, 0, 0, 0, 0, 1, 0, 0, 0, 0x40, 0]);
    let mut gone = Vec::new();
    for (port, half) in [(http, &b""[..]), (http, b"POST /v1/tra"), (http, body.as_bytes()), (grpc, b""), (grpc, &call)]
    {
        for _ in 0..HALF_OPEN {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(said)?;
            stream.write_all(half).map_err(said)?;
            gone.push(stream);
        }
    }
    let ((), most) = collector.watched(tokio::time::sleep(site.settings.time)).await?;
    load.stop();
    let count = gone.len();
    // Now the network tells what has become of them.
    drop(gone);
    let left = files_go_back(&collector, before.files + OTHER_FILES, site.settings.patience).await?;
    let more = most.saturating_sub(before.anonymous) / 1024;
    Ok(undisturbed(&site)
        .await
        .noting(format!("{count} clients; {more} MiB more while they were there"))
        .promised(more <= MORE_MEMORY, format!("{more} MiB more memory"))
        .promised(left <= before.files + OTHER_FILES, format!("{left} files are open, {} were before", before.files)))
}

/// Waits until so few files are open, with patience; how many are.
async fn files_go_back(collector: &Collector, few: u64, patience: Duration) -> Result<u64, String> {
    let end = std::time::Instant::now() + patience;
    loop {
        let files = collector.holdings()?.files;
        if files <= few || std::time::Instant::now() > end {
            return Ok(files);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A backend behind a network that dies without a word and comes back for others, over and over. What it had taken when the
/// answer was lost comes again.
pub async fn dead_network(settings: Settings, grpc: bool) -> Result<Outcome, String> {
    let otlp = Otlp { grpc, timeout: Some("1s"), ..Otlp::default() };
    let mut wire = None;
    let through = async |port| {
        let new = Wire::to(port).await?;
        let port = new.port;
        wire = Some(new);
        Ok(port)
    };
    let site = Site::otlp(settings, Pushes::new(Kind::Spans), &otlp, through).await?;
    let wire = wire.ok_or("there is no wire")?;
    let _collector = site.start().await?;
    let load = site.log.load(RATE);
    for _ in 0..site.settings.kills {
        a_moment(Duration::from_millis(1200)).await;
        wire.die();
        a_moment(Duration::from_millis(2000)).await;
        wire.revive();
    }
    load.stop();
    let note = format!("died {} times", site.settings.kills);
    Ok(site.all_arrive().await.noting(note).nothing_lost())
}

/// Calls that are taken back as soon as they are made, as many as the connection takes (CVE-2023-44487).
pub async fn rapid_reset(settings: Settings) -> Result<Outcome, String> {
    let (site, collector) = peaceful(settings).await?;
    let before = collector.holdings()?;
    let load = site.log.load(RATE);
    let resets = Arc::new(AtomicU64::new(0));
    let cut_off = Arc::new(AtomicU64::new(0));
    let mut attacks = Vec::new();
    for receiver in ["otelcol.receiver.otlp.a", "otelcol.receiver.otlp.b"] {
        let port = collector.port_of(receiver).await?;
        let (resets, cut_off) = (resets.clone(), cut_off.clone());
        attacks.push(Load::start(20_000, move |_| {
            // Until the server has had enough.
            if attack(port, &resets).is_err() {
                cut_off.fetch_add(1, Relaxed);
            }
            true
        }));
    }
    let ((), most) = collector.watched(tokio::time::sleep(site.settings.time)).await?;
    attacks.into_iter().for_each(Load::stop);
    load.stop();
    let more = most.saturating_sub(before.anonymous) / 1024;
    let (resets, cut_off) = (resets.load(Relaxed), cut_off.load(Relaxed));
    Ok(undisturbed(&site)
        .await
        .noting(format!("{resets} calls taken back, {cut_off} connections cut off; {more} MiB more meanwhile"))
        .promised(cut_off > 0, "nobody was cut off")
        .promised(more <= MORE_MEMORY, format!("{more} MiB more memory")))
}

/// One connection, until it breaks or has taken back very many calls.
fn attack(port: u16, resets: &AtomicU64) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat())?;
    for block in 0..100 {
        let mut calls = Vec::new();
        for call in 0..100 {
            let id = 2 * (block * 100 + call) + 1;
            calls.extend(headers(id));
            calls.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
        }
        stream.write_all(&calls)?;
        resets.fetch_add(100, Relaxed);
    }
    stream.shutdown(Shutdown::Both)
}

/// Requests that become more than either protocol takes (20 MiB by HTTP, 4 MiB by gRPC) from few bytes, in every coding.
pub async fn bombs(settings: Settings) -> Result<Outcome, String> {
    let (site, collector) = peaceful(settings).await?;
    let before = collector.holdings()?;
    let load = site.log.load(RATE);
    let http = collector.port_of("otelcol.receiver.otlp.a").await?;
    let grpc = collector.port_of("otelcol.receiver.otlp.b").await?;
    let (zeros, fewer) = (vec![0; 21 << 20], Bytes::from(vec![0; 5 << 20]));
    let mut wrong = Vec::new();
    let mut most = 0;
    let mut count = 0;
    let rounds = site.settings.kills.div_ceil(10);
    for name in ["gzip", "zstd", "zlib", "deflate", "snappy", "lz4"] {
        let coding = Coding::of_http(name).ok_or("an unknown coding")?;
        let bomb = coding.compress(&zeros, Some(1));
        for _ in 0..rounds {
            count += 1;
            let sending = tokio::task::spawn_blocking({
                let bomb = bomb.clone();
                move || {
                    crate::pushes::post(
                        http,
                        "/v1/traces",
                        &format!("Content-Type: application/x-protobuf\r\nContent-Encoding: {name}\r\n"),
                        &bomb,
                    )
                }
            });
            let (answer, held) = collector.watched(sending).await?;
            most = most.max(held);
            match answer.map_err(said)? {
                Ok(413) => {}
                other => wrong.push(format!("HTTP {name}: {other:?}")),
            }
        }
    }
    for coding in [Coding::Gzip, Coding::Zstd, Coding::SnappyFramed, Coding::Zlib] {
        for _ in 0..rounds {
            count += 1;
            let channel = channel(grpc, coding)?;
            let call = channel.unary(EXPORT, vec![fewer.clone()], Default::default());
            let (answer, held) = collector.watched(call).await?;
            most = most.max(held);
            match answer {
                Err(status) if status.code == Code::ResourceExhausted => {}
                other => wrong.push(format!("gRPC {coding:?}: {other:?}")),
            }
        }
    }
    load.stop();
    let more = most.saturating_sub(before.anonymous) / 1024;
    Ok(undisturbed(&site)
        .await
        .noting(format!("{count} bombs, all refused as too large; {more} MiB more meanwhile"))
        .promised(wrong.is_empty(), format!("answered otherwise: {wrong:?}"))
        .promised(more <= MORE_MEMORY, format!("{more} MiB more memory")))
}

// === gRPC of a client ===

struct To(u16);

impl Connect for To {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.0)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

fn channel(port: u16, coding: Coding) -> Result<Channel, String> {
    let config = ChannelConfig {
        authority: format!("http://127.0.0.1:{port}").parse().map_err(said)?,
        headers: Default::default(),
        coding,
        level: Some(1),
        ping_interval: None,
        ping_timeout: Duration::from_secs(20),
        ping_when_idle: false,
    };
    Ok(Channel::new(config, Arc::new(To(port))))
}

// === frames of HTTP/2 (RFC 9113) ===

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call: literals without indexing (RFC 7541, 6.2.2), but for the method and the scheme.
fn headers(stream: u32) -> Vec<u8> {
    // :method POST, :scheme http; the names of :path, :authority and content-type stand in the static table.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(&[0x04][..], EXPORT), (&[0x01], "x"), (&[0x0f, 0x10], "application/grpc")] {
        block.extend(name);
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

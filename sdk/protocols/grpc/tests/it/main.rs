//! Client and server against each other, over memory and over sockets of this machine.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::server::{Config, Headers, Service, serve};
use sdk_protocols_grpc::{Channel, ChannelConfig, Code, Connect, Status, Stream};

mod hostile;
mod peers;

/// Answers every call with a function of its message.
pub struct Answers(pub fn(Bytes) -> Result<Bytes, Status>);

impl Service for Answers {
    type Admission = ();

    fn admit(&self, path: &str, _: &Headers) -> Result<(), Status> {
        if path == "/a.B/C" { Ok(()) } else { Err(Status::new(Code::Unimplemented, "no such method")) }
    }

    async fn call(self: Arc<Self>, (): (), message: Bytes) -> Result<Bytes, Status> {
        (self.0)(message)
    }
}

/// Every connection is a pipe to a server that calls `answer`.
struct Pipe {
    answer: fn(Bytes) -> Result<Bytes, Status>,
    limit: usize,
    connections: AtomicUsize,
    /// Cuts connections after this long.
    age: Option<Duration>,
}

impl Connect for Pipe {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async {
            self.connections.fetch_add(1, Ordering::Relaxed);
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let config = Config { message_limit: self.limit, age: self.age, ..Config::default() };
            let serving = serve(theirs, Arc::new(Answers(self.answer)), config, std::future::pending());
            drop(base_sys::task::spawn("server", serving));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

fn channel(answer: fn(Bytes) -> Result<Bytes, Status>, coding: Coding, age: Option<Duration>) -> (Channel, Arc<Pipe>) {
    let pipe = Arc::new(Pipe { answer, limit: 1 << 20, connections: AtomicUsize::new(0), age });
    let config = ChannelConfig {
        authority: "http://test:4317".parse().unwrap(),
        headers: HeaderMap::new(),
        coding,
        level: None,
        ping_interval: None,
        ping_timeout: Duration::from_secs(20),
        ping_when_idle: false,
    };
    (Channel::new(config, pipe.clone()), pipe)
}

fn reverse(message: Bytes) -> Result<Bytes, Status> {
    Ok(message.iter().rev().copied().collect::<Vec<_>>().into())
}

#[tokio::test]
async fn a_message_arrives_whole_under_every_coding() {
    for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd, Coding::SnappyFramed, Coding::Zlib] {
        let (channel, pipe) = channel(reverse, coding, None);
        for size in [0, 1, 20_000, 700_000] {
            let sent: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[i as usize % 3]).collect();
            let (head, tail) = sent.split_at(sent.len() / 2);
            let segments = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
            let reply = channel.unary("/a.B/C", segments, HeaderMap::new()).await.unwrap();
            assert_eq!(reply.message, reverse(sent.into()).unwrap(), "{coding:?} {size}");
        }
        assert_eq!(pipe.connections.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_status_arrives_with_its_delay() {
    let status = || Status::new(Code::ResourceExhausted, "full").retry_after(Duration::from_secs(3));
    let (channel, _) = channel(
        |_| Err(Status::new(Code::ResourceExhausted, "full").retry_after(Duration::from_secs(3))),
        Coding::Identity,
        None,
    );
    assert_eq!(channel.unary("/a.B/C", vec![Bytes::from_static(b"x")], HeaderMap::new()).await, Err(status()));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_also_when_it_hides_in_compression() {
    for coding in [Coding::Identity, Coding::Gzip] {
        let (channel, _) = channel(reverse, coding, None);
        let refused = channel.unary("/a.B/C", vec![vec![0; 2 << 20].into()], HeaderMap::new()).await.unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted, "{refused:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_made_again_without_an_error() {
    let (channel, pipe) = channel(reverse, Coding::Identity, Some(Duration::from_millis(50)));
    for round in 1..=3 {
        let reply = channel.unary("/a.B/C", vec![Bytes::from_static(b"ab")], HeaderMap::new()).await.unwrap();
        assert_eq!(reply.message, "ba");
        assert_eq!(pipe.connections.load(Ordering::Relaxed), round);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn calls_at_the_same_time_do_not_disturb_each_other() {
    let (channel, pipe) = channel(reverse, Coding::Identity, None);
    let calls = (0..200_u32).map(|n| {
        let channel = channel.clone();
        let sent: Vec<u8> = (0..n * 300).map(|i| (i ^ n) as u8).collect();
        async move {
            let reply = channel.unary("/a.B/C", vec![sent.clone().into()], HeaderMap::new()).await.unwrap();
            assert_eq!(reply.message, reverse(sent.into()).unwrap());
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(pipe.connections.load(Ordering::Relaxed), 1);
}

struct Nowhere;

impl Connect for Nowhere {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) })
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_unavailable() {
    let (_, pipe) = channel(reverse, Coding::Identity, None);
    let config = ChannelConfig::plain("http://test:4317".parse().unwrap());
    drop(pipe);
    let refused = Channel::new(config, Arc::new(Nowhere)).unary("/a.B/C", vec![], HeaderMap::new()).await.unwrap_err();
    assert_eq!((refused.code, &refused.message[..]), (Code::Unavailable, "cannot connect: connection refused"));
}

/// The first connection says this, and is never heard of again.
struct DeadAtFirst {
    pipe: Pipe,
    says: &'static [u8],
    dead: std::sync::Mutex<Option<tokio::io::DuplexStream>>,
}

impl Connect for DeadAtFirst {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async {
            if self.dead.lock().unwrap().is_some() {
                return self.pipe.connect().await;
            }
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            tokio::io::AsyncWriteExt::write_all(&mut theirs, self.says).await?;
            *self.dead.lock().unwrap() = Some(theirs);
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dead_without_a_word_is_left() {
    // Whether it has greeted or not; the second takes 10 s to notice.
    for (says, lost) in [(&[0, 0, 0, 4, 0, 0, 0, 0, 0][..], 1), (&[], 2)] {
        let pipe = Pipe { answer: reverse, limit: 1 << 20, connections: AtomicUsize::new(0), age: None };
        let config = ChannelConfig::plain("http://test:4317".parse().unwrap());
        let channel = Channel::new(config, Arc::new(DeadAtFirst { pipe, says, dead: Default::default() }));
        let call = || {
            let call = channel.unary("/a.B/C", vec![Bytes::from_static(b"abc")], HeaderMap::new());
            tokio::time::timeout(Duration::from_secs(6), call)
        };
        for _ in 0..lost {
            assert!(!matches!(call().await, Ok(Ok(_))));
            // Its task hears of it.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(call().await.unwrap().unwrap().message, "cba");
    }
}

//! A peer that answers by a script and remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task::Scope;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What a peer does with a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0 closes the connection without an answer.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
}

/// What a peer was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An HTTP server on the loopback interface. The last answer of its script repeats.
pub(crate) struct Peer {
    pub(crate) address: String,
    shared: Arc<Shared>,
    _scope: Scope,
}

struct Shared {
    script: Mutex<(Vec<Answer>, usize)>,
    asked: Mutex<Vec<Asked>>,
    arrived: Notify,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    pub(crate) fn page(content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Answer { status: 200, headers, body: body.into(), delay: Duration::ZERO }
    }
}

impl Peer {
    pub(crate) async fn start(script: Vec<Answer>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared =
            Arc::new(Shared { script: Mutex::new((script, 0)), asked: Mutex::default(), arrived: Notify::new() });
        let scope = Scope::new();
        let (served, connections) = (shared.clone(), scope.clone());
        scope.spawn("peer", async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn("connection", serve(stream, served.clone()));
            }
        });
        Peer { address, shared, _scope: scope }
    }

    /// Puts the server's address where the script says `@self@`, and times where it says `@now…@`.
    pub(crate) fn say_own_address(&self) {
        let mut script = self.shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in &mut script.0 {
            for (_, value) in &mut answer.headers {
                *value = value.replace("@self@", &format!("http://{}", self.address));
            }
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Asked> {
        let enough = async {
            loop {
                let arrived = self.shared.arrived.notified();
                let asked = self.asked();
                if asked.len() >= count {
                    return asked;
                }
                arrived.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), enough).await;
        waited.unwrap_or_else(|_| panic!("asked {} times, not {count}", self.asked().len()))
    }
}

/// `@now-5250@` is the time of serving less 5250 ms, `@now_s-5@` is less 5 s and in seconds.
fn timed(body: Vec<u8>) -> Vec<u8> {
    let Ok(mut text) = String::from_utf8(body.clone()) else { return body };
    while let Some(start) = text.find("@now") {
        let Some(end) = text[start + 1..].find('@') else { return body };
        let word = text[start + 4..start + 1 + end].to_owned();
        let now = base_sys::clock::now_ms();
        let time = match word.strip_prefix("_s") {
            Some(offset) => now / 1000 + offset.parse::<i64>().unwrap_or(0),
            None => now + word.parse::<i64>().unwrap_or(0),
        };
        text.replace_range(start..start + 2 + end, &time.to_string());
    }
    text.into_bytes()
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let mut lines = text.split("\r\n");
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(name, value)| Some((name.parse::<http::HeaderName>().ok()?, value.parse().ok()?)))
            .collect();
        let length: usize = headers.get("content-length").map_or(Some(0), |v| v.to_str().ok()?.parse().ok())?;
        while read.len() < head + 4 + length {
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        }
        let body = read[head + 4..head + 4 + length].to_vec();
        read.drain(..head + 4 + length);

        let answer = {
            let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
            let (answers, next) = &mut *script;
            let answer = answers[(*next).min(answers.len() - 1)].clone();
            *next += 1;
            answer
        };
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { path, headers, body });
        shared.arrived.notify_waiters();
        tokio::time::sleep(answer.delay).await;
        let answer = Answer { body: timed(answer.body), ..answer };
        if answer.status == 0 {
            return None;
        }
        let mut reply = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            reply += &format!("{name}: {value}\r\n");
        }
        let mut reply = format!("{reply}\r\n").into_bytes();
        reply.extend_from_slice(&answer.body);
        stream.write_all(&reply).await.ok()?;
    }
}

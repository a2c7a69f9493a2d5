//! Scrape targets: one that numbers its pages, and some that mean harm.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sdk_protocols_compression::Coding;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::collector::{Collector, said};
use crate::load::Load;
use crate::site::Source;

/// A target whose page is one sample, the number of the page. What it has served must arrive.
pub struct Numbered {
    /// Where it listens.
    pub port: u16,
    served: AtomicU64,
    /// Pages beyond this need not arrive.
    most: AtomicU64,
}

/// A target that means harm.
pub struct Hostile {
    /// Where it listens.
    pub port: u16,
    /// What it does.
    pub harm: Harm,
    asked: Arc<AtomicU64>,
}

/// How a page is made that nobody should have to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It has no end.
    Endless,
    /// A byte comes each second.
    Drips,
    /// And not even the head of the answer comes faster.
    DripsHead,
    /// It is elsewhere, which is here.
    Redirects,
    /// The same, and that answer has no end.
    RedirectsEndlessly,
    /// It has ten million series.
    ManySeries,
    /// It is small, and becomes a gigabyte.
    Bomb,
}

impl Harm {
    /// All of them.
    pub const ALL: [Harm; 7] = [
        Harm::Endless,
        Harm::Drips,
        Harm::DripsHead,
        Harm::Redirects,
        Harm::RedirectsEndlessly,
        Harm::ManySeries,
        Harm::Bomb,
    ];
}

/// Series of [`Harm::ManySeries`].
const SERIES: u64 = 10_000_000;

/// How often something is sent that is to come slowly, or must not take the whole machine.
const DRIP: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(4);

/// What is sent at once, about.
const CHUNK: usize = 64 << 10;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n";

// === impl Numbered ===

impl Numbered {
    /// On a free port.
    pub async fn start() -> Result<Arc<Numbered>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(said)?;
        let port = listener.local_addr().map_err(said)?.port();
        let target = Arc::new(Numbered { port, served: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) });
        let serves = target.clone();
        serve(listener, move |mut stream| {
            let target = serves.clone();
            async move {
                while is_asked(&mut stream).await? {
                    // 0 is what the mark for the end of a series looks like.
                    let page = format!("page {}\n", target.served.load(Relaxed) + 1);
                    let answer = format!("{HEAD}Content-Length: {}\r\n\r\n{page}", page.len());
                    stream.write_all(answer.as_bytes()).await?;
                    target.served.fetch_add(1, Relaxed);
                }
                Ok(())
            }
        });
        Ok(target)
    }

    /// What is served from now on need not arrive: the collector is about to be stopped.
    pub fn ends(&self) {
        self.most.store(self.served.load(Relaxed), Relaxed);
    }

    /// Nobody has asked yet.
    pub fn is_unasked(&self) -> bool {
        self.served.load(Relaxed) == 0
    }
}

impl Source for Numbered {
    /// It is asked at the collector's own rate.
    fn load(self: &Arc<Numbered>, _: u64) -> Load {
        Load::start(1, |_| false)
    }

    fn write(&self, _: u64) -> Result<(), String> {
        Err("a target is asked, and does not write".to_owned())
    }

    fn numbers(&self) -> Vec<u64> {
        (1..=self.served.load(Relaxed).min(self.most.load(Relaxed))).collect()
    }

    fn note(&self) -> String {
        String::new()
    }

    fn sent(&self) -> &'static str {
        "prometheus_remote_storage_samples_total"
    }

    async fn started(&self, _: &Collector) -> Result<(), String> {
        Ok(())
    }
}

/// Scrapes of a series by the times of its samples: how often it was not scraped when it should have been, and how often it
/// was scraped twice. Samples of less than half an interval are one scrape too many.
pub fn gaps_and_doubles(times: &BTreeMap<Vec<u8>, Vec<i64>>, interval: Duration) -> (u64, u64) {
    let interval = interval.as_millis() as i64;
    let (mut gaps, mut doubles) = (0, 0);
    for times in times.values() {
        let mut times = times.clone();
        times.sort_unstable();
        for pair in times.windows(2) {
            let apart = pair[1] - pair[0];
            gaps += u64::from(2 * apart > 3 * interval);
            doubles += u64::from(2 * apart < interval);
        }
    }
    (gaps, doubles)
}

// === impl Hostile ===

impl Hostile {
    /// On a free port.
    pub async fn start(harm: Harm) -> Result<Hostile, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(said)?;
        let port = listener.local_addr().map_err(said)?.port();
        let asked = Arc::new(AtomicU64::new(0));
        let counted = asked.clone();
        let bomb = Arc::new(if harm == Harm::Bomb { bomb()? } else { Vec::new() });
        serve(listener, move |mut stream| {
            let (counted, bomb) = (counted.clone(), bomb.clone());
            async move {
                while is_asked(&mut stream).await? {
                    counted.fetch_add(1, Relaxed);
                    harm.answer(&mut stream, port, &bomb).await?;
                }
                Ok(())
            }
        });
        Ok(Hostile { port, harm, asked })
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

impl Harm {
    async fn answer(self, stream: &mut TcpStream, port: u16, bomb: &[u8]) -> io::Result<()> {
        match self {
            Harm::Endless => {
                stream.write_all(format!("{HEAD}Connection: close\r\n\r\n").as_bytes()).await?;
                endless(stream, u64::MAX).await
            }
            Harm::ManySeries => {
                stream.write_all(format!("{HEAD}Connection: close\r\n\r\n").as_bytes()).await?;
                endless(stream, SERIES).await?;
                // That is how this body ends.
                Err(io::ErrorKind::Other.into())
            }
            Harm::Drips => {
                stream.write_all(format!("{HEAD}Content-Length: 1000000\r\n\r\n").as_bytes()).await?;
                drip(stream, b"a_name_that_goes_on_and_on_").await
            }
            Harm::DripsHead => drip(stream, HEAD.as_bytes()).await,
            Harm::Redirects => {
                let to = format!("Location: http://127.0.0.1:{port}/metrics\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(format!("HTTP/1.1 302 Found\r\n{to}").as_bytes()).await
            }
            Harm::RedirectsEndlessly => {
                let to = format!("Location: http://127.0.0.1:{port}/metrics\r\nConnection: close\r\n\r\n");
                stream.write_all(format!("HTTP/1.1 302 Found\r\n{to}").as_bytes()).await?;
                endless(stream, u64::MAX).await
            }
            Harm::Bomb => {
                let rest = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
                stream.write_all(format!("{HEAD}{rest}").as_bytes()).await?;
                stream.write_all(bomb).await
            }
        }
    }
}

/// Series, each another one.
async fn endless(stream: &mut TcpStream, series: u64) -> io::Result<()> {
    let mut next = 0;
    let mut chunk = Vec::with_capacity(CHUNK);
    while next < series {
        chunk.clear();
        while chunk.len() < CHUNK && next < series {
            io::Write::write_fmt(&mut chunk, format_args!("a{next} 1\n"))?;
            next += 1;
        }
        stream.write_all(&chunk).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(())
}

/// A gigabyte of ends of lines, one member of gzip after the other.
fn bomb() -> Result<Vec<u8>, String> {
    let member = Coding::of_http("gzip").ok_or("an unknown coding")?.compress(&vec![b'\n'; 32 << 20], Some(1));
    Ok(member.repeat(32))
}

/// Whether one more request has come.
async fn is_asked(stream: &mut TcpStream) -> io::Result<bool> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Each connection as `each` says, until the process ends.
fn serve<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    each: impl Fn(TcpStream) -> F + Send + 'static,
) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An end that has gone is what is wanted.
            tokio::spawn(each(stream));
        }
    });
}

//! A stand-in for a Docker engine: containers that write lines.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::Line;

/// How many containers there are.
pub const CONTAINERS: u64 = 20;

/// How often a container writes.
const TICK: Duration = Duration::from_millis(20);

/// What each container writes from a moment on.
#[derive(Clone, Copy)]
struct Output {
    since: Instant,
    per_second: u64,
    lines: u64,
}

/// The engine.
pub struct Engine {
    output: watch::Sender<Option<Output>>,
}

// === impl Engine ===

impl Engine {
    /// Listens at a socket; nobody writes anything yet.
    pub fn start(socket: &Path) -> std::io::Result<Engine> {
        let listener = UnixListener::bind(socket)?;
        let (output, follow) = watch::channel(None);
        tokio::spawn(async move {
            let listings = Arc::new(containers());
            while let Ok((stream, _)) = listener.accept().await {
                let (listings, follow) = (listings.clone(), follow.clone());
                // Who has enough hangs up.
                tokio::spawn(async move { answer(stream, &listings, follow).await });
            }
        });
        Ok(Engine { output })
    }

    /// From now on all containers together write so many lines of 300 bytes in a second, for so long; how many in all.
    pub fn write(&self, per_second: u64, duration: Duration) -> u64 {
        let per_second = per_second / CONTAINERS;
        let lines = per_second * duration.as_secs();
        self.output.send_replace(Some(Output { since: Instant::now(), per_second, lines }));
        lines * CONTAINERS
    }
}

async fn answer(stream: UnixStream, containers: &str, output: watch::Receiver<Option<Output>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        while stream.read_line(&mut request).await? > 2 {}
        let Some(path) = request.split(' ').nth(1) else { return Ok(()) };
        if path.contains("/logs") {
            // Whoever knows HTTP/1.1 gets each write as a chunk.
            let chunked = request.contains("HTTP/1.1");
            let container = path.split("/containers/c").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
            return follow(stream.into_inner(), container.unwrap_or_default(), chunked, output).await;
        }
        if path.contains("/events") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            // Nothing happens until the client goes.
            stream.read_line(&mut request).await?;
            return Ok(());
        }
        let body = match path {
            _ if path.contains("/_ping") => "OK",
            _ if path.contains("/version") => r#"{"ApiVersion":"1.44","MinAPIVersion":"1.24","Version":"25.0.0"}"#,
            _ if path.contains("/containers/json") => containers,
            _ if path.contains("/networks") => r#"[{"Id":"n1","Name":"bridge","Scope":"local"}]"#,
            _ => {
                r#"{"Id":"c","State":{"Status":"running","Running":true,"FinishedAt":"0001-01-01T00:00:00Z"},"Config":{"Tty":false},"HostConfig":{"LogConfig":{"Type":"json-file"}}}"#
            }
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        if !request.starts_with("HEAD") {
            stream.write_all(body.as_bytes()).await?;
        }
    }
}

/// One write for each line, as the engine does.
async fn follow(
    mut stream: UnixStream,
    container: u64,
    chunked: bool,
    mut output: watch::Receiver<Option<Output>>,
) -> std::io::Result<()> {
    stream
        .write_all(match chunked {
            true => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            false => b"HTTP/1.0 200 OK\r\n\r\n",
        })
        .await?;
    let output = match output.wait_for(Option::is_some).await.map(|output| *output) {
        Ok(Some(output)) => output,
        _ => return Ok(()),
    };
    let mut frame = Vec::new();
    let mut written = 0;
    while written < output.lines {
        let due = (output.since.elapsed().as_secs_f64() * output.per_second as f64) as u64;
        for index in written..due.min(output.lines) {
            put_frame(&mut frame, index, index * CONTAINERS + container);
            if chunked {
                stream.write_all(&[format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n"].concat()).await?;
            } else {
                stream.write_all(&frame).await?;
            }
        }
        written = due.min(output.lines);
        tokio::time::sleep(TICK).await;
    }
    // A container that runs on, and is silent.
    std::future::pending().await
}

/// A frame of the output, with the line's time: a millisecond after the one before.
fn put_frame(frame: &mut Vec<u8>, index: u64, sequence: u64) {
    frame.clear();
    frame.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    let (minute, second, milli) = (index / 60_000 % 60, index / 1000 % 60, index % 1000);
    frame.extend_from_slice(format!("2026-11-21T12:{minute:02}:{second:02}.{milli:03}000000Z ").as_bytes());
    Line::Json.put(frame, sequence);
    let length = frame.len() as u32 - 8;
    frame[4..8].copy_from_slice(&length.to_be_bytes());
}

/// What `docker ps` lists.
fn containers() -> String {
    let one = |number: u64| {
        format!(
            r#"{{"Id":"c{number}","Names":["/service-{number}"],"Image":"service","State":"running","Labels":{{"app":"service"}},"Ports":[],"HostConfig":{{"NetworkMode":"bridge"}},"NetworkSettings":{{"Networks":{{"bridge":{{"NetworkID":"n1","IPAddress":"172.17.0.{}"}}}}}}}}"#,
            number + 2
        )
    };
    format!("[{}]", (0..CONTAINERS).map(one).collect::<Vec<_>>().join(","))
}

//! What a line of a followed log costs before anybody looks at it: CPU time of the thread that reads, for each way in which
//! the engine tells the end. A stand-in in another thread writes lines as fast as they are taken.
//!
//! ```text
//! cargo bench -p sdk-docker
//! ```
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sdk_docker::frames::Splitter;
use sdk_docker::{End, Engine, Host};

/// Lines of each run.
const LINES: usize = 300_000;

/// Bytes of a line without its time.
const LENGTH: usize = 270;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever has enough hangs up.
            let _ = serve(stream);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("| end of the log | ns per line |");
    println!("|---|--:|");
    for (name, end) in [("marked (HTTP/1.1)", End::Marked), ("unmarked (HTTP/1.0)", End::Unmarked)] {
        let engine = Engine::new(Host::Unix(path.clone()), None, Duration::from_secs(30));
        let spent = runtime.block_on(follow(&engine, end));
        println!("| {name} | {:.0} |", spent as f64 / LINES as f64);
    }
}

async fn follow(engine: &Engine, end: End) -> u64 {
    let mut logs = engine.logs("c1", "0", false, end).await.expect("the stand-in answers");
    let mut splitter = Splitter::new(false);
    let mut lines = Vec::new();
    let mut count = 0;
    let start = cpu();
    while count < LINES {
        assert!(logs.read(splitter.buffer()).await.expect("the stand-in writes") > 0, "the log has no end");
        splitter.split(&mut lines).expect("good frames");
        count += lines.len();
        lines.clear();
    }
    cpu() - start
}

/// Each line in a frame, each frame in a chunk if the client knows chunks; one write for each, as the engine does.
fn serve(stream: UnixStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let chunked = head.contains("HTTP/1.1");
    let mut stream = stream;
    stream.write_all(match chunked {
        true => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        false => b"HTTP/1.0 200 OK\r\n\r\n",
    })?;
    let text = format!("2026-11-22T07:42:13.624474701Z {}\n", "x".repeat(LENGTH));
    let frame = [&[1, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let frame = match chunked {
        true => [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n"].concat(),
        false => frame,
    };
    loop {
        stream.write_all(&frame)?;
    }
}

fn cpu() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread has a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

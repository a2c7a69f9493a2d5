//! What a line costs on its way into a push request, compression included: CPU time of this thread.
//!
//! ```text
//! cargo bench -p sdk-protocols-loki
//! ```
#![allow(clippy::print_stdout)]

use bytes::Bytes;
use nix::time::{ClockId, clock_gettime};
use sdk_labels::Labels;
use sdk_protocols_loki::{Add, Push};
use sdk_signals::LogEntry;

/// As `loki.write` fills requests.
const REQUEST_BYTES: usize = 1 << 20;

/// How long each case runs, in nanoseconds of CPU time.
const MEASURE: u64 = 1_000_000_000;

fn main() {
    println!("| bytes per line | streams | ns per line | MB per CPU-second | bytes on the wire |");
    println!("|--:|--:|--:|--:|--:|");
    for (length, streams) in [(40, 1), (157, 1), (300, 1), (300, 3), (300, 100)] {
        measure(length, streams);
    }
}

fn measure(length: usize, streams: usize) {
    let entries: Vec<LogEntry> = (0..REQUEST_BYTES / length).map(|number| entry(number, length)).collect();
    let labels: Vec<Labels> = (0..streams)
        .map(|stream| {
            Labels::from_pairs([("filename", format!("/var/log/pods/{stream}/0.log")), ("job", "demo".into())])
        })
        .collect();
    let mut push = Push::new();
    let (mut requests, mut wire, mut spent) = (0, 0, 0);
    let start = cpu();
    while spent < MEASURE {
        for (number, entry) in entries.iter().enumerate() {
            let Add::Stream(stream) = push.stream(&labels[number % streams], 0) else { unreachable!("no bound") };
            push.add(stream, entry);
        }
        wire = push.finish().len();
        requests += 1;
        spent = cpu() - start;
    }
    let lines = (requests * entries.len()) as f64;
    println!(
        "| {length} | {streams} | {:.0} | {:.0} | {:.1} |",
        spent as f64 / lines,
        lines * length as f64 / 1e6 / (spent as f64 / 1e9),
        wire as f64 / entries.len() as f64
    );
}

/// Lines say the same few things again and again, and differ in numbers.
fn entry(number: usize, length: usize) -> LogEntry {
    const SAID: [&str; 4] = [
        "request handled by worker after retry of upstream; ",
        "cache miss for key of session, reading from the primary; ",
        "snapshot written to disk and older segments removed; ",
        "slow query: sequential scan on orders, consider an index; ",
    ];
    let mut line = format!("seq={number} trace={:016x} ", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    while line.len() < length {
        line.push_str(SAID[(number * 7 + line.len()) % SAID.len()]);
    }
    line.truncate(length);
    LogEntry::new(1_772_600_000_000_000_000 + number as i64 * 1_000_003, Bytes::from(line))
}

fn cpu() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread has a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

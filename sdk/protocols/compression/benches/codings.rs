//! What compressing and expanding costs, and how small it makes things: CPU time of this thread, by coding and level.
//!
//! ```text
//! cargo bench -p sdk-protocols-compression                  # a request of 1,000 spans
//! cargo bench -p sdk-protocols-compression -- build.log     # and the beginning of a file
//! ```
#![allow(clippy::print_stdout)]

use nix::time::{ClockId, clock_gettime};
use sdk_protocols_compression::Coding;

/// Figures are for so many bytes, which is a span.
const UNIT: f64 = 404.0;
/// Of a file.
const MOST: usize = 400_000;
/// The lowest of so many runs.
const RUNS: usize = 30;

fn main() {
    let spans = sdk_testing::spans::requests(1000).remove(0);
    println!("| | coding | level | compressing, ns | bytes | expanding, ns |");
    println!("|---|---|--:|--:|--:|--:|");
    measure("spans", &spans);
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let mut file = std::fs::read(&path).expect("a file that can be read");
        file.truncate(MOST);
        measure(&path, &file);
    }
}

fn measure(name: &str, body: &[u8]) {
    let levels = |coding, levels: &'static [i32]| levels.iter().map(move |level| (coding, Some(*level)));
    let cases = levels(Coding::Gzip, &[1, 2, 3, 4, 5, 6, 7, 8, 9])
        .chain(levels(Coding::Zlib, &[1]))
        .chain(levels(Coding::Zstd, &[1, 3]))
        .chain([(Coding::SnappyBlock, None), (Coding::SnappyFramed, None), (Coding::Lz4, None)]);
    for (coding, level) in cases {
        let coded = coding.compress(body, level);
        let compressing = lowest(|| coding.compress(body, level));
        let expanding = lowest(|| coding.expand(&coded, body.len()).expect("it was compressed here"));
        let of_a_unit = |what: f64| what * UNIT / body.len() as f64;
        println!(
            "| {name} | {coding} | {} | {:.0} | {:.1} | {:.0} |",
            level.map_or_else(String::new, |level| level.to_string()),
            of_a_unit(compressing),
            of_a_unit(coded.len() as f64),
            of_a_unit(expanding)
        );
    }
}

fn lowest(act: impl Fn() -> Vec<u8>) -> f64 {
    let run = |_| {
        let start = cpu();
        std::hint::black_box(act());
        cpu() - start
    };
    (0..RUNS).map(run).min().unwrap_or_default() as f64
}

fn cpu() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

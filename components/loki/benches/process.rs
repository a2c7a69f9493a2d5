//! What stages cost: CPU time of this thread and calls of the allocator for each line, over batches as a file source makes
//! them.
//!
//! ```text
//! cargo bench -p components-loki
//! cargo bench -p components-loki -- regex
//! valgrind --tool=callgrind --toggle-collect='*Pipeline::run*' target/release/deps/process-* 20 regex
//! ```
#![allow(clippy::print_stdout)]
#![allow(unsafe_code)] // a global allocator is an unsafe trait

#[path = "process/cases.rs"]
mod cases;
#[path = "process/counting.rs"]
mod counting;

use nix::time::{ClockId, clock_gettime};

use cases::{CASES, Case};

/// As much as a source reads at once.
const BATCH_BYTES: usize = 256 << 10;

/// How long each case runs, in nanoseconds of CPU time.
const MEASURE: u64 = 1_000_000_000;

fn main() {
    let mut wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    // A number is how many batches run, whatever time they take: for counting instructions.
    let batches = wanted.iter().position(|word| word.parse::<u64>().is_ok());
    let batches = batches.and_then(|at| wanted.remove(at).parse().ok());
    println!("| pipeline | bytes per line | ns per line | MB per CPU-second | allocations per line |");
    println!("|---|--:|--:|--:|--:|");
    for case in CASES {
        if wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word)) {
            measure(case, batches);
        }
    }
}

fn measure(case: &Case, wanted: Option<u64>) {
    let mut pipeline = case.pipeline();
    let batch = case.batch(BATCH_BYTES.div_ceil((case.line)(0).len()));
    let (lines, bytes) = (batch.len() as u64, batch.line_bytes() as u64);
    let (mut batches, mut spent, mut allocations) = (0, 0, 0);
    let start = cpu();
    while wanted.map_or(spent < MEASURE, |wanted| batches < wanted) {
        for _ in 0..wanted.unwrap_or(10) {
            let batch = batch.clone();
            let before = counting::allocations();
            let finished = pipeline.run(batch);
            allocations += counting::allocations() - before;
            assert!(finished.batch.len() as u64 == lines || !case.keeps_count);
        }
        batches += wanted.unwrap_or(10);
        spent = cpu() - start;
    }
    let all = (batches * lines) as f64;
    let per_second = (batches * bytes) as f64 / 1e6 / (spent as f64 / 1e9);
    println!(
        "| {}{} | {} | {:.0} | {per_second:.0} | {:.2} |",
        case.name,
        if case.is_common { "" } else { " (no common path)" },
        bytes / lines,
        spent as f64 / all,
        allocations as f64 / all
    );
}

/// CPU time of this thread in nanoseconds: it does not depend on who else uses the machine.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

//! What stages ask the allocator for. A batch may cost something, a line may not.
#![allow(unsafe_code)] // a global allocator is an unsafe trait

#[path = "../benches/process/cases.rs"]
mod cases;
#[path = "../benches/process/counting.rs"]
mod counting;

use cases::{CASES, Case};

/// Buffers grow by doubling.
const GROWTH: u64 = 16;

/// Allocations of a batch of so many lines, the pipeline having seen such a batch before.
fn of_a_batch(case: &Case, lines: usize) -> u64 {
    let mut pipeline = case.pipeline();
    let batch = case.batch(lines);
    pipeline.run(batch.clone());
    let before = counting::allocations();
    let finished = pipeline.run(batch);
    let after = counting::allocations();
    assert!(finished.batch.len() == lines || !case.keeps_count, "{}", case.name);
    after - before
}

#[test]
fn a_line_on_a_common_path_needs_no_memory_of_its_own() {
    for case in CASES.iter().filter(|case| case.is_common) {
        let (few, many) = (of_a_batch(case, 100), of_a_batch(case, 1600));
        assert!(many <= few + GROWTH, "{}: {few} allocations for 100 lines, {many} for 1600", case.name);
    }
}

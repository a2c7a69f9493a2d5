//! What a series costs, counted at the allocator. Alone in its process, so that nobody else allocates.
#![allow(unsafe_code)] // a global allocator is an unsafe trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sdk_labels::Labels;
use sdk_series::Series;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_series_with_ten_labels_costs_less_than_300_bytes_and_gives_all_of_it_back() {
    const COUNT: usize = 100_000;
    // Names and values as long as a node exporter's: about 110 bytes of text.
    let labels = |i: usize| {
        let cpu = (i % 64).to_string();
        let instance = format!("10.0.{}.{}:9100", i / 64 / 250, i / 64 % 250);
        Labels::from_pairs([
            ("__name__", "node_cpu_secs_total"),
            ("cpu", cpu.as_str()),
            ("mode", "iowait"),
            ("instance", instance.as_str()),
            ("job", "node"),
            ("env", "prod"),
            ("zone", "eu-1"),
            ("team", "core"),
            ("rack", "r17"),
            ("os", "linux"),
        ])
    };
    drop(Series::of(&labels(0))); // the table itself
    let before = IN_USE.load(Ordering::Relaxed);
    let mut all = Vec::with_capacity(COUNT);
    all.extend((0..COUNT).map(|i| Series::of(&labels(i))));
    let handles = COUNT * size_of::<Series>();
    let each = (IN_USE.load(Ordering::Relaxed) - before - handles) / COUNT;
    let text: usize = labels(0).iter().map(|(name, value)| name.len() + value.len()).sum();
    eprintln!("a series costs {each} bytes, {text} of them text");
    assert_eq!(sdk_series::active(), COUNT);
    assert!(each <= 300, "a series costs {each} bytes, {text} of them text");

    all.truncate(COUNT / 100);
    assert_eq!(sdk_series::active(), COUNT / 100);
    drop(all);
    let left = IN_USE.load(Ordering::Relaxed) - before;
    assert!(left < COUNT, "{left} bytes are still held after the last series has gone");
}

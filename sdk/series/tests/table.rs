//! One entry per label set, for as long as somebody uses it.

use sdk_labels::Labels;
use sdk_series::Series;

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "table")])
}

#[test]
fn equal_labels_are_one_series_until_the_last_handle_is_gone() {
    let first = Series::of(&labels("one"));
    let again = Series::of(&labels("one"));
    assert_eq!(first, again);
    assert!(first.labels().same_allocation(again.labels()));
    assert_ne!(first, Series::of(&labels("two")));

    let id = first.id();
    drop(first);
    assert_eq!(Series::find(&labels("one")), Some(again.clone()));
    drop(again);
    assert_eq!(Series::find(&labels("one")), None);
    assert!(Series::of(&labels("one")).id() > id, "an id is never used again");
}

#[test]
fn threads_that_make_and_drop_the_same_series_agree() {
    let threads: Vec<_> = (0..8)
        .map(|seed: u64| {
            std::thread::spawn(move || {
                let mut held = Vec::new();
                let mut random = seed + 1;
                for _ in 0..20_000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let wanted = labels(&format!("t{}", (random >> 33) % 16));
                    let series = Series::of(&wanted);
                    assert_eq!(series.labels(), &wanted);
                    // While this handle lives, everybody else gets the same entry.
                    assert_eq!(Series::find(&wanted), Some(series.clone()));
                    held.push(series);
                    if held.len() > 8 {
                        held.swap_remove((random >> 20) as usize % 8);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    for i in 0..16 {
        assert_eq!(Series::find(&labels(&format!("t{i}"))), None);
    }
}

//! What several receivers get of a batch, for each signal.

use std::sync::atomic::AtomicU64;

use base_metrics::Registry;
use sdk_labels::Labels;
use sdk_series::Series;

use super::*;
use crate::{LogBatch, LogEntry, OtlpBatch, OtlpSignal, Outcome, Sample, SampleBatch};

/// Counts the batches that it takes, and takes them or not.
struct Taker {
    mood: Mutex<Mood>,
    taken: AtomicU64,
    asked: AtomicU64,
}

#[derive(Clone)]
enum Mood {
    Takes,
    /// Refuses so often, then takes.
    Refuses(u32, Refused),
    /// Neither takes nor refuses.
    Dead,
}

impl Taker {
    fn new<B: Batch>(name: &str, mood: Mood) -> (Arc<Taker>, Receiver<B>) {
        let taker =
            Arc::new(Taker { mood: Mutex::new(mood), taken: AtomicU64::default(), asked: AtomicU64::default() });
        (taker.clone(), Receiver::new(name, taker))
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl<B: Batch> Consumer<B> for Taker {
    fn consume(&self, _: B) -> BoxFuture<'_, Result<Delivery, Refused>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mood = {
            let mut mood = self.mood.lock().unwrap();
            let now = mood.clone();
            if let Mood::Refuses(times, _) = &mut *mood {
                *times -= 1;
                if *times == 0 {
                    *mood = Mood::Takes;
                }
            }
            now
        };
        Box::pin(async move {
            match mood {
                Mood::Takes => {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    Ok(Delivery::delivered())
                }
                Mood::Refuses(_, refused) => Err(refused),
                Mood::Dead => std::future::pending().await,
            }
        })
    }
}

/// One of two receivers refuses a few times: the other gets the batch once.
async fn a_retry_goes_only_to_who_refused<B: Batch>(batch: B) {
    let (well, first) = Taker::new("well", Mood::Takes);
    let (ill, second) = Taker::new("ill", Mood::Refuses(3, Refused::retryable("full")));
    let fan_out = FanOut::new([first, second]);
    let delivery = fan_out.consume(batch).await.expect("taken by both in the end");
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!((well.taken(), ill.taken(), ill.asked.load(Ordering::Relaxed)), (1, 1, 4));
}

fn logs() -> LogBatch {
    LogBatch::of(Labels::from_pairs([("app", "a")]), vec![LogEntry::new(1, "x"), LogEntry::new(2, "y")])
}

#[tokio::test(start_paused = true)]
async fn lines_that_one_receiver_refuses_reach_the_other_once() {
    a_retry_goes_only_to_who_refused(logs()).await;
}

#[tokio::test(start_paused = true)]
async fn samples_that_one_receiver_refuses_reach_the_other_once() {
    let series = Series::of(&Labels::from_pairs([("__name__", "a")]));
    let batch: SampleBatch = [Sample { series, timestamp: 1, value: 1.0 }].into_iter().collect();
    a_retry_goes_only_to_who_refused(batch).await;
}

#[tokio::test(start_paused = true)]
async fn spans_that_one_receiver_refuses_reach_the_other_once() {
    let payload = vec![bytes::Bytes::from_static(&[10, 0])];
    let batch = OtlpBatch { signal: OtlpSignal::Traces, payload, items: 1, origin: None };
    a_retry_goes_only_to_who_refused(batch).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_still_the_callers() {
    let (one, first) = Taker::new("one", Mood::Refuses(1, Refused::retryable("full")));
    let (two, second) = Taker::new("two", Mood::Refuses(1, Refused::permanent("never")));
    let fan_out = FanOut::new([first, second]);
    assert_eq!(fan_out.consume(logs()).await.unwrap_err(), Refused::retryable("full"));
    assert_eq!(fan_out.consume(logs()).await.unwrap().await, Outcome::Delivered);
    assert_eq!((one.taken(), two.taken()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_refuses_for_good_is_dropped_for_that_one_and_counted() {
    let registry = Registry::new();
    let scope = registry.scope(&[]);
    let (well, first) = Taker::new("well", Mood::Takes);
    let (_, second) = Taker::new("ill", Mood::Refuses(1, Refused::permanent("never")));
    let fan_out = FanOut::new([first, second]).counted(&scope);
    assert_eq!(fan_out.consume(logs()).await.unwrap().await, Outcome::Dropped);
    assert_eq!(well.taken(), 1);
    let page = registry.text();
    assert!(page.contains("ferroalloy_forward_dropped_items_total{to=\"ill\"} 2"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_holds_up_the_others_once_and_comes_back() {
    let registry = Registry::new();
    let scope = registry.scope(&[]);
    let (well, first) = Taker::new("well", Mood::Takes);
    let (dead, second) = Taker::new("dead", Mood::Dead);
    let fan_out = FanOut::new([first, second]).counted(&scope);
    let start = Instant::now();
    fan_out.consume(logs()).await.expect("one has it").detach();
    assert_eq!(start.elapsed(), PATIENCE);

    // A batch each millisecond for ten seconds: the dead one costs the living one less than a hundredth.
    let start = Instant::now();
    for _ in 0..10_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        fan_out.consume(logs()).await.expect("one has it").detach();
    }
    assert!(start.elapsed() <= Duration::from_millis(10_150), "{:?}", start.elapsed());
    assert_eq!(well.taken(), 10_001);
    assert!(registry.text().contains("ferroalloy_forward_dropped_items_total{to=\"dead\"} 20002"));

    *dead.mood.lock().unwrap() = Mood::Takes;
    tokio::time::sleep(PROBE_EVERY).await;
    assert_eq!(fan_out.consume(logs()).await.unwrap().await, Outcome::Delivered);
    assert_eq!(fan_out.consume(logs()).await.unwrap().await, Outcome::Delivered);
    assert_eq!(dead.taken(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_is_waited_for() {
    struct Slow;
    impl Consumer<LogBatch> for Slow {
        fn consume(&self, _: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok(Delivery::delivered())
            })
        }
    }
    let (_, first) = Taker::new("well", Mood::Takes);
    let fan_out = FanOut::new([first, Receiver::new("slow", Arc::new(Slow))]);
    for _ in 0..10 {
        assert_eq!(fan_out.consume(logs()).await.unwrap().await, Outcome::Delivered);
    }
}

//! Random stories: pushes, acknowledgements, crashes, stops and damage, judged by a model that knows every record.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::stories::reopen;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push {
        count: u64,
        size: usize,
    },
    Ack(usize),
    /// Waits until what was pushed is somebody's.
    Promised,
    /// Takes several and acknowledges them in another order, letting one go.
    Shuffle,
    /// The process dies: memory is gone, files stay.
    Crash,
    Stop,
    /// The process dies, and the file written last loses its last bytes.
    TornTail(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20u64, 8..900usize).prop_map(|(count, size)| Step::Push { count, size }),
        6 => (1..30usize).prop_map(Step::Ack),
        1 => Just(Step::Promised),
        2 => Just(Step::Shuffle),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => (1..2000usize).prop_map(Step::TornTail),
    ]
}

#[derive(Debug, Default)]
struct Model {
    pushed: u64,
    /// Acknowledged by us, as the endpoint.
    acked: BTreeSet<u64>,
    /// Seen at least once.
    seen: BTreeSet<u64>,
    /// May be gone: only in memory at a crash, or in a file that we tore.
    excused: BTreeSet<u64>,
}

struct World {
    dir: tempfile::TempDir,
    written: Written,
    ledger: Ledger,
    queue: Queue,
    model: Model,
    /// The last number seen since the last start; order is judged within one life.
    last: Option<u64>,
}

impl World {
    async fn new(written: Written) -> World {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(Self::config(dir.path(), written)).await.unwrap();
        World { dir, written, ledger: Ledger::default(), queue, model: Model::default(), last: None }
    }

    fn config(dir: &Path, written: Written) -> Config {
        Config { written, ..config(Some(dir), 2000) }
    }

    async fn take(&mut self) -> Option<Lease> {
        for _ in 0..400 {
            if let Some(lease) = self.queue.try_next() {
                let number = number(lease.record());
                assert!(number < self.model.pushed, "record {number} was never pushed");
                self.model.seen.insert(number);
                return Some(lease);
            }
            if self.queue.stats().records == 0 {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    fn ack(&mut self, lease: Lease) {
        let number = number(lease.record());
        self.model.acked.insert(number);
        lease.ack();
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Push { count, size } => {
                for _ in 0..count {
                    let number = self.model.pushed;
                    self.model.pushed += 1;
                    self.queue.push(record(number, size), self.ledger.page(number)).await.unwrap();
                    if self.written == Written::First {
                        assert_eq!(self.ledger.outcome(number), Some(Outcome::Delivered));
                    }
                }
            }
            Step::Ack(count) => {
                for _ in 0..count {
                    let Some(lease) = self.take().await else { break };
                    let number = number(lease.record());
                    assert!(self.last.is_none_or(|last| last < number), "{number} after {:?}", self.last);
                    self.last = Some(number);
                    self.ack(lease);
                }
            }
            // By itself it takes two seconds otherwise.
            Step::Promised if self.written == Written::default() => {}
            Step::Promised => {
                let all = async {
                    while (0..self.model.pushed).any(|number| self.ledger.outcome(number).is_none()) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), all).await.expect("it is written by itself");
            }
            Step::Shuffle => {
                let (first, second, third) = (self.take().await, self.take().await, self.take().await);
                third.into_iter().for_each(|lease| self.ack(lease));
                first.into_iter().for_each(|lease| self.ack(lease));
                drop(second);
                self.last = None;
            }
            Step::Crash => self.crash(0).await,
            Step::TornTail(bytes) => self.crash(bytes).await,
            Step::Stop => {
                let left = self.queue.close(Duration::from_secs(10)).await;
                assert_eq!(left.lost, 0);
                self.start().await;
                // More, if a later one was acknowledged before an earlier one: the cursor is a place, not a list.
                assert!(self.queue.stats().records >= left.saved);
            }
        }
    }

    async fn crash(&mut self, torn: usize) {
        settle_down(&self.queue).await;
        // Nobody was told `Delivered` about these, so their sources still have them.
        let promised = |number: &u64| self.ledger.outcome(*number) == Some(Outcome::Delivered);
        self.model.excused.extend((0..self.model.pushed).filter(|number| !promised(number)));
        let dir = self.dir.path().to_owned();
        let parked = Queue::open(config(None, 10)).await.unwrap();
        drop(std::mem::replace(&mut self.queue, parked));
        if torn > 0 {
            drop(reopen(Self::config(&dir, self.written)).await);
            self.tear(torn);
        }
        self.start().await;
    }

    fn tear(&mut self, bytes: usize) {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let Some(path) = entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max()
        else {
            return;
        };
        let whole = std::fs::read(&path).unwrap();
        let kept = &whole[..whole.len().saturating_sub(bytes)];
        // Whatever of the file's records reaches behind the cut may be gone.
        for number in 0..self.model.pushed {
            let needle = record(number, 8).body.joined();
            if let Some(at) = memchr::memmem::find(&whole, &needle)
                && at + 900 > kept.len()
            {
                self.model.excused.insert(number);
            }
        }
        std::fs::write(&path, kept).unwrap();
    }

    async fn start(&mut self) {
        self.queue = reopen(Self::config(self.dir.path(), self.written)).await;
        self.last = None;
    }

    async fn finish(&mut self) {
        while let Some(lease) = self.take().await {
            self.ack(lease);
        }
        assert_eq!(self.queue.stats().records, 0, "it can be emptied");
        let expected: BTreeSet<_> = (0..self.model.pushed).collect();
        let lost: Vec<_> =
            expected.difference(&self.model.seen).filter(|lost| !self.model.excused.contains(lost)).collect();
        assert!(lost.is_empty(), "lost {lost:?}");
        // A clean stop has written the cursor: nothing that was acknowledged comes again.
        self.queue.close(Duration::from_secs(10)).await;
        self.start().await;
        assert_eq!(self.queue.stats().records, 0);
    }
}

fn written() -> impl Strategy<Value = Written> {
    prop_oneof![
        Just(Written::First),
        Just(Written::default()),
        (0..4u64).prop_map(|millis| Written::Within(Duration::from_millis(millis))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_story_loses_a_record_that_was_promised(written in written(), steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(written).await;
            for step in steps {
                world.run(step).await;
            }
            world.finish().await;
        });
    }
}

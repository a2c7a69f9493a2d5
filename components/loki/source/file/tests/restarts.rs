//! Files that lose their name, or what they hold, while nobody reads them.

use base_sys::clock;

use super::*;

/// A log, and who reads it now and then.
struct Story {
    files: tempfile::TempDir,
    data: tempfile::TempDir,
    collector: Arc<Collector<LogBatch>>,
    scope: Scope,
    targets: Vec<&'static str>,
}

impl Story {
    fn new() -> Story {
        let (collector, next) = Collector::<LogBatch>::new();
        let [files, data] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        Story { files, data, collector, scope: receiver(next), targets: vec!["a.log"] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// It was last written to so many seconds from now: file systems do not tell times within a few milliseconds apart.
    fn written_at(&self, name: &str, seconds: i64) {
        let file = std::fs::File::options().append(true).open(self.path(name)).unwrap();
        let at = clock::now_ns() + seconds * 1_000_000_000;
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_nanos(at as u64)).unwrap();
    }

    fn compress(&self, name: &str) {
        let text = std::fs::read(self.path(name)).unwrap();
        let packed = std::fs::File::create(self.path(&format!("{name}.gz"))).unwrap();
        let mut packer = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packer.write_all(&text).unwrap();
        packer.finish().unwrap();
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn start(&self) -> Alone<File> {
        let targets: Vec<_> =
            self.targets.iter().map(|name| format!("{{ __path__ = {:?} }}", self.path(name))).collect();
        let config = config(Path::new("")).replace("{ __path__ = \"\" }", &targets.join(", "));
        let mut alone = Alone::build_in(&config, &self.scope, self.data.path()).unwrap();
        alone.run();
        alone
    }

    /// All lines that were read so far, when there are so many.
    async fn lines(&self, count: usize) -> Vec<String> {
        for _ in 0..3000 {
            if all_lines(&self.collector.batches()).len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        all_lines(&self.collector.batches())
    }

    /// Reads until there are so many lines, and stops.
    async fn read(&self, count: usize) -> Vec<String> {
        let mut alone = self.start();
        self.lines(count).await;
        alone.stop().await.unwrap();
        all_lines(&self.collector.batches())
    }
}

#[tokio::test]
async fn the_rest_of_a_file_that_was_renamed_comes_before_the_new_one() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    story.append("a.log", "two\n");
    story.rename("a.log", "a.log.1");
    story.append("a.log", "three, which is longer than what was read before\n");
    let lines = story.read(3).await;
    assert_eq!(lines[..2], ["one", "two"]);
    assert_eq!(lines.len(), 3);
    let batches = story.collector.batches();
    let names: Vec<_> = batches.iter().map(|batch| batch.groups[0].labels.get("filename").unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with("/a.log")), "{names:?}");
    // All of it is known to be read.
    assert_eq!(story.read(3).await.len(), 3);
}

#[tokio::test]
async fn what_was_not_delivered_before_a_kill_is_read_under_its_new_name() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    let slow = Arc::new(Slow::default());
    let scope = receiver(Receiver::new("slow", slow.clone()));
    let mut alone = Alone::<File>::build_in(&config(&story.path("a.log")), &scope, story.data.path()).unwrap();
    alone.run();
    story.append("a.log", "two\n");
    slow.wait_for(1).await;
    story.rename("a.log", "a.log.1");
    story.append("a.log", "three\n");
    slow.wait_for(2).await;
    // As after kill -9: nothing of what happens from now on is written down.
    alone.component.clone().save(Sync::Kernel).await;
    let state = alone.context.data_path().join("positions.yml");
    let saved = std::fs::read(&state).unwrap();
    slow.held.lock().unwrap().clear();
    alone.stop().await.unwrap();
    std::fs::write(&state, saved).unwrap();
    story.rename("a.log.1", "a.log.2");
    story.rename("a.log", "a.log.1");
    story.append("a.log", "four\n");
    assert_eq!(story.read(4).await, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn files_that_came_and_went_while_nobody_looked_are_read_in_their_order() {
    let story = Story::new();
    story.append("a.log.9", "older than all\n");
    story.written_at("a.log.9", -3600);
    story.append("a-error.log", "another log\n");
    story.append("a.log", "one\n");
    story.read(1).await;
    story.append("a.log", "two\n");
    for (number, line) in [(1, "three\n"), (2, "four\n"), (3, "five\n")] {
        story.written_at("a.log", number);
        story.rename("a.log", &format!("a.log.{number}"));
        story.append("a.log", line);
    }
    assert_eq!(story.read(5).await, ["one", "two", "three", "four", "five"]);
    assert_eq!(story.read(5).await.len(), 5);
}

#[tokio::test]
async fn the_rest_of_a_file_that_was_compressed_is_read() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    story.append("a.log", "two\n");
    story.rename("a.log", "a.log.1");
    story.compress("a.log.1");
    story.append("a.log", "three\n");
    assert_eq!(story.read(3).await, ["one", "two", "three"]);
    assert_eq!(story.read(3).await.len(), 3);
}

#[tokio::test]
async fn the_rest_of_a_file_that_was_copied_and_emptied_is_read_from_the_copy() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    story.append("a.log", "two\n");
    std::fs::copy(story.path("a.log"), story.path("a.log.1")).unwrap();
    std::fs::write(story.path("a.log"), "3\n").unwrap();
    assert_eq!(story.read(3).await, ["one", "two", "3"]);
    std::fs::copy(story.path("a.log"), story.path("a.log.2")).unwrap();
    std::fs::write(story.path("a.log"), "longer than before, and it begins otherwise\n").unwrap();
    let lines = story.read(4).await;
    assert_eq!(lines[3], "longer than before, and it begins otherwise");
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[tokio::test]
async fn a_new_file_that_is_longer_than_the_old_one_is_read_from_its_start() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    std::fs::remove_file(story.path("a.log")).unwrap();
    story.append("a.log", "two and more\nthree\n");
    assert_eq!(story.read(3).await, ["one", "two and more", "three"]);
}

#[tokio::test]
async fn the_rest_is_read_before_a_new_file_appears() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    story.append("a.log", "two\n");
    story.rename("a.log", "a.log.1");
    assert_eq!(story.read(2).await, ["one", "two"]);
    story.append("a.log.1", "a late line\n");
    let mut alone = story.start();
    story.lines(3).await;
    story.append("a.log", "three\n");
    story.lines(4).await;
    alone.stop().await.unwrap();
    assert_eq!(all_lines(&story.collector.batches()), ["one", "two", "a late line", "three"]);
}

#[tokio::test]
async fn a_renamed_file_that_is_a_target_itself_is_read_once_only() {
    let mut story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    story.rename("a.log", "a.log.1");
    story.append("a.log", "two\n");
    story.targets.push("a.log.1");
    let mut lines = story.read(3).await;
    lines.sort();
    // Under its new name it is a new file, as for Alloy.
    assert_eq!(lines, ["one", "one", "two"]);
}

#[tokio::test]
async fn positions_that_alloy_has_written_meanwhile_are_believed() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    let state = story.data.path().join("loki.source.file.test/positions.yml");
    let ours = std::fs::read_to_string(&state).unwrap();
    let alloys: String = ours.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_ne!(ours, alloys);
    story.append("a.log", "two\nthree\n");
    std::fs::write(&state, alloys.replace("\"4\"", "\"8\"")).unwrap();
    assert_eq!(story.read(2).await, ["one", "three"]);
}

#[tokio::test]
async fn a_file_whose_target_goes_with_it_is_read_to_its_end() {
    let story = Story::new();
    story.append("a.log", "one\n");
    let slow = Arc::new(Slow::default());
    let scope = receiver(Receiver::new("slow", slow.clone()));
    let path = story.path("a.log");
    let mut alone = Alone::<File>::build_in(&config(&path), &scope, story.data.path()).unwrap();
    alone.run();
    slow.wait_for(1).await;
    // Nobody looks between these: the test has the only thread.
    story.append("a.log", "two\n");
    std::fs::remove_file(&path).unwrap();
    let none = config(&path).replace(&format!("{{ __path__ = {path:?} }}"), "");
    alone.update(&none, &scope).unwrap();
    slow.wait_for(2).await;
    let tailers = || alone.component.lock().len();
    alone.component.sweep();
    assert_eq!(tailers(), 1, "its lines are on their way");
    slow.held.lock().unwrap().drain(..).for_each(|(_, settle)| settle.settle(Outcome::Delivered));
    for _ in 0..3000 {
        alone.component.sweep();
        if tailers() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tailers(), 0);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn what_came_and_went_behind_an_empty_file_is_read() {
    let story = Story::new();
    story.append("a.log", "one\n");
    story.read(1).await;
    // It was emptied when we stopped.
    let mut alone = story.start();
    std::fs::write(story.path("a.log"), "").unwrap();
    for _ in 0..3000 {
        let read = || {
            alone.component.positions.known(&Key { path: story.path("a.log").to_str()?.into(), labels: "{}".into() })
        };
        if read().and_then(|known| known.now).is_some_and(|now| now.was_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    alone.stop().await.unwrap();
    story.append("a.log", "two\n");
    std::fs::copy(story.path("a.log"), story.path("a.log.1")).unwrap();
    std::fs::write(story.path("a.log"), "three\n").unwrap();
    assert_eq!(story.read(3).await, ["one", "two", "three"]);
}

/// Takes everything, and keeps what was written down when the first batch came.
struct First {
    positions: PathBuf,
    saved: Mutex<Option<Option<String>>>,
}

impl Consumer<LogBatch> for First {
    fn consume(&self, _: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let saved = || std::fs::read_to_string(&self.positions).ok();
        self.saved.lock().unwrap().get_or_insert_with(saved);
        Box::pin(async { Ok(Delivery::delivered()) })
    }
}

impl Story {
    fn positions(&self) -> PathBuf {
        self.data.path().join("loki.source.file.test/positions.yml")
    }

    /// A life that is killed in the moment in which its first lines are taken; says what it had written down.
    async fn killed_at_the_first_lines(&self) -> String {
        let first = Arc::new(First { positions: self.positions(), saved: Mutex::default() });
        let scope = receiver(Receiver::new("first", first.clone()));
        let mut alone = Alone::<File>::build_in(&config(&self.path("a.log")), &scope, self.data.path()).unwrap();
        alone.run();
        until(|| first.saved.lock().unwrap().is_some()).await;
        alone.stop().await.unwrap();
        let saved = first.saved.lock().unwrap().clone().flatten();
        let saved = saved.expect("a position is written down before anything is read");
        let _ = std::fs::remove_file(self.positions().with_extension("yml.before"));
        std::fs::write(self.positions(), &saved).unwrap();
        saved
    }
}

#[tokio::test]
async fn a_file_that_is_rotated_away_in_the_first_moments_is_found_after_a_kill() {
    let story = Story::new();
    story.append("a.log", "one\n");
    let saved = story.killed_at_the_first_lines().await;
    assert!(saved.contains("\"0\""), "nothing is delivered yet: {saved}");
    story.append("a.log", "two\n");
    for (number, line) in [(1, "three\n"), (2, "four\n")] {
        story.written_at("a.log", number);
        story.rename("a.log", &format!("a.log.{number}"));
        story.append("a.log", line);
    }
    assert_eq!(story.read(4).await, ["one", "two", "three", "four"]);
    assert_eq!(story.read(4).await.len(), 4);
}

#[tokio::test]
async fn a_file_that_keeps_its_name_is_read_once_after_a_kill_in_the_first_moments() {
    let story = Story::new();
    story.append("a.log.1", "older than all\n");
    story.written_at("a.log.1", -3600);
    story.append("a.log", "one\n");
    story.killed_at_the_first_lines().await;
    story.append("a.log", "two\n");
    assert_eq!(story.read(2).await, ["one", "two"]);
    assert_eq!(story.read(2).await.len(), 2);
}

#[tokio::test]
async fn a_file_that_is_begun_at_its_end_is_not_read_from_its_beginning_after_a_kill() {
    let story = Story::new();
    story.append("a.log", "old\n");
    let from_end = format!("{}\ntail_from_end = true", config(&story.path("a.log")));
    let mut alone = Alone::<File>::build_in(&from_end, &story.scope, story.data.path()).unwrap();
    alone.run();
    until(|| story.positions().exists()).await;
    // As after kill -9: nothing of what happens from now on is written down.
    let saved = std::fs::read_to_string(story.positions()).unwrap();
    alone.stop().await.unwrap();
    assert!(saved.contains("\"4\""), "{saved}");
    std::fs::write(story.positions(), saved).unwrap();
    story.append("a.log", "new\n");
    let mut alone = Alone::<File>::build_in(&from_end, &story.scope, story.data.path()).unwrap();
    alone.run();
    assert_eq!(story.lines(1).await, ["new"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_renamed_between_being_seen_and_opened_is_read_first() {
    let story = Story::new();
    story.append("a.log", "one\n");
    let alone = Alone::<File>::build_in(&config(&story.path("a.log")), &story.scope, story.data.path()).unwrap();
    let arguments = alone.component.arguments.borrow().clone();
    let new = alone.component.reconcile(&arguments, resolve(&arguments));
    let firsts = alone.component.clone().write_down(&arguments, &new).await;
    story.written_at("a.log", 1);
    story.rename("a.log", "a.log.1");
    story.append("a.log", "two\n");
    let token = CancellationToken::new();
    alone.component.begin(&arguments, new, firsts, &Stop::new(token.clone(), Duration::from_secs(5)));
    assert_eq!(story.lines(2).await, ["one", "two"]);
    token.cancel();
}

//! Files that nothing happens to, until something does.

use super::*;

/// Waits until so many files are left to the kernel; false where it does not tell of them.
async fn are_still(alone: &Alone<File>, count: usize) -> bool {
    for _ in 0..3000 {
        if alone.component.names.still() == count {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("skipped: the kernel does not tell of the files here");
    false
}

#[tokio::test]
async fn what_happens_to_a_still_file_is_seen() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().canonicalize().unwrap();
    let (path, target, link) = (folder.join("a.log"), folder.join("b.1.log"), folder.join("b.log"));
    append(&path, "a1\n");
    append(&target, "b1\n");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let (collector, next) = Collector::<LogBatch>::new();
    let two = format!("{{ __path__ = {path:?} }}, {{ __path__ = {link:?} }}");
    let config = config(Path::new("")).replace("{ __path__ = \"\" }", &two);
    let mut alone = Alone::<File>::start(&config, &receiver(next)).unwrap();
    collector.wait_for(2).await;
    if !are_still(&alone, 2).await {
        return;
    }
    append(&path, "a2\n");
    append(&target, "b2\n");
    collector.wait_for(4).await;
    are_still(&alone, 2).await;
    // The old files of both end with lines that nobody has looked at.
    append(&path, "a3\n");
    std::fs::rename(&path, folder.join("a.log.1")).unwrap();
    append(&path, "a4\n");
    append(&target, "b3\n");
    append(&folder.join("b.2.log"), "b4\n");
    std::os::unix::fs::symlink(folder.join("b.2.log"), folder.join("new")).unwrap();
    std::fs::rename(folder.join("new"), &link).unwrap();
    collector.wait_for(8).await;
    are_still(&alone, 2).await;
    // Emptied, and deleted.
    std::fs::write(&path, "").unwrap();
    append(&path, "a5 is longer\n");
    std::fs::remove_file(&link).unwrap();
    append(&folder.join("b.2.log"), "b5\n");
    collector.wait_for(10).await;
    alone.stop().await.unwrap();
    let mut lines = all_lines(&collector.batches());
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "a3", "a4", "a5 is longer", "b1", "b2", "b3", "b4", "b5"]);
}

use super::*;

/// The parts that a start would find now.
fn found(folder: &Path) -> Vec<Vec<u8>> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((id_of(&path)?, path))).collect();
    files.sort_unstable();
    let (mut found, _) = Found::look("j", &files);
    let parts = std::iter::from_fn(|| found.next_file()).flat_map(|file| file.parts);
    parts.map(|(_, bytes)| bytes.to_vec()).collect()
}

fn open(folder: &Path) -> (Journal, Found) {
    Journal::open(folder.to_owned(), "j".to_owned()).unwrap()
}

/// An entry of one part.
fn write(journal: &Journal, bytes: &[u8]) -> Option<u64> {
    let mut writing = journal.write();
    let entry = writing.new_entry();
    writing.part(entry, |to| to.extend_from_slice(bytes));
    writing.finish().then_some(entry)
}

fn written(journal: &Journal, bytes: &[u8]) -> u64 {
    write(journal, bytes).expect("it is written")
}

fn done(journal: &Journal, entries: &[u64]) {
    let mut writing = journal.write();
    for entry in entries {
        writing.done(*entry);
    }
    writing.finish();
}

#[test]
fn what_is_not_done_is_found_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut nothing) = open(folder.path());
    assert!(nothing.next_file().is_none());
    let numbers: Vec<u64> = (0..6u8).map(|byte| written(&journal, &[byte; 3])).collect();
    done(&journal, &[numbers[1], numbers[4]]);
    assert_eq!(found(folder.path()), [0, 2, 3, 5].map(|byte| vec![byte; 3]));
    // As a kill leaves it; what comes then is behind what was there.
    let (journal, mut left) = open(folder.path());
    written(&journal, &[6]);
    let left = left.next_file().expect("there is a file");
    assert_eq!(found(folder.path()).len(), 5);
    done(&journal, &left.parts.iter().map(|(number, _)| *number).collect::<Vec<_>>());
    assert_eq!(found(folder.path()), [vec![6]]);
}

#[test]
fn a_file_that_is_used_again_holds_what_was_written_last() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let mut writes = 0;
    let mut take = |bytes: usize| {
        writes += 1;
        let entry = vec![writes; bytes];
        (written(&journal, &entry), entry)
    };
    for round in 0..3 {
        // Written from its start again and again, with more and with less.
        for bytes in [300 << 10, 1000, 400 << 10, 70_000] {
            let (number, entry) = take(bytes);
            assert_eq!(found(folder.path()), [entry], "{round}");
            done(&journal, &[number]);
            assert!(found(folder.path()).is_empty(), "{round}");
        }
        // And one file after the other, while an old entry lives.
        let (old, first) = take(10);
        for _ in 0..12 {
            let (number, entry) = take(900 << 10);
            assert_eq!(found(folder.path()), [first.clone(), entry], "{round}");
            done(&journal, &[number]);
        }
        done(&journal, &[old]);
    }
    assert!(folder.path().join(SPARE).exists(), "nothing was used again");
    journal.close();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_entry_grows_over_several_files_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let large = vec![0; FILE_BYTES as usize];
    let mut writing = journal.write();
    let grows = writing.new_entry();
    // This goes with the next write.
    writing.part(grows, |to| to.push(1));
    drop(writing);
    assert!(found(folder.path()).is_empty());
    for part in [2, 3, 4] {
        let other = written(&journal, &large);
        let mut writing = journal.write();
        writing.part(grows, |to| to.push(part));
        assert!(!writing.done(other), "nothing else waits to be noted");
        assert!(writing.finish());
    }
    assert!(journal.lock().files.len() > 1);
    assert_eq!(found(folder.path()), [1, 2, 3, 4].map(|part| vec![part]));
    // As a kill leaves it: none of its files is given back before it is done.
    let (journal, mut left) = open(folder.path());
    let last = written(&journal, &[5]);
    let parts: Vec<_> = std::iter::from_fn(|| left.next_file()).flat_map(|file| file.parts).collect();
    assert!(parts.iter().all(|(number, _)| *number == grows) && parts.len() == 4);
    done(&journal, &[grows]);
    assert_eq!(found(folder.path()), [vec![5]]);
    done(&journal, &[last]);
    assert!(found(folder.path()).is_empty());
}

#[test]
fn what_is_done_waits_for_the_next_write_but_not_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let entries: Vec<u64> = (0..5u8).map(|byte| written(&journal, &[byte])).collect();
    assert!(!journal.write().done(entries[0]));
    assert_eq!(found(folder.path()).len(), 5, "it is not written yet");
    let mut writing = journal.write();
    assert!(!writing.done(entries[0]), "it is done already");
    assert!(writing.done(entries[1]));
    writing.finish();
    assert_eq!(found(folder.path()), [[2], [3], [4]]);
    assert!(!journal.write().done(entries[2]));
    written(&journal, &[5]);
    assert_eq!(found(folder.path()), [[3], [4], [5]], "with what came");
    assert!(!journal.write().done(entries[3]));
    journal.close();
    assert_eq!(found(folder.path()), [[4], [5]], "with the end");
}

/// The disk has room again, and it is time to try that.
fn there_is_room(journal: &Journal, folder: &Path) {
    assert!(journal.tries_again_at().is_some_and(|at| at > Instant::now()));
    let mut state = journal.lock();
    state.folder = folder.to_owned();
    state.retry_at = Instant::now();
}

/// The disk is full: for the file at hand, and for new ones.
fn fill_the_disk(journal: &Journal) {
    let mut state = journal.lock();
    let full = File::options().write(true).open("/dev/full").unwrap();
    state.current.as_mut().expect("there is a file").file = full;
    state.folder = PathBuf::from("/dev/full");
}

#[test]
fn what_was_done_while_the_disk_was_full_is_noted_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let entries: Vec<u64> = (0..4u8).map(|byte| written(&journal, &[byte])).collect();
    fill_the_disk(&journal);
    let later: Vec<u64> = (5..8u8).map(|byte| written(&journal, &[byte])).collect();
    done(&journal, &entries[..1]);
    // Of what never was in a file there is nothing to note, however much comes.
    for _ in 0..100 {
        let mut writing = journal.write();
        let lost = writing.new_entry();
        writing.part(lost, |to| to.push(9));
        writing.done(lost);
        assert!(writing.finish());
    }
    done(&journal, &later[1..2]);
    done(&journal, &entries[1..2]);
    assert_eq!(journal.lock().settled, entries[..2]);
    assert_eq!(journal.lock().live.len(), 2);
    assert_eq!(found(folder.path()).len(), 4, "nothing could be written");
    journal.lock().folder = folder.path().to_owned();
    written(&journal, &[4]);
    assert_eq!(found(folder.path()).len(), 4, "it is not tried each time");
    there_is_room(&journal, folder.path());
    journal.try_again();
    // As a kill leaves it: nothing comes again, and nothing is lost.
    assert_eq!(found(folder.path()), [[2], [3], [5], [7], [4]]);
    assert_eq!(journal.tries_again_at(), None);
    let (journal, mut left) = open(folder.path());
    let left: Vec<_> = std::iter::from_fn(|| left.next_file()).flat_map(|file| file.parts).collect();
    done(&journal, &left.iter().map(|(entry, _)| *entry).collect::<Vec<_>>());
    assert!(found(folder.path()).is_empty());
}

#[test]
fn much_that_the_disk_has_not_taken_is_written_in_its_order_and_settled_as_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let first = written(&journal, &[0]);
    fill_the_disk(&journal);
    // An entry that grows, and others of which several go with each piece, or one alone.
    let mut writing = journal.write();
    let grows = writing.new_entry();
    writing.part(grows, |to| to.push(1));
    assert!(writing.finish());
    let sizes = [1000, 200_000, 100_000, 300_000, 70_000, 3];
    let others: Vec<u64> = sizes.iter().map(|bytes| written(&journal, &vec![2; *bytes])).collect();
    let mut writing = journal.write();
    writing.part(grows, |to| to.push(3));
    assert!(writing.finish());
    for _ in 0..2 {
        journal.lock().retry_at = Instant::now();
        journal.try_again();
        assert_eq!(found(folder.path()), [[0]], "it is still full");
    }
    there_is_room(&journal, folder.path());
    journal.try_again();
    let lengths: Vec<usize> = found(folder.path()).iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 1, 1000, 200_000, 100_000, 300_000, 70_000, 3, 1]);
    done(&journal, &others);
    assert_eq!(found(folder.path()), [[0], [1], [3]]);
    done(&journal, &[first, grows]);
    assert!(found(folder.path()).is_empty());
}

#[test]
fn the_end_writes_what_the_disk_takes_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    written(&journal, &[0]);
    fill_the_disk(&journal);
    written(&journal, &[1]);
    journal.lock().folder = folder.path().to_owned();
    journal.close();
    assert_eq!(found(folder.path()), [[0], [1]]);
}

#[test]
fn when_all_is_done_while_the_disk_is_full_nothing_has_to_be_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let entries: Vec<u64> = (0..4u8).map(|byte| written(&journal, &[byte])).collect();
    fill_the_disk(&journal);
    for entry in entries {
        done(&journal, &[entry]);
    }
    assert!(found(folder.path()).is_empty() && journal.lock().settled.is_empty());
}

#[test]
fn one_old_entry_does_not_make_it_grow_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    (journal.lock().crowded_bytes, journal.lock().most_bytes) = (4 << 20, 16 << 20);
    let old = written(&journal, &[1]);
    let large = vec![0; 1 << 20];
    let take = || write(&journal, &large);
    let mut taken: Vec<u64> = (0..3).filter_map(|_| take()).collect();
    assert!(!journal.is_crowded());
    taken.extend((0..30).filter_map(|_| take()));
    assert!(journal.is_crowded() && !journal.is_crowded());
    assert_eq!(taken.len(), 15, "MiB, of 16 with all that is around them");
    // This can be noted all the same.
    done(&journal, &taken);
    assert_eq!(found(folder.path()), [vec![1]]);
    done(&journal, &[old]);
    written(&journal, &[2]);
    assert_eq!(found(folder.path()), [vec![2]]);
}

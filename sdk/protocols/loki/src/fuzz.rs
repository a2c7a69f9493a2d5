//! What must hold for any push request at all; for fuzzing. It panics if it does not hold.

use bytes::Bytes;

use crate::{decode, parse, parse_labels};

/// A request is read or refused, nothing grows beyond what it was made from, and both readers read the same.
pub fn request(bytes: &[u8]) {
    let streams = parse(bytes);
    let pushed = decode(&Bytes::copy_from_slice(bytes));
    if let Ok(pushed) = &pushed {
        let texts = pushed.iter().map(|stream| {
            let lines = stream.entries.iter().map(|entry| entry.line.len());
            // A stream and an entry take at least two bytes each.
            stream.labels.len() + lines.sum::<usize>() + 2 * (1 + stream.entries.len())
        });
        assert!(texts.sum::<usize>() <= bytes.len(), "more came out than went in");
    }
    let (Ok(streams), Ok(pushed)) = (streams, pushed) else { return };
    assert_eq!(streams.len(), pushed.len());
    for (stream, pushed) in streams.iter().zip(&pushed) {
        assert_eq!(stream.labels.as_bytes(), &pushed.labels);
        assert_eq!(stream.entries.len(), pushed.entries.len());
        for (entry, pushed) in stream.entries.iter().zip(&pushed.entries) {
            assert_eq!((entry.timestamp, &*entry.line), (pushed.timestamp, &*pushed.line));
        }
        // What is read as labels is read again as they are written.
        if let Ok(labels) = parse_labels(&stream.labels) {
            assert_eq!(parse_labels(&labels.to_string()).as_ref(), Ok(&labels), "{:?}", stream.labels);
        }
    }
}

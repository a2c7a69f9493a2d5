//! What must hold for any payload at all; for fuzzing. It panics if it does not hold.

use bytes::Bytes;

use crate::{Signal, check, edit, json, response, split, status, walk};

/// Whatever the bytes, everything that is done to a payload ends, and one that is checked stays so.
pub fn payload(bytes: &[u8]) {
    for signal in Signal::ALL {
        let checked = check(signal, bytes);
        let counted = walk::count(signal, bytes);
        let edited = edit::items(signal, bytes, |_, attributes| attributes.upsert(b"k", &edit::any::int(1)));
        if let Ok(items) = checked {
            assert_eq!(items, counted);
            assert_eq!(check(signal, &edited.unwrap_or_else(|| bytes.to_vec())), Ok(items));
            let pieces = split::split(signal, &Bytes::copy_from_slice(bytes), 2, 3);
            assert_eq!(pieces.iter().map(|piece| piece.items).sum::<usize>(), items);
            let text = json::to_json(signal, bytes);
            if let Ok(again) = json::from_json(signal, &text) {
                assert_eq!(json::to_json(signal, &again), text);
            }
        }
        let _ = json::from_json(signal, bytes);
        let _ = response::PartialSuccess::from_json(signal, bytes);
    }
    let _ = edit::resources(bytes, |_, attributes| attributes.delete(b"a"));
    let _ = status::Status::from_proto(bytes);
    let _ = status::Status::from_json(bytes);
}

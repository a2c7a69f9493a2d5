//! What must hold for any request at all; for fuzzing. It panics if it does not hold.

use crate::{decode, decompress};

/// The largest request that is decompressed here.
const BOUND: usize = 1 << 20;

/// A body, compressed or not, is read or refused, and nothing grows beyond what it was made from.
pub fn request(bytes: &[u8]) {
    if let Ok(plain) = decompress(bytes, BOUND) {
        assert!(plain.len() <= BOUND);
        read(&plain);
    }
    read(bytes);
}

fn read(plain: &[u8]) {
    let Ok(all) = decode(plain) else { return };
    // A field takes at least two bytes.
    let fields = |count: usize| assert!(count * 2 <= plain.len(), "{count} of {} bytes", plain.len());
    fields(all.len());
    fields(all.iter().map(|series| series.samples.len() + series.exemplars.len() + series.histograms).sum());
    fields(all.iter().map(|series| series.labels.len()).sum());
}

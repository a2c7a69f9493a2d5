//! What must hold for any request at all; for fuzzing. It panics if it does not hold.

use crate::{Malformed, Version, decompress, transcode, visit};

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
    // A field takes at least two bytes.
    let fields = |count: usize| assert!(count * 2 <= plain.len(), "{count} of {} bytes", plain.len());
    for version in [Version::V1, Version::V2] {
        let (mut series, mut values, mut labels) = (0, 0, 0);
        let read = visit(version, plain, |view| {
            series += 1;
            values += view.samples.len() + view.exemplars.len() + view.histograms.len();
            // A number of a symbol takes a byte at least, and a label has two.
            labels += view.labels.len();
            for histogram in &view.histograms {
                let mut value = histogram.value.clone();
                if value.check().is_ok() {
                    assert!(value.compact(2).is_ok(), "a sound histogram can be made smaller");
                    let sound = value.check();
                    assert!(sound.is_ok(), "and is sound then: {sound:?}");
                }
            }
            Ok::<_, Malformed>(())
        });
        fields(series);
        fields(values);
        fields(labels);
        let compressed = snap::raw::Encoder::new().compress_vec(plain).unwrap_or_default();
        // Two ways to say the same: what can be read can be written in the other version, and is as much there.
        if read.is_ok()
            && let Some(transcoded) = transcode(version, &compressed, BOUND)
            && let Ok(other) = decompress(&transcoded.body, BOUND)
        {
            let mut again = 0;
            let read = visit(version.other(), &other, |view| {
                again += view.samples.len() + view.exemplars.len() + view.histograms.len();
                Ok::<_, Malformed>(())
            });
            assert_eq!((read, again), (Ok(()), transcoded.entries), "in the other version");
        }
    }
}

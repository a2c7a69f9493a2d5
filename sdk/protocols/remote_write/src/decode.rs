//! Reading a whole request.

use sdk_histogram::NativeHistogram;

use crate::{Version, visit};

/// One series of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSeries {
    /// Name and value, as sent.
    pub labels: Vec<(String, String)>,
    /// In order of time, if the sender keeps to the rules.
    pub samples: Vec<Sample>,
    /// In order of time, if the sender keeps to the rules.
    pub exemplars: Vec<Exemplar>,
    /// In order of time, if the sender keeps to the rules.
    pub histograms: Vec<Histogram>,
    /// Kind, help and unit of its family; version 2 only.
    pub about: Option<[String; 3]>,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Since when a counter counts, in the same form; 0 if that is not known. Version 2 only.
    pub start: i64,
}

/// All values of a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The buckets.
    pub value: NativeHistogram,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Since when it counts, in the same form; 0 if that is not known. Version 2 only.
    pub start: i64,
}

/// A trace that stands for a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// The body is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a snappy block.
    #[error("the body is not a snappy block")]
    Snappy,
    /// Larger than the bound.
    #[error("the body is too large once decompressed")]
    TooLarge,
    /// Not a request of the version.
    #[error("the body is not a remote write request")]
    Protobuf,
}

/// Undoes snappy, if the result is not larger than `bound` bytes.
pub fn decompress(body: &[u8], bound: usize) -> Result<Vec<u8>, Malformed> {
    let length = snap::raw::decompress_len(body).map_err(|_| Malformed::Snappy)?;
    if length > bound {
        return Err(Malformed::TooLarge);
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| Malformed::Snappy)
}

/// Reads a request of version 1, not compressed. Unknown fields are passed over.
pub fn decode(request: &[u8]) -> Result<Vec<TimeSeries>, Malformed> {
    decode_version(Version::V1, request)
}

/// Reads a request of either version, not compressed. A series that cannot be read spoils it.
pub fn decode_version(version: Version, request: &[u8]) -> Result<Vec<TimeSeries>, Malformed> {
    let mut all = Vec::new();
    visit(version, request, |view| {
        if view.fault.is_some() {
            return Err(Malformed::Protobuf);
        }
        let exemplars = view.exemplars.iter().map(|exemplar| {
            let labels = owned(exemplar.labels.as_ref().map_err(|_| Malformed::Protobuf)?);
            Ok(Exemplar { labels, value: exemplar.value, timestamp: exemplar.timestamp })
        });
        all.push(TimeSeries {
            labels: owned(&view.labels),
            samples: view.samples.clone(),
            exemplars: exemplars.collect::<Result<_, Malformed>>()?,
            histograms: view.histograms.clone(),
            about: view.about.map(|about| [about.kind, about.help, about.unit].map(str::to_owned)),
        });
        Ok(())
    })?;
    Ok(all)
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

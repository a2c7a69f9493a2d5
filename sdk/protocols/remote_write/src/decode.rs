//! Reading a request.

use crate::wire::{Value, take_field};

/// One series of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSeries {
    /// Name and value, as sent.
    pub labels: Vec<(String, String)>,
    /// In order of time, if the sender keeps to the rules.
    pub samples: Vec<Sample>,
    /// In order of time, if the sender keeps to the rules.
    pub exemplars: Vec<Exemplar>,
    /// How many native histograms there were; they are not read yet.
    pub histograms: usize,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
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
    /// Not a `WriteRequest`.
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

/// Reads a `WriteRequest`, not compressed. Unknown fields are passed over.
pub fn decode(mut request: &[u8]) -> Result<Vec<TimeSeries>, Malformed> {
    let mut all = Vec::new();
    while !request.is_empty() {
        if let (1, Value::Bytes(series)) = take_field(&mut request).ok_or(Malformed::Protobuf)? {
            all.push(time_series(series).ok_or(Malformed::Protobuf)?);
        }
    }
    Ok(all)
}

fn time_series(mut from: &[u8]) -> Option<TimeSeries> {
    let mut series = TimeSeries::default();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(label)) => series.labels.push(pair(label)?),
            (2, Value::Bytes(sample)) => series.samples.push(self::sample(sample)?),
            (3, Value::Bytes(exemplar)) => series.exemplars.push(self::exemplar(exemplar)?),
            (4, Value::Bytes(_)) => series.histograms += 1,
            _ => {}
        }
    }
    Some(series)
}

fn pair(mut from: &[u8]) -> Option<(String, String)> {
    let (mut name, mut value) = (String::new(), String::new());
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(text)) => name = String::from_utf8(text.to_vec()).ok()?,
            (2, Value::Bytes(text)) => value = String::from_utf8(text.to_vec()).ok()?,
            _ => {}
        }
    }
    Some((name, value))
}

fn sample(mut from: &[u8]) -> Option<Sample> {
    let mut sample = Sample { value: 0.0, timestamp: 0 };
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (2, Value::Varint(time)) => sample.timestamp = time as i64,
            _ => {}
        }
    }
    Some(sample)
}

fn exemplar(mut from: &[u8]) -> Option<Exemplar> {
    let mut exemplar = Exemplar::default();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(label)) => exemplar.labels.push(pair(label)?),
            (2, Value::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Value::Varint(time)) => exemplar.timestamp = time as i64,
            _ => {}
        }
    }
    Some(exemplar)
}

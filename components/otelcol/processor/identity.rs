//! By what resources, scopes, metrics and points are told apart: keys that are equal for equal attributes, in whatever order
//! these come.

use sdk_protocols_otlp::model::{AnyValue, Map, Metric, MetricData, Resource, Scope, Text};
use sha2::{Digest as _, Sha256};

/// The key of one thing: texts are written with their lengths, so no two things share one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

/// A key made small, to be kept for as long as a stream lives.
pub(crate) type Digest = [u8; 16];

// === impl Key ===

impl Key {
    pub(crate) fn of_resource(resource: &Resource) -> Key {
        Key::default().attributes(&resource.attributes)
    }

    pub(crate) fn scope(self, scope: &Scope) -> Key {
        self.text(&scope.name).text(&scope.version).attributes(&scope.attributes)
    }

    /// Name, unit, kind, and how it counts.
    pub(crate) fn metric(self, metric: &Metric) -> Key {
        let (kind, temporality, monotonic) = match &metric.data {
            MetricData::None => (0, 0, false),
            MetricData::Gauge(_) => (1, 0, false),
            MetricData::Sum(sum) => (2, sum.temporality, sum.is_monotonic),
            MetricData::Histogram(histogram) => (3, histogram.temporality, false),
            MetricData::ExponentialHistogram(histogram) => (4, histogram.temporality, false),
            MetricData::Summary(_) => (5, 0, false),
        };
        let mut key = self.text(&metric.name).text(&metric.unit);
        key.0.extend_from_slice(&[kind, temporality as u8, u8::from(monotonic)]);
        key
    }

    pub(crate) fn attributes(mut self, map: &Map) -> Key {
        put_map(&mut self.0, map);
        self
    }

    pub(crate) fn text(mut self, text: &Text) -> Key {
        put_bytes(&mut self.0, text.as_bytes());
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Key {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Half of its SHA-256: two streams that share one do not happen.
    pub(crate) fn digest(&self) -> Digest {
        let digest = Sha256::digest(&self.0);
        std::array::from_fn(|i| digest[i])
    }
}

fn put_map(out: &mut Vec<u8>, map: &Map) {
    let mut pairs: Vec<_> = map.0.iter().collect();
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    out.extend_from_slice(&(pairs.len() as u64).to_le_bytes());
    for pair in pairs {
        put_bytes(out, pair.key.as_bytes());
        put_value(out, pair.value());
    }
}

fn put_value(out: &mut Vec<u8>, value: &AnyValue) {
    match value {
        AnyValue::Empty => out.push(0),
        AnyValue::Text(text) => {
            out.push(1);
            put_bytes(out, text.as_bytes());
        }
        AnyValue::Bool(value) => out.extend_from_slice(&[2, u8::from(*value)]),
        AnyValue::Int(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        AnyValue::Double(value) => {
            out.push(4);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        AnyValue::Array(list) => {
            out.push(5);
            out.extend_from_slice(&(list.len() as u64).to_le_bytes());
            list.iter().for_each(|value| put_value(out, value));
        }
        AnyValue::Map(map) => {
            out.push(6);
            put_map(out, map);
        }
        AnyValue::Bytes(bytes) => {
            out.push(7);
            put_bytes(out, bytes);
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_attributes_does_not_matter_but_all_else_does() {
        let key = |pairs: &[(&'static str, AnyValue)]| Key::default().attributes(&pairs.iter().cloned().collect());
        let map = |pairs: &[(&'static str, AnyValue)]| AnyValue::Map(pairs.iter().cloned().collect());
        let (a, b) = (("a", AnyValue::from(1)), ("b", AnyValue::from("x")));
        assert_eq!(key(&[a.clone(), b.clone()]), key(&[b.clone(), a.clone()]));
        assert_eq!(
            key(&[("m", map(&[a.clone(), b.clone()]))]).digest(),
            key(&[("m", map(&[b.clone(), a.clone()]))]).digest()
        );
        let different = [
            key(&[]),
            key(std::slice::from_ref(&a)),
            key(&[("a", AnyValue::from("1"))]),
            key(&[("a", AnyValue::from(1.0))]),
            key(&[("a", AnyValue::Empty)]),
            key(&[("a", vec![AnyValue::from(1)].into())]),
            key(&[a, b]),
        ];
        let count = different.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(count, different.len());
    }
}

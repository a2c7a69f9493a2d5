//! Attributes of pairs that may repeat a key, and ids as OTLP has them.

use std::collections::HashMap;

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};

/// Up to so many pairs are compared with each other; more get an index, so that a client cannot make us compare millions.
const FEW: usize = 32;

/// The pairs, each key once: the last value, in the place of the first one.
pub(crate) fn unique(pairs: Vec<(Text, AnyValue)>) -> Map {
    if pairs.len() <= FEW {
        let mut map = Map::default();
        pairs.into_iter().for_each(|(key, value)| map.set(key, value));
        return map;
    }
    let mut places: HashMap<Text, usize> = HashMap::with_capacity(pairs.len());
    let mut map: Vec<KeyValue> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let place = *places.entry(key.clone()).or_insert(map.len());
        match map.get_mut(place) {
            Some(pair) => pair.value = Some(value),
            None => map.push(KeyValue::new(key, value)),
        }
    }
    Map(map)
}

/// An id; one of zeros is none.
pub(crate) fn id(bytes: &[u8]) -> Bytes {
    if bytes.iter().all(|byte| *byte == 0) { Bytes::new() } else { Bytes::copy_from_slice(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_takes_the_place_of_the_first() {
        for others in [0, 100] {
            let mut pairs = vec![("a".into(), 1.into()), ("b".into(), 2.into()), ("a".into(), 3.into())];
            pairs.extend((0..others).map(|n: i64| (Text::from(format!("{n}")), AnyValue::Int(n))));
            let map = unique(pairs);
            assert_eq!(map.0.len(), 2 + others as usize);
            assert_eq!((map.0[0].key.as_str(), map.0[0].value()), ("a".into(), &AnyValue::Int(3)));
            assert_eq!((map.0[1].key.as_str(), map.0[1].value()), ("b".into(), &AnyValue::Int(2)));
        }
    }
}

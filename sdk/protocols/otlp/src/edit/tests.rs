//! Edits against a list that is edited in the most obvious way.

use super::*;

const KEYS: [&[u8]; 6] = [b"a", b"b", b"http.method", b"", b"environment", b"a key that nobody has"];

/// A number below `below`, by xorshift: the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn key(&mut self) -> &'static [u8] {
        KEYS[self.below(KEYS.len())]
    }

    /// Few different ones, or many.
    fn value(&mut self, many: bool) -> Vec<u8> {
        let number = self.below(if many { 1000 } else { 3 });
        // Longer than one byte can tell, now and then.
        any::text("v".repeat(if number == 1 { 200 } else { 3 }).as_bytes())
            .into_iter()
            .chain(any::int(number as i64))
            .collect()
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// One change, to the attributes and to the list.
fn change(random: &mut Random, many: bool, attributes: &mut Attributes<'_>, list: &mut Pairs) {
    let (key, value) = (random.key(), random.value(many));
    let at = list.iter().position(|(other, _)| other == key);
    match (random.below(7), at) {
        (0 | 1, at) => {
            attributes.insert(key, &value);
            if at.is_none() {
                list.push((key.to_vec(), value));
            }
        }
        (2, at) => {
            attributes.update(key, &value);
            if let Some(at) = at {
                list[at].1 = value;
            }
        }
        (3, at) => {
            attributes.upsert(key, &value);
            match at {
                Some(at) => list[at].1 = value,
                None => list.push((key.to_vec(), value)),
            }
        }
        (4, _) => {
            attributes.delete(key);
            list.retain(|(other, _)| other != key);
        }
        (5, at) => {
            let found = attributes.get(key).map(|value| value.0.to_vec());
            assert_eq!(found, at.map(|at| list[at].1.clone()));
        }
        _ => {
            attributes.rewrite(|other, _| (other == key).then(|| value.clone()));
            list.iter_mut().filter(|(other, _)| other == key).for_each(|pair| pair.1 = value.clone());
        }
    }
    let seen: Pairs = attributes.iter().map(|(key, value)| (key.to_vec(), value.0.to_vec())).collect();
    assert_eq!(seen, *list);
}

/// A span with some attributes between other fields; now and then one is written as nobody else does.
fn span(random: &mut Random, out: &mut Vec<u8>) {
    put_bytes(out, 1, &[7; 16]);
    put_tag(out, 6, 0);
    put_varint(out, 300);
    put_tag(out, 7, 1);
    out.extend_from_slice(&u64::MAX.to_le_bytes());
    for _ in 0..random.below(5) {
        let (key, value) = (random.key(), random.value(true));
        put_message(out, 9, |out| {
            if random.below(6) == 0 {
                put_bytes(out, 2, &value);
                put_bytes(out, 1, key);
            } else {
                put_bytes(out, 1, key);
                put_bytes(out, 2, &value);
            }
        });
    }
    put_bytes(out, 5, b"name");
}

fn attributes_of(payload: &[u8]) -> Vec<Pairs> {
    let spans =
        crate::walk::resources(payload).flat_map(|resource| resource.scopes()).flat_map(|scope| scope.records());
    let pair = |message: Message<'_>| (message.bytes(1).to_vec(), message.bytes(2).to_vec());
    spans.map(|span| span.messages(9).map(pair).collect()).collect()
}

#[test]
fn attributes_are_what_a_plain_list_would_be() {
    for seed in 1..2000 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let many = seed % 2 == 0;
        let mut payload = Vec::new();
        put_message(&mut payload, 1, |out| {
            put_message(out, 2, |out| (0..5).for_each(|_| put_message(out, 2, |out| span(&mut random, out))))
        });
        let mut expected = attributes_of(&payload);
        let mut item = 0;
        let edited = items(Signal::Traces, &payload, |_, attributes| {
            for _ in 0..random.below(6) {
                change(&mut random, many, attributes, &mut expected[item]);
            }
            item += 1;
        });
        let edited = edited.unwrap_or(payload);
        assert_eq!(crate::check(Signal::Traces, &edited), Ok(5), "{seed}");
        assert_eq!(attributes_of(&edited), expected, "{seed}");
    }
}

#[test]
fn a_resource_that_was_not_there_is_made() {
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 5, b"name")))
    });
    let value = any::text(b"x");
    let edited = resources(&payload, |_, attributes| attributes.insert(b"a", &value)).unwrap();
    let resource: Vec<_> = crate::walk::resources(&edited).flat_map(|resource| resource.attributes()).collect();
    assert_eq!((resource.len(), crate::check(Signal::Traces, &edited)), (1, Ok(1)));
}

//! The immutable set.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use base_stdx::quote::quote;
use xxhash_rust::xxh64::xxh64;

use crate::name::is_legacy_label_name;
use crate::packed::{self, Packed, Packer};

/// A set of labels, sorted by name (as bytes), each name once.
///
/// Cloning counts a reference. Equality compares a hash first, so it is cheap for sets that differ.
#[derive(Clone)]
pub struct Labels {
    hash: u64,
    packed: Packed,
}

static EMPTY: LazyLock<Labels> = LazyLock::new(|| Labels::pack(&Packer::default()));

impl Labels {
    /// The set without labels; does not allocate.
    pub fn empty() -> Labels {
        EMPTY.clone()
    }

    /// Sorts the pairs. When a name comes twice, the later value is kept. Empty values are kept as they are: a
    /// discovered target may carry them, and only [`crate::LabelsBuilder`] takes them for absent.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        // Stable, so that the last of equal names is the last one given.
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let mut packer = Packer::default();
        for (i, (name, value)) in pairs.iter().enumerate() {
            let shadowed = pairs.get(i + 1).is_some_and(|next| next.0.as_ref() == name.as_ref());
            if !shadowed {
                packer.push(name.as_ref(), value.as_ref());
            }
        }
        Labels::pack(&packer)
    }

    pub(crate) fn pack(packer: &Packer) -> Labels {
        let packed = packer.finish();
        let hash = hash_pairs(Iter { rest: packed.bytes() });
        Labels { hash, packed }
    }

    /// The value of the label, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, value) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Name and value of each label, by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: self.packed.bytes() }
    }

    /// How many labels the set has; walks over them.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether the set has no label.
    pub fn is_empty(&self) -> bool {
        self.packed.bytes().is_empty()
    }

    /// Prometheus' 64-bit hash of a label set: xxh64 over `name FF value FF` of each label. Alloy's clustering and
    /// target hashes are this number, so it is the same in all versions of this program.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The labels as field 1 of a remote-write 1 `TimeSeries`, in protobuf's encoding.
    pub fn as_remote_write(&self) -> &[u8] {
        self.packed.bytes()
    }

    /// Whether both are clones of one set; a quick "yes" for equality, never a "no".
    pub fn same_allocation(&self, other: &Labels) -> bool {
        self.packed.same_allocation(&other.packed)
    }
}

/// Prometheus' hash (see [`Labels::hash`]) of pairs that are sorted by name already, such as a part of a set.
pub fn hash_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> u64 {
    const SEPARATOR: u8 = 0xff;
    /// Hashing one slice is several times quicker than feeding it in pieces, and nearly all sets fit.
    const ON_STACK: usize = 1024;
    let mut stack = [0u8; ON_STACK];
    let mut filled = 0;
    let mut pairs = pairs.into_iter();
    while let Some((name, value)) = pairs.next() {
        let end = filled + name.len() + value.len() + 2;
        if end > ON_STACK {
            let mut heap = stack[..filled].to_vec();
            for (name, value) in std::iter::once((name, value)).chain(pairs) {
                heap.extend_from_slice(name.as_bytes());
                heap.push(SEPARATOR);
                heap.extend_from_slice(value.as_bytes());
                heap.push(SEPARATOR);
            }
            return xxh64(&heap, 0);
        }
        let value_at = filled + name.len() + 1;
        stack[filled..value_at - 1].copy_from_slice(name.as_bytes());
        stack[value_at - 1] = SEPARATOR;
        stack[value_at..end - 1].copy_from_slice(value.as_bytes());
        stack[end - 1] = SEPARATOR;
        filled = end;
    }
    xxh64(&stack[..filled], 0)
}

/// Iterates over a set; see [`Labels::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        packed::next(&mut self.rest)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        Labels::from_pairs(pairs)
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        self.hash == other.hash && (self.same_allocation(other) || self.packed == other.packed)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// By the first name that differs, then by its value; a set comes before a longer one that starts with it.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="b", c="d"}`, quoted as Go quotes; a name outside the classic rule is quoted too.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&quote(name.as_bytes()))?;
            }
            f.write_str("=")?;
            f.write_str(&quote(value.as_bytes()))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn pairs_are_sorted_and_the_later_of_two_equal_names_wins() {
        let set = labels(&[("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((set.get("b"), set.get("aa"), set.get("c")), (Some("3"), None, None));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn the_hash_is_that_of_prometheus() {
        // xxhash.Sum64 of nothing, and of "a\xffb\xff" / a set too long for the stack, given to the one-shot function.
        assert_eq!(Labels::empty().hash(), 0xef46_db37_51d8_e999);
        assert_eq!(labels(&[("a", "b")]).hash(), xxh64(b"a\xffb\xff", 0));
        let long = "x".repeat(2000);
        let set = labels(&[("a", "b"), ("c", &long), ("d", "e")]);
        let text = format!("c*{long}*d*e*");
        let mut bytes = b"a\xffb\xff".to_vec();
        bytes.extend(text.bytes().map(|b| if b == b'*' { 0xff } else { b }));
        assert_eq!(set.hash(), xxh64(&bytes, 0));
    }

    #[test]
    fn printed_as_go_prints_them() {
        let set = labels(&[("a", "b\"\n"), ("dotted.name", "ü\u{7f}"), ("z", "")]);
        assert_eq!(set.to_string(), r#"{a="b\"\n", "dotted.name"="ü\x7f", z=""}"#);
        assert_eq!(Labels::empty().to_string(), "{}");
    }

    #[test]
    fn remote_write_bytes_are_protobuf_labels() {
        assert_eq!(labels(&[("ab", "c")]).as_remote_write(), b"\x0a\x07\x0a\x02ab\x12\x01c");
        let long = "v".repeat(300);
        let set = labels(&[("n", &long)]);
        assert!(set.as_remote_write().starts_with(b"\x0a\xb2\x02\x0a\x01n\x12\xac\x02vvv"), "{set}");
        assert_eq!(set.get("n"), Some(long.as_str()));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(pairs in proptest::collection::btree_map(".{0,200}", ".{0,200}", 0..8)) {
            let set = Labels::from_pairs(&pairs);
            let out: Vec<_> = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(&out, &pairs.clone().into_iter().collect::<Vec<_>>());
            for (name, value) in &pairs {
                prop_assert_eq!(set.get(name), Some(value.as_str()));
            }
            prop_assert_eq!(&set, &Labels::from_pairs(pairs.iter().rev()));
        }

        #[test]
        fn ordered_like_their_pairs(a in proptest::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3), b in proptest::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3)) {
            prop_assert_eq!(Labels::from_pairs(&a).cmp(&Labels::from_pairs(&b)), a.iter().cmp(b.iter()));
            prop_assert_eq!(Labels::from_pairs(&a) == Labels::from_pairs(&b), a == b);
        }
    }
}

//! Editing a label set.

use std::ops::Range;

use crate::labels::{Iter, Labels};
use crate::packed::Packer;

/// Edits over a base set; [`LabelsBuilder::labels`] makes the edited set.
///
/// One builder serves many sets through [`LabelsBuilder::reset`], and then keeps its buffers: a set that the edits
/// leave as it was costs no allocation, a changed one costs its own.
#[derive(Default)]
pub struct LabelsBuilder {
    base: Labels,
    /// By name.
    edits: Vec<Edit>,
    /// Names and values of the edits; cleared by `reset` only.
    text: String,
    packer: Packer,
}

struct Edit {
    name: Range<usize>,
    /// Empty: the label is removed.
    value: Range<usize>,
}

impl LabelsBuilder {
    /// A builder that starts from `base`.
    pub fn new(base: &Labels) -> LabelsBuilder {
        LabelsBuilder { base: base.clone(), ..LabelsBuilder::default() }
    }

    /// Forgets all edits and starts from another set.
    pub fn reset(&mut self, base: &Labels) {
        if !self.base.same_allocation(base) {
            self.base = base.clone();
        }
        self.edits.clear();
        self.text.clear();
    }

    /// The value as edited so far; "" when the label is absent.
    pub fn get(&self, name: &str) -> &str {
        match self.find(name) {
            Ok(at) => &self.text[self.edits[at].value.clone()],
            Err(_) => self.base.get(name).unwrap_or(""),
        }
    }

    /// Sets a label. An empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelsBuilder {
        let value_start = self.text.len();
        self.text.push_str(value);
        let value = value_start..self.text.len();
        match self.find(name) {
            Ok(at) => self.edits[at].value = value,
            Err(at) => {
                let name_start = self.text.len();
                self.text.push_str(name);
                let name = name_start..self.text.len();
                self.edits.insert(at, Edit { name, value });
            }
        }
        self
    }

    /// Removes a label, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.set(name, "")
    }

    /// The labels as edited so far, by name, without empty ones.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        Merged { base: self.base.iter(), held: None, edits: self.edits.iter(), text: &self.text, edit: None }
            .filter(|(_, value)| !value.is_empty())
    }

    /// Whether no label is left.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The edited set. Gives the base itself back when nothing differs.
    pub fn labels(&mut self) -> Labels {
        let unchanged = self.edits.is_empty() && self.base.iter().all(|(_, value)| !value.is_empty());
        if unchanged || self.iter().eq(self.base.iter()) {
            return self.base.clone();
        }
        let mut packer = std::mem::take(&mut self.packer);
        packer.clear();
        for (name, value) in self.iter() {
            packer.push(name, value);
        }
        let labels = Labels::pack(&packer);
        self.packer = packer;
        labels
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.edits.binary_search_by(|edit| self.text[edit.name.clone()].cmp(name))
    }
}

/// The base and the edits, merged by name; an edit hides the base's label of its name.
struct Merged<'a> {
    base: Iter<'a>,
    held: Option<(&'a str, &'a str)>,
    edits: std::slice::Iter<'a, Edit>,
    edit: Option<(&'a str, &'a str)>,
    text: &'a str,
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.held.is_none() {
            self.held = self.base.next();
        }
        if self.edit.is_none() {
            self.edit = self.edits.next().map(|e| (&self.text[e.name.clone()], &self.text[e.value.clone()]));
        }
        match (self.held, self.edit) {
            (Some(base), Some(edit)) if base.0 < edit.0 => self.held.take(),
            (Some(base), Some(edit)) => {
                if base.0 == edit.0 {
                    self.held = None;
                }
                self.edit.take()
            }
            (Some(_), None) => self.held.take(),
            (None, _) => self.edit.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unchanged_sets_are_the_base_itself() {
        let base = Labels::from_pairs([("a", "1"), ("b", "2")]);
        let mut builder = LabelsBuilder::new(&base);
        builder.set("a", "9").set("a", "1").remove("c");
        assert!(builder.labels().same_allocation(&base));
    }

    #[test]
    fn empty_values_of_the_base_go() {
        let mut builder = LabelsBuilder::new(&Labels::from_pairs([("a", ""), ("b", "2")]));
        assert_eq!(builder.labels().to_string(), r#"{b="2"}"#);
    }

    #[test]
    fn reset_forgets_the_edits() {
        let mut builder = LabelsBuilder::new(&Labels::empty());
        builder.set("a", "1");
        builder.reset(&Labels::from_pairs([("b", "2")]));
        assert_eq!((builder.get("a"), builder.get("b")), ("", "2"));
        assert_eq!(builder.labels().to_string(), r#"{b="2"}"#);
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(
            base in proptest::collection::btree_map("[a-d]{1,2}", "[xy]{0,2}", 0..5),
            edits in proptest::collection::vec(("[a-d]{1,2}", "[xy]{0,2}"), 0..6),
        ) {
            let mut builder = LabelsBuilder::new(&Labels::from_pairs(&base));
            let mut map: BTreeMap<String, String> = base;
            for (name, value) in edits {
                builder.set(&name, &value);
                map.insert(name, value);
            }
            for (name, value) in &map {
                prop_assert_eq!(builder.get(name), value);
            }
            map.retain(|_, value| !value.is_empty());
            prop_assert_eq!(builder.is_empty(), map.is_empty());
            prop_assert_eq!(builder.labels(), Labels::from_pairs(&map));
        }
    }
}

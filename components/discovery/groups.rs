//! Target groups, as Prometheus's files and servers of targets have them: addresses with the labels that they share.
//!
//! What comes may be hostile: the text is bounded by whoever reads it, and here is bounded what is made of it, as a text of
//! a megabyte can ask for a million targets with ten thousand labels each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use language_eval::Target;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The longest text of groups that is read.
pub(crate) const MAX_TEXT: usize = 32 << 20;

/// Labels of all targets of one text together: what a hundred thousand targets with twenty labels have.
const MAX_LABELS: usize = 2_000_000;

/// One group, read.
#[derive(Default)]
struct Group {
    targets: AtMost<Vec<Arc<str>>>,
    labels: AtMost<BTreeMap<Arc<str>, Arc<str>>>,
}

/// All groups. They are counted while they are read, as the smallest of them stand for the most memory.
#[derive(Default)]
struct Groups(Vec<Group>);

/// A collection of at most [`MAX_LABELS`] items; `null` is one without any.
#[derive(Default)]
struct AtMost<C>(C);

/// The targets of a JSON text. Each gets the label `origin.0` with the value `origin.1`.
pub(crate) fn from_json(text: &[u8], origin: (&str, &str)) -> Result<Vec<Target>, String> {
    let groups: Groups = serde_json::from_slice(text).map_err(|error| shortened(&error.to_string()))?;
    targets(groups, origin)
}

/// The same of a YAML text.
pub(crate) fn from_yaml(text: &str, origin: (&str, &str)) -> Result<Vec<Target>, String> {
    if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let groups: Groups = base_yaml::from_str_within(text, 2 * MAX_LABELS).map_err(|error| shortened(&error))?;
    targets(groups, origin)
}

/// Errors quote what they do not like, of any length.
fn shortened(error: &str) -> String {
    const LONGEST: usize = 200;
    match error.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

fn targets(Groups(groups): Groups, origin: (&str, &str)) -> Result<Vec<Target>, String> {
    let mut found = Vec::new();
    let address_name: Arc<str> = Arc::from("__address__");
    let origin: (Arc<str>, Arc<str>) = (Arc::from(origin.0), Arc::from(origin.1));
    for Group { targets: AtMost(addresses), labels: AtMost(mut labels) } in groups {
        if labels.contains_key("") {
            return Err("\"\" is not a valid label name".to_owned());
        }
        labels.insert(origin.0.clone(), origin.1.clone());
        for address in addresses {
            // The texts of labels stand in memory once for all targets of their group.
            let shared = labels.iter().map(|(name, value)| (name.clone(), value.clone()));
            found.push(shared.chain([(address_name.clone(), address)]).collect());
        }
    }
    Ok(found)
}

fn too_many<E: Error>() -> E {
    E::custom(format_args!("the targets have more than {MAX_LABELS} labels together"))
}

// === impl Groups ===

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Groups, D::Error> {
        deserializer.deserialize_option(GroupsVisitor)
    }
}

struct GroupsVisitor;

impl<'de> Visitor<'de> for GroupsVisitor {
    type Value = Groups;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of target groups")
    }

    fn visit_unit<E: Error>(self) -> Result<Groups, E> {
        Ok(Groups::default())
    }

    fn visit_none<E: Error>(self) -> Result<Groups, E> {
        Ok(Groups::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Groups, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Groups, A::Error> {
        let (mut groups, mut count) = (Vec::new(), 0);
        while let Some(group) = list.next_element::<Option<Group>>()? {
            let group = group.ok_or_else(|| A::Error::custom("nil target group item found"))?;
            count += group.labels.0.len() + 1 + group.targets.0.len() * (group.labels.0.len() + 2);
            if count > MAX_LABELS {
                return Err(too_many());
            }
            groups.push(group);
        }
        Ok(Groups(groups))
    }
}

// === impl Group ===

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Group, D::Error> {
        deserializer.deserialize_map(GroupVisitor)
    }
}

struct GroupVisitor;

impl<'de> Visitor<'de> for GroupVisitor {
    type Value = Group;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target group")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Group, A::Error> {
        let mut group = Group::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "targets" => group.targets = map.next_value()?,
                "labels" => group.labels = map.next_value()?,
                other => return Err(A::Error::unknown_field(other, &["targets", "labels"])),
            }
        }
        Ok(group)
    }
}

// === impl AtMost ===

impl<'de> Deserialize<'de> for AtMost<Vec<Arc<str>>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Addresses).map(AtMost)
    }
}

struct Addresses;

impl<'de> Visitor<'de> for Addresses {
    type Value = Vec<Arc<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of addresses")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = list.next_element::<Option<String>>()? {
            if addresses.len() == MAX_LABELS {
                return Err(too_many());
            }
            addresses.push(address.unwrap_or_default().into());
        }
        Ok(addresses)
    }
}

impl<'de> Deserialize<'de> for AtMost<BTreeMap<Arc<str>, Arc<str>>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Labels).map(AtMost)
    }
}

struct Labels;

impl<'de> Visitor<'de> for Labels {
    type Value = BTreeMap<Arc<str>, Arc<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut labels = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
            if labels.len() == MAX_LABELS {
                return Err(too_many());
            }
            labels.insert(name.into(), value.unwrap_or_default().into());
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: Result<Vec<Target>, String>) -> String {
        match found {
            Ok(targets) => {
                let text = |target: &Target| {
                    target.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
                };
                targets.iter().map(text).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    const ORIGIN: (&str, &str) = ("from", "f");

    fn json(text: &str) -> String {
        shown(from_json(text.as_bytes(), ORIGIN))
    }

    fn yaml(text: &str) -> String {
        shown(from_yaml(text, ORIGIN))
    }

    #[test]
    fn groups_of_json() {
        let two = r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": ["c:3"]}]"#;
        assert_eq!(json(two), "__address__=a:1,from=f,x=y __address__=b:2,from=f,x=y __address__=c:3,from=f");
        assert_eq!(json("null"), "");
        assert_eq!(json(r#"[{"targets": null, "labels": null}]"#), "");
        assert_eq!(json("[null]"), "error: nil target group item found at line 1 column 6");
        for refused in
            ["{}", "[", r#"[{"target": []}]"#, r#"[{"labels": {"a": 1}}]"#, r#"[{"labels": {"": "1"}}]"#, "[[]]"]
        {
            assert!(json(refused).starts_with("error: "), "{refused}");
        }
    }

    #[test]
    fn groups_of_yaml() {
        let two = "- targets: [d:1, \"e:2\"]\n  labels:\n    x: 1\n    __meta_q: z\n- targets:\n    - f:3\n";
        assert_eq!(
            yaml(two),
            "__address__=d:1,__meta_q=z,from=f,x=1 __address__=e:2,__meta_q=z,from=f,x=1 __address__=f:3,from=f"
        );
        assert_eq!(yaml("# nothing yet\n\n"), "");
        assert_eq!(yaml("[]"), "");
        for refused in ["a: b", "- target: []", "- [", "text"] {
            assert!(yaml(refused).starts_with("error: "), "{refused}: {}", yaml(refused));
        }
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        assert!(json(&"[".repeat(1 << 20)).starts_with("error: "));
        let targets = vec!["\"a\""; 20_000].join(",");
        let labels = (0..1000).map(|n| format!("\"l{n}\": \"\"")).collect::<Vec<_>>().join(",");
        let many = format!("[{{\"targets\": [{targets}], \"labels\": {{{labels}}}}}]");
        assert!(json(&many).starts_with("error: the targets have more than 2000000 labels together"));
        let small = format!("[{}]", vec!["{}"; MAX_LABELS + 1].join(","));
        assert!(json(&small).starts_with("error: the targets have more than"));
        assert!(json(&format!("[{:?}]", "x".repeat(1 << 20))).len() < 1000);
        let bomb = (0..40).fold("- &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
            text + &format!("- &a{} [{}]\n", n + 1, vec![format!("*a{n}"); 9].join(", "))
        });
        assert!(yaml(&bomb).starts_with("error: "));
    }
}

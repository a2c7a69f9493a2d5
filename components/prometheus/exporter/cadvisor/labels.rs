//! The labels by which containers are told apart.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::Identity;

/// Which labels of containers are shown.
#[derive(Clone, Debug)]
pub(super) enum Labelling {
    All,
    Only(Vec<String>),
}

impl Labelling {
    /// What is said of one container.
    pub fn of(&self, cgroup: &str, identity: Option<&Identity>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([("id".to_owned(), cgroup.to_owned())]);
        let Some(identity) = identity else { return labels };
        labels.insert("name".to_owned(), identity.name.clone());
        if !identity.image.is_empty() {
            labels.insert("image".to_owned(), identity.image.clone());
        }
        let shown = identity.labels.iter().filter(|(name, _)| match self {
            Labelling::All => true,
            Labelling::Only(names) => names.contains(name),
        });
        for (name, value) in shown {
            put(&mut labels, format!("container_label_{name}"), value);
        }
        for (name, value) in &identity.environment {
            put(&mut labels, format!("container_env_{name}"), value);
        }
        labels
    }
}

/// Of names that differ only in what a label's name may not have, the first that says something stays.
fn put(labels: &mut BTreeMap<String, String>, name: String, value: &str) {
    let clean = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    let known = labels.entry(name.chars().map(clean).collect()).or_default();
    if known.is_empty() {
        value.clone_into(known);
    }
}

/// Gives each the labels of all, sorted by name: empty ones where it has none.
pub(super) fn level(all: Vec<BTreeMap<String, String>>) -> Vec<Vec<(String, String)>> {
    let names: BTreeSet<String> = all.iter().flat_map(|labels| labels.keys().cloned()).collect();
    let leveled = all
        .into_iter()
        .map(|mut labels| names.iter().map(|name| (name.clone(), labels.remove(name).unwrap_or_default())).collect());
    leveled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let labels = [("com.example-team", "core"), ("com_example_team", ""), ("app", "web")];
        Identity {
            name: "plain".into(),
            image: "bb:1".into(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            environment: [("foo_a".to_owned(), "1".to_owned())].into(),
            ..Identity::default()
        }
    }

    #[test]
    fn names_of_labels_are_made_fit_and_chosen() {
        let all = Labelling::All.of("/docker/a", Some(&identity()));
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["container_env_foo_a", "container_label_app", "container_label_com_example_team", "id", "image", "name"]
        );
        assert_eq!(all["container_label_com_example_team"], "core");
        let some = Labelling::Only(vec!["app".into()]).of("/docker/a", Some(&identity()));
        assert!(some.contains_key("container_label_app") && !some.contains_key("container_label_com_example_team"));
    }

    #[test]
    fn every_container_has_the_labels_of_all() {
        let of = |name: &str, identity| Labelling::Only(Vec::new()).of(name, identity);
        let leveled =
            level(vec![of("/", None), of("/docker/a", Some(&Identity { name: "a".into(), ..Identity::default() }))]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(leveled, [[pair("id", "/"), pair("name", "")], [pair("id", "/docker/a"), pair("name", "a")]]);
    }
}

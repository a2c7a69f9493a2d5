//! Labels of targets. Their names are the same for thousands of targets, and so are the values of an object with several
//! targets: each is kept once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use language_eval::Target;
use sdk_kubernetes::label_name;
use sdk_kubernetes::objects::Metadata;

/// What every name begins with.
const PREFIX: &str = "__meta_kubernetes_";

pub const ADDRESS: &str = "__address__";

/// Every label name there is.
#[derive(Default)]
pub struct Names(HashSet<Arc<str>>);

/// Labels that become a target, or a part of several.
#[derive(Clone, Default)]
pub struct Pairs(BTreeMap<Arc<str>, Arc<str>>);

// === impl Names ===

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        self.0.insert(new.clone());
        new
    }
}

// === impl Pairs ===

impl Pairs {
    /// A label of this very name.
    pub fn set_plain(&mut self, names: &mut Names, name: &str, value: &str) {
        self.0.insert(names.get(name), value.into());
    }

    /// A label `__meta_kubernetes_NAME`.
    pub fn set(&mut self, names: &mut Names, name: &str, value: &str) {
        self.0.insert(names.get(&format!("{PREFIX}{name}")), value.into());
    }

    /// The same, if there is a value.
    pub fn set_some(&mut self, names: &mut Names, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(names, name, value);
        }
    }

    /// Name, labels and annotations of an object.
    pub fn set_object(&mut self, names: &mut Names, kind: &str, metadata: &Metadata) {
        self.set(names, &format!("{kind}_name"), &metadata.name);
        self.set_metadata(names, kind, metadata);
    }

    /// Labels and annotations of an object.
    pub fn set_metadata(&mut self, names: &mut Names, kind: &str, metadata: &Metadata) {
        for (what, pairs) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
            for (name, value) in pairs {
                let name = label_name(name);
                self.set(names, &format!("{kind}_{what}_{name}"), value);
                self.set(names, &format!("{kind}_{what}present_{name}"), "true");
            }
        }
    }

    /// With all of these, which win.
    pub fn with(&self, others: &Pairs) -> Pairs {
        let mut all = self.clone();
        all.extend(others);
        all
    }

    /// Takes these over; they win.
    pub fn extend(&mut self, others: &Pairs) {
        self.0.extend(others.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    pub fn into_target(self) -> Target {
        self.0.into_iter().collect()
    }
}

/// Host and port, with brackets around an IPv6 address.
pub fn join(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

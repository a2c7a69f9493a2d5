//! `stage.tenant`: whose the line is.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::Work;

/// The label that tells `loki.write` the tenant.
const TENANT: &str = "__tenant_id__";

/// Sets the tenant for `loki.write`. Exactly one argument must be given.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct TenantStage {
    /// Name of the label that holds it.
    #[attr(optional)]
    label: String,
    /// Name of the extracted value that holds it.
    #[attr(optional)]
    source: String,
    /// The tenant itself.
    #[attr(optional)]
    value: String,
}

enum From {
    Label(String),
    Source(Slot),
    Value(String),
}

struct Tenant {
    from: From,
    changes: Changes,
}

impl StageConfig for TenantStage {
    fn names(&self, plan: &mut Plan) {
        if !self.source.is_empty() {
            plan.read(&self.source);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let from = match (self.label.as_str(), self.source.as_str(), self.value.as_str()) {
            ("", "", "") => return Err(Problem::new("label, source or value config are required")),
            (label, "", "") => From::Label(label.to_owned()),
            ("", source, "") => From::Source(site.plan.slot_of(source)),
            ("", "", value) => From::Value(value.to_owned()),
            _ => {
                return Err(Problem::new(
                    "label, source and value are mutually exclusive: you should set source, value or label but not all",
                ));
            }
        };
        Ok(Box::new(Tenant { from, changes: Changes::default() }))
    }
}

impl Stage for Tenant {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let mut number = String::new();
        for line in lines {
            self.changes.begin(line.stream);
            match &self.from {
                From::Value(tenant) => self.changes.set(TENANT, tenant),
                From::Label(name) => match streams.labels(line.stream).get(name) {
                    Some(tenant) if !tenant.is_empty() => self.changes.set(TENANT, tenant),
                    _ => {}
                },
                From::Source(slot) => {
                    let seen = store.see(line, *slot, streams);
                    match seen.text(&mut number).and_then(|text| std::str::from_utf8(text).ok()) {
                        Some(tenant) if !tenant.is_empty() => self.changes.set(TENANT, tenant),
                        _ => {}
                    }
                }
            }
            line.stream = streams.changed(&self.changes);
        }
    }
}

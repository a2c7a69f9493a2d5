//! `stage.template`: a template sets an extracted value.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value as TemplateValue;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Streams;
use crate::process::template::Template;
use crate::process::work::{Line, Store, Value, Work};

/// Sets an extracted value by a Go template.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct TemplateStage {
    /// Name of the extracted value; `.Value` in the template, if it is there.
    #[attr]
    source: String,
    /// Go template over the extracted values by their names, `.Value` and `.Entry`, which is the line.
    #[attr]
    template: String,
}

impl Validate for TemplateStage {
    fn validate(&self) -> Result<(), Invalid> {
        if self.source.is_empty() {
            return Err(Invalid::field("source", "template source value is required"));
        }
        match Template::new(&self.template) {
            Ok(_) => Ok(()),
            Err(error) => Err(Invalid::field("template", error)),
        }
    }
}

struct Templated {
    source: Slot,
    template: Template,
    data: Data,
    uses_value: bool,
    uses_entry: bool,
}

/// What of a line's extracted values a template gets.
pub(super) struct Data {
    names: Vec<(Arc<str>, Slot)>,
    everything: bool,
}

impl StageConfig for TemplateStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
        Data::names(&self.template, plan);
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let template = Template::new(&self.template).map_err(|error| Problem::at("template", error))?;
        let uses = |name: &str| template.uses().everything || template.uses().names.contains(name);
        Ok(Box::new(Templated {
            source: site.plan.slot_of(&self.source),
            data: Data::new(&template, site.plan),
            uses_value: uses("Value"),
            uses_entry: uses("Entry"),
            template,
        }))
    }
}

// === impl Data ===

impl Data {
    /// Tells the plan what the template looks at.
    pub(super) fn names(template: &str, plan: &mut Plan) {
        if let Ok(template) = Template::new(template) {
            template.uses().names.iter().for_each(|name| plan.read(name));
            if template.uses().everything {
                plan.read_all();
            }
        }
    }

    pub(super) fn new(template: &Template, plan: &Plan) -> Data {
        let names = template.uses().names.iter().map(|name| (name.as_str().into(), plan.slot_of(name)));
        Data { names: names.collect(), everything: template.uses().everything }
    }

    /// The values as text; what cannot be text is left out.
    pub(super) fn of(&self, line: &Line, store: &Store, streams: &Streams) -> BTreeMap<Arc<str>, TemplateValue> {
        let mut number = String::new();
        let mut data = BTreeMap::new();
        if self.everything {
            for (name, seen) in store.everything(line, streams) {
                if let Some(text) = seen.text(&mut number) {
                    data.insert(name.into(), value(text));
                }
            }
            return data;
        }
        for (name, slot) in &self.names {
            if let Some(text) = store.see(line, *slot, streams).text(&mut number) {
                data.insert(name.clone(), value(text));
            }
        }
        data
    }
}

/// Templates know UTF-8 only.
pub(super) fn value(text: &[u8]) -> TemplateValue {
    TemplateValue::String(String::from_utf8_lossy(text).into())
}

impl Stage for Templated {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let mut number = String::new();
        for line in lines {
            let mut data = self.data.of(line, store, streams);
            if self.uses_value
                && let Some(text) = store.see(line, self.source, streams).text(&mut number)
            {
                data.insert("Value".into(), value(text));
            }
            if self.uses_entry {
                data.insert("Entry".into(), value(store.text(line)));
            }
            // What fails leaves the value as it was.
            let Some(text) = self.template.run(data) else { continue };
            if text.is_empty() {
                store.set(line, self.source, Value::Absent);
            } else if let Some(text) = store.push(text.as_bytes()) {
                store.set(line, self.source, Value::Text(text));
            }
        }
    }
}

//! `stage.regex`: named groups become extracted values.

use base_re2::{Regex, Slots};
use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::{Source, Span, Value, Work};

/// Extracts the named groups of a regular expression.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct RegexStage {
    /// In RE2 syntax; its first match counts.
    #[attr]
    expression: String,
    /// Name of the extracted value to look at; the line when left out.
    #[attr]
    source: Option<String>,
    /// Make every named group a label too.
    #[attr(default = false)]
    labels_from_groups: bool,
}

struct Groups {
    expression: Regex,
    source: Source,
    /// Number, slot and, if it becomes a label, name.
    groups: Vec<(usize, Option<Slot>, Option<String>)>,
    slots: Slots,
    changes: Changes,
}

impl StageConfig for RegexStage {
    fn names(&self, plan: &mut Plan) {
        if let Some(source) = &self.source {
            plan.read(source);
        }
        if let Ok(expression) = Regex::new(&self.expression) {
            expression.group_names().flatten().for_each(|name| plan.write(name));
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.expression.is_empty() {
            return Err(Problem::at("expression", "expression is required"));
        }
        if self.source.as_deref() == Some("") {
            return Err(Problem::at("source", "empty source"));
        }
        let expression = Regex::new(&self.expression)
            .map_err(|error| Problem::at("expression", format!("could not compile regular expression: {error}")))?;
        let mut groups = Vec::new();
        for (number, name) in expression.group_names().enumerate() {
            let Some(name) = name else { continue };
            let slot = site.plan.slot(name);
            let label = self.labels_from_groups.then(|| name.to_owned());
            if slot.is_some() || label.is_some() {
                groups.push((number, slot, label));
            }
        }
        Ok(Box::new(Groups {
            expression,
            source: site.source(self.source.as_deref()),
            groups,
            slots: Slots::default(),
            changes: Changes::default(),
        }))
    }
}

impl Stage for Groups {
    fn run(&mut self, work: &mut Work) {
        // Nobody looks at any group.
        if self.groups.is_empty() {
            return;
        }
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let Some(text) = self.source.span(store, line, streams) else { continue };
            if !self.expression.captures(store.bytes(line, text), &mut self.slots) {
                continue;
            }
            self.changes.begin(line.stream);
            for (number, slot, label) in &self.groups {
                // A group that takes no part is there and empty (spec §9.8).
                let part = self.slots.get(*number).map_or(Span::EMPTY, |range| text.part(range));
                store.set_if_read(line, *slot, Value::Text(part));
                if let Some(label) = label
                    && let Ok(value) = std::str::from_utf8(store.bytes(line, part))
                {
                    self.changes.set(label, value);
                }
            }
            line.stream = streams.changed(&self.changes);
        }
    }
}

//! `stage.replace`: what an expression captures is replaced.

use std::borrow::Cow;
use std::collections::HashMap;

use base_re2::{Cursor, Regex, Slots};
use language_eval::Block;
use sdk_component::Problem;

use super::template::{Data, value};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::template::Template;
use crate::process::work::{Source, Value, Work};

/// Replaces the groups of every match of a regular expression.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct ReplaceStage {
    /// In RE2 syntax. What its groups capture is replaced; without groups nothing is.
    #[attr]
    expression: String,
    /// Name of the extracted value to change; the line when empty.
    #[attr(optional)]
    source: String,
    /// Go template of what stands in the place of a group; `.Value` is what the group captured.
    #[attr(optional)]
    replace: String,
}

struct Replace {
    expression: Regex,
    source: Option<Slot>,
    with: With,
    /// Names of groups that somebody looks at.
    named: Vec<(usize, Slot)>,
    slots: Slots,
}

enum With {
    /// A template without actions.
    Text(String),
    Template(Box<Template>, Data),
}

impl StageConfig for ReplaceStage {
    fn names(&self, plan: &mut Plan) {
        if !self.source.is_empty() {
            plan.read(&self.source);
        }
        if let Ok(expression) = Regex::new(&self.expression) {
            expression.group_names().flatten().for_each(|name| plan.write(name));
        }
        Data::names(&self.replace, plan);
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.expression.is_empty() {
            return Err(Problem::at("expression", "expression is required"));
        }
        let expression = Regex::new(&self.expression)
            .map_err(|error| Problem::at("expression", format!("could not compile regular expression: {error}")))?;
        let template = Template::new(&self.replace)
            .map_err(|error| Problem::at("replace", format!("failed to compile template: {error}")))?;
        let with = if self.replace.contains("{{") {
            let data = Data::new(&template, site.plan);
            With::Template(Box::new(template), data)
        } else {
            With::Text(self.replace.clone())
        };
        let named = expression.group_names().enumerate();
        let named = named.filter_map(|(group, name)| Some((group, site.plan.slot(name?)?))).collect();
        Ok(Box::new(Replace {
            source: (!self.source.is_empty()).then(|| site.plan.slot_of(&self.source)),
            expression,
            with,
            named,
            slots: Slots::default(),
        }))
    }
}

impl Stage for Replace {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        let source = self.source.map_or(Source::Line, Source::Extracted);
        let mut result: Vec<u8> = Vec::new();
        'lines: for line in lines {
            let Some(span) = source.span(store, line, streams) else { continue };
            let text = store.bytes(line, span);
            let mut cursor = Cursor::default();
            let mut data = None;
            let mut copied = 0;
            result.clear();
            let mut any = false;
            // What each captured text became, for the named groups; the last of equal texts counts.
            let mut became: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            let mut first: Vec<(Slot, Vec<u8>)> = Vec::new();
            while self.expression.next_match(text, &mut cursor, &mut self.slots) {
                if !any {
                    let captured = |(group, slot): &(usize, Slot)| {
                        (*slot, self.slots.get(*group).map_or_else(Vec::new, |range| text[range].to_vec()))
                    };
                    first = self.named.iter().map(captured).collect();
                }
                any = true;
                for group in 1..self.expression.groups() {
                    let Some(range) = self.slots.get(group) else { continue };
                    let captured = &text[range.clone()];
                    let with = match &self.with {
                        With::Text(text) => Cow::Borrowed(text.as_str()),
                        With::Template(template, fields) => {
                            let data = data.get_or_insert_with(|| fields.of(line, store, streams));
                            data.insert("Value".into(), value(captured));
                            match template.run(data.clone()) {
                                Some(with) => Cow::Owned(with),
                                None => continue 'lines,
                            }
                        }
                    };
                    // Groups inside or over what was replaced are left (spec §3.2).
                    if copied == 0 || copied <= range.start {
                        result.extend_from_slice(&text[copied..range.start]);
                        result.extend_from_slice(with.as_bytes());
                        copied = range.end;
                    }
                    if !self.named.is_empty() {
                        became.insert(captured.to_vec(), with.into_owned().into_bytes());
                    }
                }
            }
            if !any {
                continue;
            }
            result.extend_from_slice(&text[copied..]);
            let Some(replaced) = store.push(&result) else { continue };
            match self.source {
                Some(slot) => store.set(line, slot, Value::Text(replaced)),
                None => line.text = replaced,
            }
            for (slot, captured) in first {
                if let Some(text) = became.get(&captured).and_then(|text| store.push(text)) {
                    store.set(line, slot, Value::Text(text));
                }
            }
        }
    }
}

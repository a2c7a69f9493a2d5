//! `argument` and `export` blocks.

use language_eval::{Arguments, Object, Value};
use language_syntax::Diagnostic;

use super::{Change, Stager, Subject, Unusable};

/// A value that a module is given.
#[derive(Arguments)]
struct ArgumentBlock {
    /// Whether it may be left out.
    #[attr(optional)]
    optional: bool,
    /// What it is when left out.
    #[attr(optional)]
    default: Value,
    /// For readers.
    #[attr(optional)]
    #[allow(dead_code)] // it is for readers
    comment: String,
}

/// A value that a module gives.
#[derive(Arguments)]
struct ExportBlock {
    /// The value.
    #[attr]
    value: Value,
}

impl Stager<'_> {
    pub(super) fn argument(&mut self, subject: &Subject<'_>) -> Result<(Change, Object), Unusable> {
        let block: ArgumentBlock = subject.body().decode().map_err(|found| self.refuse(found))?;
        let name = subject.planned().label.as_deref().unwrap_or_default();
        let inputs = &subject.module.inputs;
        let value = match inputs.arguments.get(name) {
            Some(value) => value.clone(),
            None if block.optional => block.default,
            None => {
                let message = format!("missing required argument {name:?} to module");
                let place = inputs.call.clone().unwrap_or_else(|| subject.planned().location());
                let declared = format!("it is declared at {}", subject.planned().location());
                self.diagnostics.push(Diagnostic::error(place, message).with_hint(declared));
                return Err(Unusable);
            }
        };
        Ok((Change::Nothing, value_of(value)))
    }

    pub(super) fn export(&mut self, subject: &Subject<'_>) -> Result<(Change, Object), Unusable> {
        let block: ExportBlock = subject.body().decode().map_err(|found| self.refuse(found))?;
        Ok((Change::Nothing, value_of(block.value)))
    }

    pub(super) fn refuse(&mut self, diagnostics: language_syntax::Diagnostics) -> Unusable {
        self.diagnostics.extend(diagnostics);
        Unusable
    }
}

fn value_of(value: Value) -> Object {
    [("value", value)].into_iter().collect()
}

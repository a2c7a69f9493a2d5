//! Statements and conditions of one context, ready to run.

use std::fmt;
use std::str::FromStr;

use sdk_protocols_otlp::Signal;

use crate::compile::Compiler;
use crate::context::{Context, On};
use crate::error::Error;
use crate::expression::{Condition, Edit};
use crate::fault::{Blame, Fault};
use crate::functions::{Built, Use};
use crate::{infer, parser};

/// What becomes of a statement that fails on an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorMode {
    /// It is told in the log, and the next one runs.
    #[default]
    Ignore,
    /// The next one runs.
    Silent,
    /// The payload is refused.
    Propagate,
}

impl FromStr for ErrorMode {
    type Err = String;

    fn from_str(name: &str) -> Result<ErrorMode, String> {
        match name.to_ascii_lowercase().as_str() {
            "ignore" => Ok(ErrorMode::Ignore),
            "silent" => Ok(ErrorMode::Silent),
            "propagate" => Ok(ErrorMode::Propagate),
            _ => Err(format!("unknown error mode {name}")),
        }
    }
}

/// A statement or condition that failed on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its text.
    pub text: String,
    /// Whether it is a condition.
    pub condition: bool,
    /// Why.
    pub error: Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.condition { "failed to eval condition" } else { "failed to execute statement" };
        write!(f, "{what}: {}, {}", self.text, self.error)
    }
}

impl std::error::Error for Failed {}

/// Conditions, of which one that holds is enough.
pub struct Conditions {
    context: Context,
    mode: ErrorMode,
    conditions: Vec<(String, Condition)>,
}

/// Statements, run one after another on each item on which a condition holds, if there are conditions.
pub struct Statements {
    context: Context,
    mode: ErrorMode,
    gate: Option<Conditions>,
    statements: Vec<Statement>,
}

struct Statement {
    text: String,
    condition: Condition,
    edit: Edit,
}

/// Where a failure is told that stops nothing.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&Failed);

// === impl Conditions ===

impl Conditions {
    /// Compiles conditions of a context, whose paths need not name it.
    pub fn new(context: Context, texts: &[String], mode: ErrorMode) -> Result<Conditions, Vec<Fault>> {
        Conditions::compile(Compiler { context, prefixed: false, used: Use::Conditions }, texts, mode)
    }

    /// Compiles a condition of whatever context it names.
    pub fn inferred(signal: Signal, text: &str, mode: ErrorMode) -> Result<Conditions, Vec<Fault>> {
        let texts = [text.to_owned()];
        let context = infer::context(signal, &[], &texts)?;
        Conditions::compile(Compiler { context, prefixed: true, used: Use::Conditions }, &texts, mode)
    }

    fn compile(compiler: Compiler, texts: &[String], mode: ErrorMode) -> Result<Conditions, Vec<Fault>> {
        let compile = |text: &str| compiler.condition(&parser::condition(text)?);
        let conditions = each(texts, |text| Ok((text.to_owned(), compile(text)?)))?;
        Ok(Conditions { context: compiler.context, mode, conditions })
    }

    /// What they run on.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Whether one of them holds. One that fails does not hold.
    pub fn any(&self, on: &On<'_>, tell: Tell<'_>) -> Result<bool, Failed> {
        for (text, condition) in &self.conditions {
            match condition.holds(on) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => report(self.mode, Failed { text: text.clone(), condition: true, error }, tell)?,
            }
        }
        Ok(false)
    }
}

// === impl Statements ===

impl Statements {
    /// Compiles statements of a context, whose paths need not name it. If there are conditions, the statements run only
    /// on items on which one holds.
    pub fn new(
        context: Context,
        texts: &[String],
        conditions: &[String],
        mode: ErrorMode,
    ) -> Result<Statements, Vec<Fault>> {
        let compiler = Compiler { context, prefixed: false, used: Use::Statements };
        let mut statements = Statements::compile(compiler, texts, mode)?;
        if !conditions.is_empty() {
            statements.gate = Some(Conditions::new(context, conditions, mode)?);
        }
        Ok(statements)
    }

    /// Compiles statements of whatever context they name.
    pub fn inferred(signal: Signal, texts: &[String], mode: ErrorMode) -> Result<Statements, Vec<Fault>> {
        let context = infer::context(signal, texts, &[])?;
        Statements::compile(Compiler { context, prefixed: true, used: Use::Statements }, texts, mode)
    }

    fn compile(compiler: Compiler, texts: &[String], mode: ErrorMode) -> Result<Statements, Vec<Fault>> {
        let statements = each(texts, |text| {
            let tree = parser::statement(text)?;
            let edit = match compiler.call(&tree.editor)? {
                Built::Editor(edit) => edit,
                Built::Converter(_) => return Err(Blame::new(tree.editor.name_at, "a converter changes nothing")),
            };
            let condition = tree.condition.as_ref().map(|condition| compiler.condition(condition)).transpose()?;
            Ok(Statement { text: text.to_owned(), condition: condition.unwrap_or(Condition::Literal(true)), edit })
        })?;
        Ok(Statements { context: compiler.context, mode, gate: None, statements })
    }

    /// What they run on.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Runs them on an item.
    pub fn run(&self, on: &mut On<'_>, tell: Tell<'_>) -> Result<(), Failed> {
        if let Some(gate) = &self.gate
            && !gate.any(on, tell)?
        {
            return Ok(());
        }
        for statement in &self.statements {
            let done = match statement.condition.holds(on) {
                Ok(true) => (statement.edit)(on),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let failed = Failed { text: statement.text.clone(), condition: false, error };
                report(self.mode, failed, tell)?;
            }
        }
        Ok(())
    }
}

fn report(mode: ErrorMode, failed: Failed, tell: Tell<'_>) -> Result<(), Failed> {
    match mode {
        ErrorMode::Propagate => return Err(failed),
        ErrorMode::Ignore => tell(&failed),
        ErrorMode::Silent => {}
    }
    Ok(())
}

/// Compiles each text; every fault is told, not only the first.
fn each<T>(texts: &[String], mut compile: impl FnMut(&str) -> Result<T, Blame>) -> Result<Vec<T>, Vec<Fault>> {
    let (mut compiled, mut faults) = (Vec::with_capacity(texts.len()), Vec::new());
    for text in texts {
        match compile(text) {
            Ok(one) => compiled.push(one),
            Err(blame) => faults.push(blame.in_text(text)),
        }
    }
    if faults.is_empty() { Ok(compiled) } else { Err(faults) }
}

//! The functions of templates: those of Alloy's own (`ToLower`, `Hash`, …), and of the sprig library what logs need.
//!
//! What sprig has and this has not (keys and certificates, `set` and `unset`, case converters such as `snakecase`) is
//! refused when the configuration is loaded.

mod encode;
mod expressions;
mod kinds;
mod lists;
mod math;
mod paths;
mod text;
mod times;
mod versions;

use std::sync::{Arc, LazyLock};

use gotmpl::{FuncMap, TemplateError, Value};

type Result<T> = std::result::Result<T, TemplateError>;

/// Go's own functions, which the crate has.
const BUILT_IN: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "call", "print", "printf", "println", "html", "js", "urlquery", "eq",
    "ne", "lt", "le", "gt", "ge",
];

/// All of ours.
pub fn all() -> FuncMap {
    static ALL: LazyLock<FuncMap> = LazyLock::new(|| {
        let mut functions = Functions(FuncMap::new());
        text::add(&mut functions);
        expressions::add(&mut functions);
        versions::add(&mut functions);
        lists::add(&mut functions);
        math::add(&mut functions);
        encode::add(&mut functions);
        times::add(&mut functions);
        kinds::add(&mut functions);
        paths::add(&mut functions);
        functions.0
    });
    ALL.clone()
}

/// Whether there is a function of that name.
pub fn exists(name: &str) -> bool {
    static NAMES: LazyLock<FuncMap> = LazyLock::new(all);
    BUILT_IN.contains(&name) || NAMES.contains_key(name)
}

/// Where the parts of the library put their functions.
struct Functions(FuncMap);

impl Functions {
    /// A function under one or more names, that takes so many arguments.
    fn add(
        &mut self,
        names: &[&'static str],
        arguments: std::ops::RangeInclusive<usize>,
        function: impl Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    ) {
        let name = names[0];
        let function: gotmpl::ValueFunc = Arc::new(move |given: &[Value]| {
            if !arguments.contains(&given.len()) {
                return fail(format!("wrong number of arguments for {name}: {}", given.len()));
            }
            function(given)
        });
        for name in names {
            self.0.insert((*name).to_owned(), function.clone());
        }
    }
}

/// Any number from here on.
const MANY: usize = usize::MAX;

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::Exec(message.into()))
}

fn string(text: impl Into<Arc<str>>) -> Result<Value> {
    Ok(Value::String(text.into()))
}

fn list(values: impl IntoIterator<Item = Value>) -> Result<Value> {
    Ok(Value::List(values.into_iter().collect::<Vec<_>>().into()))
}

/// An argument that must be text.
fn text_of(arguments: &[Value], at: usize) -> Result<&str> {
    match arguments.get(at) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => fail(format!("expected string, got {}", other.type_name())),
        None => fail("an argument is missing"),
    }
}

/// An argument that must be a whole number.
fn int_of(arguments: &[Value], at: usize) -> Result<i64> {
    match arguments.get(at) {
        Some(Value::Int(number)) => Ok(*number),
        Some(Value::Uint(number)) => i64::try_from(*number).or_else(|_| fail("integer too large")),
        Some(other) => fail(format!("expected integer, got {}", other.type_name())),
        None => fail("an argument is missing"),
    }
}

/// An argument that must be a list.
fn list_of(arguments: &[Value], at: usize) -> Result<&[Value]> {
    match arguments.get(at) {
        Some(Value::List(values)) => Ok(values),
        Some(other) => fail(format!("expected list, got {}", other.type_name())),
        None => fail("an argument is missing"),
    }
}

/// An argument that must be a dictionary.
fn map_of(arguments: &[Value], at: usize) -> Result<&std::collections::BTreeMap<Arc<str>, Value>> {
    match arguments.get(at) {
        Some(Value::Map(map)) => Ok(map),
        Some(other) => fail(format!("expected map, got {}", other.type_name())),
        None => fail("an argument is missing"),
    }
}

/// Anything as text, as sprig's `toString` makes it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    }
}

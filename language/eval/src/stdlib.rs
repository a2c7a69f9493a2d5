//! The standard library (spec §2.7): namespaces, constants, functions, and the old names that still work.

mod arguments;
mod arrays;
mod encodings;
mod format;
mod json;
mod json_path;
mod strings;
mod system;
mod yaml;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use crate::value::{Function, FunctionError, Object, Value};

/// What a function is called and whether it may be used freely.
#[derive(Clone, Copy)]
pub struct FunctionInfo {
    /// As written: `string.format`.
    pub name: &'static str,
    /// What it takes: `format, arguments…`.
    pub parameters: &'static str,
    /// Needs `--stability.level=experimental`.
    pub experimental: bool,
    /// For an old name, the one to use now.
    pub replaced_by: Option<&'static str>,
    call: Call,
}

type Call = fn(&[Value]) -> Result<Value, FunctionError>;

/// What a use of an old name is answered with, as a warning.
pub const DEPRECATED: &str =
    "this stdlib function is deprecated; please refer to the documentation for updated usage and alternatives";

/// How long a text or list a function may make, in bytes or items. Arguments of a few kilobytes can ask for gigabytes.
const MAX_RESULT: usize = 16 << 20;

const fn function(name: &'static str, parameters: &'static str, call: Call) -> FunctionInfo {
    FunctionInfo { name, parameters, experimental: false, replaced_by: None, call }
}

const fn experimental(name: &'static str, parameters: &'static str, call: Call) -> FunctionInfo {
    FunctionInfo { experimental: true, ..function(name, parameters, call) }
}

const fn deprecated(
    name: &'static str,
    replaced_by: &'static str,
    parameters: &'static str,
    call: Call,
) -> FunctionInfo {
    FunctionInfo { replaced_by: Some(replaced_by), ..function(name, parameters, call) }
}

/// Every function.
pub const FUNCTIONS: &[FunctionInfo] = &[
    function("coalesce", "values…", system::coalesce),
    function("json_path", "json, path", json_path::json_path),
    function("sys.env", "name", system::env),
    function("convert.nonsensitive", "secret", system::nonsensitive),
    function("array.concat", "lists…", arrays::concat),
    experimental("array.combine_maps", "left, right, keys, passthrough", arrays::combine_maps),
    experimental("array.group_by", "list, key, drop_missing", arrays::group_by),
    function("encoding.from_json", "text", json::from_json),
    function("encoding.from_yaml", "text", yaml::from_yaml),
    function("encoding.from_base64", "text", encodings::from_base64),
    function("encoding.from_URLbase64", "text", encodings::from_url_base64),
    function("encoding.to_json", "object", json::to_json),
    function("encoding.to_base64", "text", encodings::to_base64),
    function("encoding.to_URLbase64", "text", encodings::to_url_base64),
    function("encoding.url_encode", "text", encodings::url_encode),
    function("encoding.url_decode", "text", encodings::url_decode),
    function("file.path_join", "parts…", system::path_join),
    function("string.format", "format, values…", format::format),
    function("string.join", "list, separator", strings::join),
    function("string.replace", "text, old, new", strings::replace),
    function("string.split", "text, separator", strings::split),
    function("string.to_lower", "text", strings::to_lower),
    function("string.to_upper", "text", strings::to_upper),
    function("string.trim", "text, characters", strings::trim),
    function("string.trim_prefix", "text, prefix", strings::trim_prefix),
    function("string.trim_suffix", "text, suffix", strings::trim_suffix),
    function("string.trim_space", "text", strings::trim_space),
    deprecated("env", "sys.env", "name", system::env),
    deprecated("nonsensitive", "convert.nonsensitive", "secret", system::nonsensitive),
    deprecated("concat", "array.concat", "lists…", arrays::concat),
    deprecated("json_decode", "encoding.from_json", "text", json::from_json),
    deprecated("yaml_decode", "encoding.from_yaml", "text", yaml::from_yaml),
    deprecated("base64_decode", "encoding.from_base64", "text", encodings::from_base64),
    deprecated("format", "string.format", "format, values…", format::format),
    deprecated("join", "string.join", "list, separator", strings::join),
    deprecated("replace", "string.replace", "text, old, new", strings::replace),
    deprecated("split", "string.split", "text, separator", strings::split),
    deprecated("to_lower", "string.to_lower", "text", strings::to_lower),
    deprecated("to_upper", "string.to_upper", "text", strings::to_upper),
    deprecated("trim", "string.trim", "text, characters", strings::trim),
    deprecated("trim_prefix", "string.trim_prefix", "text, prefix", strings::trim_prefix),
    deprecated("trim_suffix", "string.trim_suffix", "text, suffix", strings::trim_suffix),
    deprecated("trim_space", "string.trim_space", "text", strings::trim_space),
];

static VERSION: OnceLock<String> = OnceLock::new();

static NAMES: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    let mut namespaces: BTreeMap<&str, Vec<(&str, Value)>> = BTreeMap::new();
    for info in FUNCTIONS {
        let value = Value::Function(Function { name: info.name, call: info.call });
        match info.name.split_once('.') {
            Some((namespace, name)) => namespaces.entry(namespace).or_default().push((name, value)),
            None => {
                names.insert(info.name, value);
            }
        }
    }
    namespaces.insert("constants", system::constants(VERSION.get().map_or("", String::as_str)));
    names.extend(
        namespaces.into_iter().map(|(name, fields)| (name, Value::Object(fields.into_iter().collect::<Object>()))),
    );
    names
});

/// What `constants.version` says. Only the first call, before anything is evaluated, has an effect.
pub fn set_version(version: &str) {
    let _ = VERSION.set(version.to_owned());
}

/// The value of a first name: a function or a namespace.
pub fn lookup(name: &str) -> Option<Value> {
    NAMES.get(name).cloned()
}

/// Every first name.
pub fn first_names() -> impl Iterator<Item = &'static str> {
    NAMES.keys().copied()
}

/// A function by its full name.
pub fn info(name: &str) -> Option<&'static FunctionInfo> {
    FUNCTIONS.iter().find(|info| info.name == name)
}

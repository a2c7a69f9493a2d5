//! `coalesce`, `sys.*`, `convert.*`, `file.*` and `constants`.

use super::arguments::{get, only};
use crate::secret::SecretString;
use crate::value::{FunctionError, Number, Text, Value};

pub fn constants(version: &str) -> Vec<(&'static str, Value)> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        arch => arch,
    };
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    let version = version.trim().trim_start_matches('v');
    let version = if version.is_empty() { "0.0.0" } else { version };
    vec![
        ("hostname", Value::from(hostname.to_string_lossy().as_ref())),
        ("os", Value::from(os)),
        ("arch", Value::from(arch)),
        ("version", Value::from(format!("v{version}"))),
    ]
}

/// The first argument that is not zero, else the last.
pub fn coalesce(arguments: &[Value]) -> Result<Value, FunctionError> {
    let found = arguments.iter().find(|value| !is_zero(value)).or(arguments.last());
    Ok(found.cloned().unwrap_or(Value::Null))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(Number::Int(number)) => *number == 0,
        Value::Number(Number::Uint(number)) => *number == 0,
        Value::Number(Number::Float(number)) => *number == 0.0,
        Value::String(text) => text.as_bytes().is_empty(),
        Value::Bool(truth) => !truth,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Function(_) => false,
        Value::Secret(secret) => !secret.is_secret() && secret.value.as_bytes().is_empty(),
        Value::Target(target) => target.is_empty(),
        Value::Capsule(capsule) => capsule.object().is_zero(),
    }
}

pub fn env(arguments: &[Value]) -> Result<Value, FunctionError> {
    let name: String = only(arguments)?;
    // The standard library refuses such names itself by a panic.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Ok(Value::from(""));
    }
    let value = std::env::var_os(&name).unwrap_or_default();
    Ok(Value::String(Text::from_bytes(value.as_encoded_bytes())))
}

pub fn nonsensitive(arguments: &[Value]) -> Result<Value, FunctionError> {
    let secret: SecretString = only(arguments)?;
    Ok(Value::String(Text::from_bytes(secret.expose_bytes())))
}

/// The parts with slashes between them, cleaned: no empty, `.` or inner `..` parts.
pub fn path_join(arguments: &[Value]) -> Result<Value, FunctionError> {
    let parts: Vec<String> = (0..arguments.len()).map(|at| get(arguments, at)).collect::<Result<_, _>>()?;
    let joined = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("/");
    Ok(Value::from(if joined.is_empty() { joined } else { clean(&joined) }))
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

//! Reference pages out of the sources: a component's page is the doc comments of its arguments and exports, with the
//! types and defaults that its decoder uses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use language_eval::schema::{BlockSchema, FieldKind, FieldSchema, Repeat, TypeSchema};
use language_eval::{Number, Value};
use sdk_component::{Definition, Stability};

use crate::workspace::root;

/// Writes every page.
pub fn write() -> std::io::Result<usize> {
    let pages = pages();
    let folder = root().join("docs/reference");
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !pages.contains_key(&path) {
            std::fs::remove_file(path)?;
        }
    }
    for (path, text) in &pages {
        std::fs::write(path, text)?;
    }
    Ok(pages.len())
}

/// Every page that is not what [`write`] would write.
pub fn faults() -> Vec<String> {
    let pages = pages();
    let mut faults = Vec::new();
    for (path, text) in &pages {
        if std::fs::read_to_string(path).unwrap_or_default() != *text {
            let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            faults.push(format!("{shown} is not what the sources say; run `cargo xtask docs`"));
        }
    }
    faults
}

fn pages() -> BTreeMap<PathBuf, String> {
    let folder = root().join("docs/reference");
    let mut pages: BTreeMap<PathBuf, String> = components::all()
        .map(|definition| (folder.join(format!("{}.md", definition.name)), page(definition)))
        .collect();
    pages.insert(folder.join("README.md"), index());
    if let Some(text) = crate::differences::page() {
        pages.insert(root().join("docs/compatibility.md"), text);
    }
    pages
}

fn index() -> String {
    let mut definitions: Vec<&Definition> = components::all().collect();
    definitions.sort_by_key(|definition| definition.name);
    let mut text = String::from(
        "# Components\n\nWritten by `cargo xtask docs` from the sources.\n\n| Component | Stability | |\n|---|---|---|\n",
    );
    for definition in definitions {
        let summary = summary((definition.arguments)().doc);
        let _ = writeln!(text, "| [{0}]({0}.md) | {1} | {summary} |", definition.name, words(definition.stability));
    }
    text
}

fn page(definition: &Definition) -> String {
    let (arguments, exports) = ((definition.arguments)(), (definition.exports)());
    let mut text = format!("# {}\n\n", definition.name);
    let _ = writeln!(text, "{}\n", prose(arguments.doc));
    let _ = writeln!(
        text,
        "Stability: {}.{}\n",
        words(definition.stability),
        if definition.community { " Community component." } else { "" }
    );
    let mut blocks = Vec::new();
    collect_blocks("", &arguments, &mut blocks, 0);
    attributes(&mut text, "## Arguments", &arguments);
    if !blocks.is_empty() {
        text += "## Blocks\n\n| Block | How often | |\n|---|---|---|\n";
        for (path, field, repeat, _) in &blocks {
            let often = match (repeat, field.required) {
                (Repeat::Once, true) => "once",
                (Repeat::Once, false) => "at most once",
                (Repeat::Many, true) => "at least once",
                (Repeat::Many, false) => "any number",
                (Repeat::Variant, _) => "any number, in order",
            };
            let _ = writeln!(text, "| [{path}](#{}) | {often} | {} |", anchor(path), summary(field.doc));
        }
        text.push('\n');
        for (path, field, _, schema) in &blocks {
            let _ = writeln!(text, "### {path}\n");
            let doc = if field.doc.trim().is_empty() { schema.doc } else { field.doc };
            if !doc.trim().is_empty() {
                let _ = writeln!(text, "{}\n", prose(doc));
            }
            attributes(&mut text, "", schema);
        }
    }
    if !exports.fields.is_empty() {
        text += "## Exports\n\n| Name | Type | |\n|---|---|---|\n";
        for field in &exports.fields {
            if let FieldKind::Attribute { value, .. } = &field.kind {
                let _ = writeln!(text, "| `{}` | {} | {} |", field.name, type_words(value), cell(field.doc));
            }
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

type Found = (String, FieldSchema, Repeat, BlockSchema);

/// Blocks in order, children after their parent. `stage.match` holds stages again: a name that its own path holds already
/// is not followed.
fn collect_blocks(parent: &str, schema: &BlockSchema, found: &mut Vec<Found>, depth: usize) {
    for field in &schema.fields {
        let FieldKind::Block { schema, repeat, .. } = &field.kind else { continue };
        let path = if parent.is_empty() { field.name.to_owned() } else { format!("{parent} > {}", field.name) };
        let inner = schema();
        found.push((path.clone(), field.clone(), *repeat, inner.clone()));
        let nests_itself = inner.fields.iter().any(|child| child.name == field.name);
        if depth < 6 && !nests_itself {
            collect_blocks(&path, &inner, found, depth + 1);
        }
    }
}

fn attributes(text: &mut String, heading: &str, schema: &BlockSchema) {
    let rows: Vec<String> = schema
        .fields
        .iter()
        .filter_map(|field| match &field.kind {
            FieldKind::Attribute { value, default } => Some(format!(
                "| `{}` | {} | {} | {} |",
                field.name,
                type_words(value),
                match (field.required, default) {
                    (true, _) => "**required**".to_owned(),
                    (false, Some(Value::Secret(_)) | None) => String::new(),
                    (false, Some(default)) => format!("`{}`", shown(default)),
                },
                cell(field.doc)
            )),
            FieldKind::Block { .. } => None,
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    if !heading.is_empty() {
        let _ = writeln!(text, "{heading}\n");
    }
    let _ = writeln!(text, "| Name | Type | Default | |\n|---|---|---|---|\n{}\n", rows.join("\n"));
}

fn shown(value: &Value) -> String {
    expression(value).replace('|', "\\|")
}

/// A value as one would write it.
fn expression(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Number(Number::Int(number)) => number.to_string(),
        Value::Number(Number::Uint(number)) => number.to_string(),
        Value::Number(Number::Float(number)) => number.to_string(),
        Value::String(text) => format!("{:?}", text.to_string_lossy()),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(expression).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            format!(
                "{{{}}}",
                fields
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", expression(value)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Value::Secret(_) => "(secret)".to_owned(),
        Value::Function(_) | Value::Target(_) | Value::Capsule(_) => "unset".to_owned(),
    }
}

fn type_words(kind: &TypeSchema) -> String {
    match kind {
        TypeSchema::Any => "any".to_owned(),
        TypeSchema::Bool => "bool".to_owned(),
        TypeSchema::Int | TypeSchema::Uint => "int".to_owned(),
        TypeSchema::Float => "number".to_owned(),
        TypeSchema::String => "string".to_owned(),
        TypeSchema::Duration => "duration".to_owned(),
        TypeSchema::Text(form) => (*form).to_owned(),
        TypeSchema::Word(words) => words.iter().map(|word| format!("`{word:?}`")).collect::<Vec<_>>().join(", "),
        TypeSchema::Secret => "secret".to_owned(),
        TypeSchema::List(item) => format!("list of {}", type_words(item)),
        TypeSchema::Map(item) => format!("map of {}", type_words(item)),
        TypeSchema::Struct(_) => "object".to_owned(),
        TypeSchema::Target => "target".to_owned(),
        TypeSchema::Capsule(name) => format!("capsule `{name}`"),
    }
}

fn words(stability: Stability) -> &'static str {
    match stability {
        Stability::GenerallyAvailable => "generally available",
        Stability::PublicPreview => "public preview",
        Stability::Experimental => "experimental",
    }
}

fn anchor(path: &str) -> String {
    path.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>()
        .replace(' ', "-")
        .to_lowercase()
}

/// The doc comment as written, each line without the blank that follows `///`.
fn prose(doc: &str) -> String {
    doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn cell(doc: &str) -> String {
    prose(doc).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The first sentence.
fn summary(doc: &str) -> String {
    let text = prose(doc);
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let text = cell(paragraph);
    text.split_once(". ").map_or(text.clone(), |(first, _)| format!("{first}."))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_is_what_the_sources_say() {
        assert_eq!(super::faults(), Vec::<String>::new());
    }
}

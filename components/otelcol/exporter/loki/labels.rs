//! Which attributes become labels: what the hints of a record and its resource say.

use std::borrow::Cow;
use std::sync::LazyLock;

use base_stdx::float;
use sdk_labels::Labels;
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Any, AnyValue, Attribute, array, map};

/// Names attributes of the record.
const ATTRIBUTE_LABELS: &[u8] = b"loki.attribute.labels";
/// Names attributes of the resource.
const RESOURCE_LABELS: &[u8] = b"loki.resource.labels";
/// Says what the line looks like.
const FORMAT: &[u8] = b"loki.format";
/// Would name the attribute that holds the tenant; Alloy takes it off, and nothing more.
const TENANT: &[u8] = b"loki.tenant";

/// The attribute that a severity becomes.
const LEVEL: &str = "level";

/// How often parts of one dotted name are looked up at most.
const MOST_LOOKUPS: u32 = 256;

/// The names of severities, as encoded values; 0 and all that is not defined have none.
static LEVELS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let numbered = names.iter().flat_map(|name| {
        [String::new(), "2".to_owned(), "3".to_owned(), "4".to_owned()].map(|number| format!("{name}{number}"))
    });
    std::iter::once(String::new()).chain(numbered).map(|name| any::text(name.as_bytes())).collect()
});

/// Attributes of a record or a resource.
pub(super) type Attributes<'a> = Vec<Attribute<'a>>;

/// Labels by the names of their attributes, which are no names of labels yet.
#[derive(Default)]
pub(super) struct Chosen<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// What hints a resource gives to all its records.
pub(super) struct Resource<'a> {
    pub(super) attributes: Attributes<'a>,
    job: Option<String>,
    instance: Option<String>,
}

/// The value of the first attribute with this key.
pub(super) fn find<'a>(attributes: &[Attribute<'a>], key: &[u8]) -> Option<AnyValue<'a>> {
    attributes.iter().find(|pair| pair.key == key).map(|pair| pair.value)
}

/// What the line is to look like: the resource's word comes first.
pub(super) fn format(record: &[Attribute<'_>], resource: &[Attribute<'_>]) -> String {
    find(resource, FORMAT).or_else(|| find(record, FORMAT)).map_or_else(|| "json".to_owned(), text::of)
}

/// The attribute that tells the severity, for records that have a severity and no such attribute.
pub(super) fn level(severity: i32, attributes: &[Attribute<'_>]) -> Option<Attribute<'static>> {
    if severity == 0 || find(attributes, LEVEL.as_bytes()).is_some() {
        return None;
    }
    let known = usize::try_from(severity).ok().and_then(|severity| LEVELS.get(severity));
    Some(Attribute { key: LEVEL.as_bytes(), value: AnyValue(known.unwrap_or(&LEVELS[0])) })
}

// === impl Resource ===

impl<'a> Resource<'a> {
    pub(super) fn new(attributes: Attributes<'a>) -> Resource<'a> {
        let find = |key: &[u8]| find(&attributes, key).map(text::of);
        let job = find(b"service.name").map(|name| match find(b"service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        });
        let instance = find(b"service.instance.id");
        Resource { attributes, job, instance }
    }
}

// === impl Chosen ===

impl<'a> Chosen<'a> {
    /// What the hints choose of a record with this severity, beside the labels that all have.
    pub(super) fn by_hints(severity: i32, record: &[Attribute<'a>], resource: &'a Resource<'a>) -> Chosen<'a> {
        let mut chosen = Chosen::default();
        chosen.set(Cow::Borrowed("exporter"), Cow::Borrowed("OTLP"));
        for (name, value) in [("job", &resource.job), ("instance", &resource.instance)] {
            if let Some(value) = value {
                chosen.set(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
        for hint in [find(&resource.attributes, RESOURCE_LABELS), find(record, RESOURCE_LABELS)].into_iter().flatten() {
            chosen.choose(names(hint), &resource.attributes);
        }
        let hint = find(record, ATTRIBUTE_LABELS);
        if let Some(hint) = hint {
            chosen.choose(names(hint), record);
        }
        let takes_level = hint.is_none_or(|hint| matches!(hint.get(), Any::Text(_) | Any::Array(_)));
        if severity != 0 && takes_level {
            chosen.choose(vec![Cow::Borrowed(LEVEL)], record);
        }
        // Of two attributes that make one label the later name wins, whichever it is.
        chosen.0.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        chosen
    }

    fn choose(&mut self, names: Vec<Cow<'a, str>>, attributes: &[Attribute<'a>]) {
        for name in names {
            let mut lookups = MOST_LOOKUPS;
            if let Some(value) = nested(name.trim(), attributes, &mut lookups) {
                let name = match name {
                    Cow::Borrowed(name) => Cow::Borrowed(name.trim()),
                    Cow::Owned(name) => Cow::Owned(name.trim().to_owned()),
                };
                let value = match value.get() {
                    Any::Text(text) => String::from_utf8_lossy(text),
                    _ => Cow::Owned(text::of(value)),
                };
                self.set(name, value);
            }
        }
    }

    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Whether an attribute stays out of the line: a hint, or what became a label.
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        [ATTRIBUTE_LABELS, RESOURCE_LABELS, TENANT, FORMAT].contains(&key)
            || self.0.iter().any(|(name, _)| name.as_bytes() == key)
    }

    /// Names and values as bytes that only the same names and values have.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            key.extend((text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
    }

    /// As labels.
    ///
    /// # Errors
    /// An attribute whose name has nothing that a label's name may have.
    pub(super) fn labels(&self) -> Result<Labels, String> {
        let pairs: Result<Vec<_>, String> = self.0.iter().map(|(name, value)| Ok((label(name)?, value))).collect();
        Ok(Labels::from_pairs(pairs?))
    }
}

/// The names in a hint: parted by commas, or a list.
fn names(hint: AnyValue<'_>) -> Vec<Cow<'_, str>> {
    match hint.get() {
        Any::Text(text) => match String::from_utf8_lossy(text) {
            Cow::Borrowed(text) => text.split(',').map(Cow::Borrowed).collect(),
            Cow::Owned(text) => text.split(',').map(|name| Cow::Owned(name.to_owned())).collect(),
        },
        Any::Array(list) => array(list).map(name).collect(),
        _ => vec![Cow::Owned(text::of(hint))],
    }
}

fn name(value: AnyValue<'_>) -> Cow<'_, str> {
    match value.get() {
        Any::Text(text) => String::from_utf8_lossy(text),
        Any::Double(number) => Cow::Owned(float::general(number)),
        _ => Cow::Owned(text::of(value)),
    }
}

/// The attribute of this name; of a dotted name, what its last part names inside the map that the others name.
fn nested<'a>(name: &str, attributes: &[Attribute<'a>], lookups: &mut u32) -> Option<AnyValue<'a>> {
    *lookups = lookups.checked_sub(1)?;
    if let Some(value) = find(attributes, name.as_bytes()) {
        return Some(value);
    }
    for (dot, _) in name.rmatch_indices('.') {
        if let Some(value) = nested(&name[..dot], attributes, lookups)
            && let Any::Map(list) = value.get()
        {
            let inside: Attributes<'a> = map(list).collect();
            return nested(&name[dot + 1..], &inside, lookups);
        }
    }
    None
}

/// The name of a label in Prometheus' classic form; runs of what may not be there become one underscore.
fn label(name: &str) -> Result<String, String> {
    let reserved = name.len() >= 4 && name.starts_with("__") && name.ends_with("__");
    let inner = if reserved { &name[2..name.len() - 2] } else { name };
    let mut label = String::with_capacity(name.len());
    for c in inner.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.ends_with('_') {
            label.push('_');
        }
    }
    if reserved {
        label = format!("__{label}__");
    }
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "key_");
    }
    if label.bytes().all(|byte| byte == b'_') {
        return Err(format!("the attribute {name:?} cannot be a label: nothing of its name can be in a label's name"));
    }
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_named_in_the_classic_form() {
        for (name, expect) in [
            ("host.name", "host_name"),
            ("a..b-_c", "a_b_c"),
            ("9x", "key_9x"),
            ("_a", "_a"),
            ("__reserved.x__", "__reserved_x__"),
            ("café", "caf_"),
        ] {
            assert_eq!(label(name).as_deref(), Ok(expect), "{name}");
        }
        for name in ["", "..", "____", "é"] {
            assert!(label(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_dotted_name_reaches_into_maps_within_bounds() {
        let inner = any::map([(&b"b.c"[..], &any::int(1)[..])]);
        let attributes = [Attribute { key: b"x.a", value: AnyValue(&inner) }];
        let find = |name: &str| nested(name, &attributes, &mut { MOST_LOOKUPS }).map(text::of);
        assert_eq!(find("x.a.b.c").as_deref(), Some("1"));
        assert_eq!(find("x.a.b"), None);
        assert_eq!(find(&"a.".repeat(10_000)), None);
    }
}

//! Configurations of other collectors, which people give us by mistake.

const YAML: &str = "this looks like YAML, as Prometheus, Promtail and the OpenTelemetry Collector have it, and not like Alloy's \
                    language; `alloy convert` translates such a file";

/// What to say of a text that does not parse, if it is of another kind.
pub fn hint(text: &[u8]) -> Option<&'static str> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let first = lines.next()?;
    // One such line alone is a slip of who knows Alloy's.
    let is_yaml =
        first == b"---" || is_mapping(first) && lines.next().is_some_and(|line| is_nested(line) || is_mapping(line));
    is_yaml.then_some(YAML)
}

/// `name:` or `name: value` at the beginning of a line.
fn is_mapping(line: &[u8]) -> bool {
    let letters = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    letters > 0 && line.get(letters) == Some(&b':') && matches!(line.get(letters + 1), None | Some(b' '))
}

/// The same further in, or an item of a list.
fn is_nested(line: &[u8]) -> bool {
    let inner = line.trim_ascii_start();
    inner.starts_with(b"- ") || (inner.len() < line.len() && is_mapping(inner))
}

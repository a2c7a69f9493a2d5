//! Configurations of other collectors, which people give us by mistake.

const YAML: &str = "this looks like YAML, as Prometheus, Promtail and the OpenTelemetry Collector have it, and not like Alloy's \
                    language; `alloy convert` translates such a file";

/// What to say of a text that does not parse, if it is of another kind.
pub fn hint(text: &[u8]) -> Option<&'static str> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    (first == b"---" || is_mapping(first)).then_some(YAML)
}

/// `name:` or `name: value` at the beginning of a line.
fn is_mapping(line: &[u8]) -> bool {
    let letters = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    letters > 0 && line.get(letters) == Some(&b':') && matches!(line.get(letters + 1), None | Some(b' '))
}

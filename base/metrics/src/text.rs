//! The escapes and name rules of the exposition format.

/// Appends a label value, escaped to stand between quotes: `\` `"` and line feed.
pub fn write_escaped_label(out: &mut String, value: &str) {
    write_escaped(out, value, |byte| matches!(byte, b'\\' | b'\n' | b'"'));
}

/// Appends a help text: `\` and line feed are escaped, quotes are not.
pub fn write_escaped_help(out: &mut String, help: &str) {
    write_escaped(out, help, |byte| matches!(byte, b'\\' | b'\n'));
}

/// Whether the name is a metric name of the classic rule `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Whether the name is a label name of the classic rule `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

fn write_escaped(out: &mut String, text: &str, special: fn(u8) -> bool) {
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !special(byte) {
            continue;
        }
        out.push_str(&text[clean..at]);
        out.push('\\');
        out.push(if byte == b'\n' { 'n' } else { char::from(byte) });
        clean = at + 1;
    }
    out.push_str(&text[clean..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped_where_the_format_wants_it() {
        let mut label = String::new();
        write_escaped_label(&mut label, "a\\b\"c\nd é");
        assert_eq!(label, r#"a\\b\"c\nd é"#);

        let mut help = String::new();
        write_escaped_help(&mut help, "a\\b\"c\nd");
        assert_eq!(help, r#"a\\b"c\nd"#);
    }

    #[test]
    fn names_follow_the_classic_rule() {
        assert!(is_metric_name("node:cpu_2"));
        assert!(!is_metric_name("2cpu"));
        assert!(!is_metric_name(""));
        assert!(!is_metric_name("cpu-total"));
        assert!(is_label_name("__name__"));
        assert!(!is_label_name("a:b"));
    }
}

//! Which names Prometheus takes.

/// Whether the name is one of the classic label names, `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Whether the name is one of the classic metric names, which may also have colons.
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b == b':' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric())
}

/// Whether the name is good under Prometheus 3's UTF-8 rule: any text but none at all.
pub fn is_utf8_name(name: &str) -> bool {
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_names() {
        for (name, label, metric) in [
            ("a", true, true),
            ("_A9", true, true),
            ("9a", false, false),
            ("", false, false),
            ("a:b", false, true),
            (":", false, true),
            ("a-b", false, false),
            ("ä", false, false),
        ] {
            assert_eq!((is_legacy_label_name(name), is_legacy_metric_name(name)), (label, metric), "{name:?}");
        }
        assert!(is_utf8_name("a.b") && !is_utf8_name(""));
    }
}

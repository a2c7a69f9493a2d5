//! Lines of logfmt, as Go's go-logfmt writes them.

/// Appends a key and `=`, behind a blank unless it is the first; letters that cannot stand in a key are left out. `false`, and
/// nothing appended, when none is left.
pub fn push_key(line: &mut String, key: &str) -> bool {
    let start = line.len();
    if start > 0 {
        line.push(' ');
    }
    let before = line.len();
    line.extend(key.chars().filter(|c| !is_special(*c)));
    let written = line.len() > before;
    if written {
        line.push('=');
    } else {
        line.truncate(start);
    }
    written
}

/// Appends a value, in quotes where it needs them.
pub fn push_value(line: &mut String, text: &str) {
    if text.contains(is_special) { push_quoted(line, text) } else { line.push_str(text) }
}

/// Appends a text: a bare `null` would be read as no value.
pub fn push_text(line: &mut String, text: &str) {
    if text == "null" { line.push_str("\"null\"") } else { push_value(line, text) }
}

/// What may not stand in a key, nor in a value without quotes.
fn is_special(c: char) -> bool {
    c <= ' ' || matches!(c, '=' | '"' | '\x7f' | char::REPLACEMENT_CHARACTER)
}

fn push_quoted(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '\\' | '"' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\0'..' ' | '\x7f' | char::REPLACEMENT_CHARACTER => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_written_so_that_they_can_be_read() {
        let mut line = String::new();
        for (key, value) in [("a", "1"), ("b c", "two words"), ("=", "gone"), ("d", ""), ("e", "say \"x\"\n\u{1}")] {
            if push_key(&mut line, key) {
                push_value(&mut line, value);
            }
        }
        assert_eq!(line, "a=1 bc=\"two words\" d= e=\"say \\\"x\\\"\\n\\u0001\"");
    }
}

//! Snake and camel case, as the Go library `strcase` makes them. It looks at bytes, so letters outside ASCII are none.

/// `fooBarJSON` becomes `foo_bar_json`.
pub(crate) fn snake(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    let mut out = Vec::with_capacity(text.len() + 2);
    for (at, byte) in text.iter().copied().enumerate() {
        let (upper, lower, digit) = (byte.is_ascii_uppercase(), byte.is_ascii_lowercase(), byte.is_ascii_digit());
        let letter = byte.to_ascii_lowercase();
        if let Some(next) = text.get(at + 1) {
            let (next_upper, next_lower, next_digit) =
                (next.is_ascii_uppercase(), next.is_ascii_lowercase(), next.is_ascii_digit());
            let turns = (upper && (next_lower || next_digit))
                || (lower && (next_upper || next_digit))
                || (digit && (next_upper || next_lower));
            if turns {
                // The last capital of an acronym begins the next word.
                if upper && next_lower && at > 0 && text[at - 1].is_ascii_uppercase() {
                    out.push(b'_');
                }
                out.push(letter);
                if lower || digit || next_digit {
                    out.push(b'_');
                }
                continue;
            }
        }
        out.push(if matches!(byte, b' ' | b'_' | b'-' | b'.') { b'_' } else { letter });
    }
    out
}

/// `foo_bar` becomes `FooBar`.
pub(crate) fn camel(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    // The one acronym that the library knows.
    let acronym = text == b"ID";
    let text = if acronym { &b"id"[..] } else { text };
    let mut out = Vec::with_capacity(text.len());
    let (mut capital_next, mut after_capital) = (true, false);
    for (at, byte) in text.iter().copied().enumerate() {
        let upper = byte.is_ascii_uppercase();
        let letter = if capital_next {
            byte.to_ascii_uppercase()
        } else if at == 0 || (after_capital && upper && !acronym) {
            byte.to_ascii_lowercase()
        } else {
            byte
        };
        after_capital = upper;
        if byte.is_ascii_alphabetic() {
            out.push(letter);
            capital_next = false;
        } else if byte.is_ascii_digit() {
            out.push(letter);
            capital_next = true;
        } else {
            capital_next = matches!(byte, b'_' | b' ' | b'-' | b'.');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_as_in_go() {
        for (text, expected) in [
            ("fooBarBaz", "foo_bar_baz"),
            ("foo_bar_baz", "foo_bar_baz"),
            ("JSONData", "json_data"),
            ("many2many", "many_2_many"),
            (" a.b-c d ", "a_b_c_d"),
            ("ID", "id"),
            ("HTTPStatus404", "http_status_404"),
        ] {
            assert_eq!(String::from_utf8(snake(text.as_bytes())).unwrap(), expected);
        }
        assert_eq!(camel(b"foo_bar_baz"), b"FooBarBaz");
        assert_eq!(camel(b"JSONData"), b"Jsondata");
        assert_eq!(camel(b"many2many"), b"Many2Many");
        assert_eq!(camel(b"a.b-c d"), b"ABCD");
        assert_eq!(camel(b"ID"), b"Id");
    }
}

//! What stands between braces: labels, and in new pages the metric's name.

use memchr::memchr2;

/// One element, quotes taken off, escapes still in.
pub(crate) enum Element<'a> {
    /// `"a.b"` alone is the metric's name.
    Name(&'a [u8]),
    Label(&'a [u8], &'a [u8]),
}

/// Which dialect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Blanks may stand anywhere, and a comma may be left out.
    Text,
    /// No blanks at all.
    OpenMetrics,
    /// As OpenMetrics, and no name.
    Exemplar,
}

/// Walks from behind the opening brace to behind the closing one. `each` may refuse an element.
pub(crate) fn walk<'a>(
    bytes: &'a [u8],
    from: usize,
    dialect: Dialect,
    mut each: impl FnMut(Element<'a>) -> Result<(), &'static str>,
) -> Result<usize, (usize, &'static str)> {
    let lenient = dialect == Dialect::Text;
    let mut at = blanks(bytes, from, lenient);
    loop {
        let start = at;
        let quoted = match bytes.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => true,
            Some(b) if b.is_ascii_alphabetic() || *b == b'_' => false,
            _ => return Err((at, "expected label name")),
        };
        let name = if quoted {
            let end = closing_quote(bytes, at + 1, true).ok_or((start, "the quote does not end"))?;
            at = end + 1;
            &bytes[start + 1..end]
        } else {
            while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                at += 1;
            }
            &bytes[start..at]
        };
        at = blanks(bytes, at, lenient);
        match bytes.get(at) {
            Some(b',' | b'}') if quoted && dialect != Dialect::Exemplar => {
                each(Element::Name(name)).map_err(|message| (start, message))?;
                if bytes[at] == b',' {
                    at = blanks(bytes, at + 1, lenient);
                }
                continue;
            }
            Some(b'=') => at = blanks(bytes, at + 1, lenient),
            _ => return Err((at, "expected equal")),
        }
        if bytes.get(at) != Some(&b'"') {
            return Err((at, "expected label value"));
        }
        // In the classic format a value may hold a bare line break.
        let end = closing_quote(bytes, at + 1, lenient).ok_or((at, "expected label value"))?;
        let value = &bytes[at + 1..end];
        each(Element::Label(name, value)).map_err(|message| (start, message))?;
        at = blanks(bytes, end + 1, lenient);
        match bytes.get(at) {
            Some(b',') => at = blanks(bytes, at + 1, lenient),
            Some(b'}') => {}
            _ if lenient => {}
            _ => return Err((at, "expected comma or closing brace")),
        }
    }
}

fn blanks(bytes: &[u8], mut at: usize, lenient: bool) -> usize {
    while lenient && matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// The place of the quote that ends a text, skipping escapes.
pub(crate) fn closing_quote(bytes: &[u8], mut at: usize, breaks: bool) -> Option<usize> {
    let from = at;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            let broken = !breaks && memchr::memchr(b'\n', &bytes[from..at]).is_some();
            return (!broken).then_some(at);
        }
        // An escape is any character behind a backslash but a line break.
        if matches!(bytes.get(at + 1), None | Some(b'\n')) {
            return None;
        }
        at += 2;
    }
}

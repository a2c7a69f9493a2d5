//! One row of comma-separated values, as Go's `encoding/csv` reads it.
//!
//! The row may hold line breaks: what follows one continues the field before it.

/// Reads the fields of a row. With `lazy`, quotes may stand anywhere.
pub fn row(text: &str, comma: char, lazy: bool) -> Result<Vec<String>, String> {
    if comma == '"' || comma == '\r' || comma == '\n' || comma == char::REPLACEMENT_CHARACTER {
        return Err("read csv line: csv: invalid field or comment delimiter".to_owned());
    }
    let mut reader = Reader { rest: text, line: 0, comma, lazy };
    let mut joined: Option<Vec<String>> = None;
    while let Some(fields) = reader.record()? {
        match &mut joined {
            None => joined = Some(fields),
            Some(joined) => {
                let mut fields = fields.into_iter();
                if let (Some(last), Some(first)) = (joined.last_mut(), fields.next()) {
                    last.push('\n');
                    last.push_str(&first);
                }
                joined.extend(fields);
            }
        }
    }
    joined.ok_or_else(|| "no csv lines found".to_owned())
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    comma: char,
    lazy: bool,
}

impl<'a> Reader<'a> {
    /// The next line with its `\n`; a final `\r` before it, or at the end of the text, is dropped.
    fn line(&mut self) -> Option<(&'a str, bool)> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let (line, ended, rest) = match self.rest.find('\n') {
            Some(at) => (&self.rest[..at], true, &self.rest[at + 1..]),
            None => (self.rest, false, ""),
        };
        self.rest = rest;
        Some((line.strip_suffix('\r').unwrap_or(line), ended))
    }

    fn record(&mut self) -> Result<Option<Vec<String>>, String> {
        let (mut line, mut ended) = loop {
            match self.line() {
                None => return Ok(None),
                // Empty lines are no records.
                Some(("", _)) => {}
                Some(line) => break line,
            }
        };
        let mut fields = Vec::new();
        loop {
            let Some(quoted) = line.strip_prefix('"') else {
                let (field, rest) = match line.find(self.comma) {
                    Some(at) => (&line[..at], Some(&line[at + self.comma.len_utf8()..])),
                    None => (line, None),
                };
                if !self.lazy && field.contains('"') {
                    return Err(self.fault("bare \" in non-quoted-field"));
                }
                fields.push(field.to_owned());
                match rest {
                    Some(rest) => line = rest,
                    None => return Ok(Some(fields)),
                }
                continue;
            };
            let mut field = String::new();
            line = quoted;
            loop {
                match line.find('"') {
                    Some(at) => {
                        field.push_str(&line[..at]);
                        line = &line[at + 1..];
                        if let Some(rest) = line.strip_prefix('"') {
                            field.push('"');
                            line = rest;
                        } else if let Some(rest) = line.strip_prefix(self.comma) {
                            fields.push(field);
                            line = rest;
                            break;
                        } else if line.is_empty() {
                            fields.push(field);
                            return Ok(Some(fields));
                        } else if self.lazy {
                            field.push('"');
                        } else {
                            return Err(self.fault("extraneous or missing \" in quoted-field"));
                        }
                    }
                    None => {
                        field.push_str(line);
                        let next = if ended { self.line() } else { None };
                        if ended {
                            field.push('\n');
                        }
                        match next {
                            Some((next, next_ended)) => (line, ended) = (next, next_ended),
                            None if self.lazy => {
                                fields.push(field);
                                return Ok(Some(fields));
                            }
                            None => return Err(self.fault("extraneous or missing \" in quoted-field")),
                        }
                    }
                }
            }
        }
    }

    fn fault(&self, message: &str) -> String {
        format!("read csv line: parse error on line {}: {message}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_go_reads_them() {
        assert_eq!(row("a,\"b,c\",d", ',', false).unwrap(), ["a", "b,c", "d"]);
        assert_eq!(row("a,\"b\"\"c\",", ',', false).unwrap(), ["a", "b\"c", ""]);
        assert_eq!(row("aa,b\nb,cc\nd", ',', false).unwrap(), ["aa", "b\nb", "cc\nd"]);
        assert_eq!(row("a,\"b\nc\",d\r\n", ',', false).unwrap(), ["a", "b\nc", "d"]);
        assert_eq!(row("a b,c\"d,\"e\"f\",g", ',', true).unwrap(), ["a b", "c\"d", "e\"f", "g"]);
        assert_eq!(row("ä;b", ';', false).unwrap(), ["ä", "b"]);
        for bad in ["a\"b", "\"a", "\"a\"b", ""] {
            assert!(row(bad, ',', false).is_err(), "{bad}");
        }
    }
}

//! Diagnostics as JSON, for editors and scripts.

use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// An array of objects with `severity` (`error` or `warning`), `message`, and where known `file`, `line`, `column`,
/// `end_line`, `end_column` (from 1, bytes, the end inclusive), `label` and `hints`. One object per line.
pub fn to_json(diagnostics: &Diagnostics) -> String {
    let mut output = String::from("[");
    for (index, diagnostic) in diagnostics.0.iter().enumerate() {
        output.push_str(if index == 0 { "\n  " } else { ",\n  " });
        object(&mut output, diagnostic);
    }
    output.push_str(if diagnostics.is_empty() { "]\n" } else { "\n]\n" });
    output
}

fn object(output: &mut String, diagnostic: &Diagnostic) {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let _ = write!(output, "{{\"severity\":\"{severity}\",\"message\":");
    string(output, &diagnostic.message);
    if let Some(location) = &diagnostic.location {
        let (start, end) = (location.start(), location.last());
        output.push_str(",\"file\":");
        string(output, location.source.name());
        let _ = write!(output, ",\"line\":{},\"column\":{}", start.line, start.column);
        let _ = write!(output, ",\"end_line\":{},\"end_column\":{}", end.line, end.column);
    }
    if let Some(label) = &diagnostic.label {
        output.push_str(",\"label\":");
        string(output, label);
    }
    output.push_str(",\"hints\":[");
    for (index, hint) in diagnostic.hints.iter().enumerate() {
        if index > 0 {
            output.push(',');
        }
        string(output, hint);
    }
    output.push_str("]}");
}

fn string(output: &mut String, text: &str) {
    output.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => output.extend(['\\', c]),
            '\n' => output.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(output, "\\u{:04x}", u32::from(c));
            }
            c => output.push(c),
        }
    }
    output.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Source, Span};

    #[test]
    fn one_object_per_diagnostic() {
        let source = Source::new("c.alloy", "a\nbcd\n");
        let mut all = Diagnostics::from(
            Diagnostic::error(Span::new(2, 4).in_source(&source), "say \"it\"\n").with_label("here").with_hint("do"),
        );
        all.push(Diagnostic::warning(None, "careful"));
        assert_eq!(
            to_json(&all),
            "[\n  {\"severity\":\"error\",\"message\":\"say \\\"it\\\"\\n\",\"file\":\"c.alloy\",\"line\":2,\"column\":1,\
             \"end_line\":2,\"end_column\":2,\"label\":\"here\",\"hints\":[\"do\"]},\n  \
             {\"severity\":\"warning\",\"message\":\"careful\",\"hints\":[]}\n]\n"
        );
        assert_eq!(to_json(&Diagnostics::default()), "[]\n");
    }
}

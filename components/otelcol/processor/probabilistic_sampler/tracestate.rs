//! The trace state of W3C, and what OpenTelemetry keeps in it: `ot=rv:<randomness>;th:<threshold>`.
//!
//! Source: W3C Trace Context, 3.3; OpenTelemetry specification, "TraceState Handling".

use std::fmt;

use super::{Carried, threshold};

const MAX_LENGTH: usize = 1024;
const MAX_MEMBERS: usize = 32;
const MAX_OTEL_LENGTH: usize = 256;

/// A trace state taken apart.
pub(super) struct TraceState<'a> {
    pub carried: Carried,
    /// Other fields of the member `ot`.
    fields: Vec<(&'a str, &'a str)>,
    /// Other members.
    members: Vec<(&'a str, &'a str)>,
}

// === impl TraceState ===

impl<'a> TraceState<'a> {
    /// `None` when it breaks the rules: then nothing in it can be relied on.
    pub(super) fn parse(text: &'a str) -> Option<TraceState<'a>> {
        let mut state = TraceState { carried: Carried::default(), fields: Vec::new(), members: Vec::new() };
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut count = 0;
        for member in text.split(',') {
            count += 1;
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if count >= MAX_MEMBERS || !is_key(key) || !is_value(value) {
                return None;
            }
            match key {
                "ot" => state.parse_otel(value)?,
                _ => state.members.push((key, value)),
            }
        }
        Some(state)
    }

    fn parse_otel(&mut self, text: &'a str) -> Option<()> {
        if text.len() > MAX_OTEL_LENGTH {
            return None;
        }
        for field in text.split(';') {
            let (key, value) = field.split_once(':')?;
            let is_name = key.starts_with(|first: char| first.is_ascii_lowercase())
                && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if !is_name || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
                return None;
            }
            match key {
                "rv" => self.carried.randomness = Some(threshold::parse_randomness(value)?),
                "th" => self.carried.threshold = Some(threshold::parse(value)?),
                _ => self.fields.push((key, value)),
            }
        }
        Some(())
    }
}

/// OpenTelemetry's member stands first, as whoever changes a member must put it there.
impl fmt::Display for TraceState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let randomness = self.carried.randomness.map(|value| format!("rv:{}", threshold::randomness_text(value)));
        let threshold = self.carried.threshold.map(|value| format!("th:{}", threshold::text(value)));
        let fields = self.fields.iter().map(|(key, value)| format!("{key}:{value}"));
        let fields: Vec<String> = randomness.into_iter().chain(threshold).chain(fields).collect();
        let otel = (!fields.is_empty()).then(|| format!("ot={}", fields.join(";")));
        let members = self.members.iter().map(|(key, value)| format!("{key}={value}"));
        f.write_str(&otel.into_iter().chain(members).collect::<Vec<_>>().join(","))
    }
}

/// `name`, or `tenant@system`, where a tenant may begin with a digit.
fn is_key(key: &str) -> bool {
    let rest = |text: &str| {
        text.bytes().skip(1).all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte))
    };
    let letter = |text: &str| text.starts_with(|first: char| first.is_ascii_lowercase());
    match key.split_once('@') {
        Some((tenant, system)) => {
            let digit = tenant.starts_with(|first: char| first.is_ascii_digit());
            tenant.len() <= 241
                && system.len() <= 14
                && (letter(tenant) || digit)
                && letter(system)
                && rest(tenant)
                && rest(system)
        }
        None => key.len() <= 256 && letter(key) && rest(key),
    }
}

/// Printable, without `,` and `=`, and not ending in a blank.
fn is_value(value: &str) -> bool {
    let printable = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && !value.ends_with(' ') && value.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_state_is_written_back_with_ours_in_front() {
        for (text, expected) in [
            ("", ""),
            ("a=1, b=2", "a=1,b=2"),
            ("a=1,ot=th:8;rv:00000000000001;x:y", "ot=rv:00000000000001;th:8;x:y,a=1"),
            ("1t@s=v", "1t@s=v"),
        ] {
            assert_eq!(TraceState::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_breaks_the_rules_is_not_read() {
        for text in ["a", "=1", "A=1", "a=", "a=b=c", "ot=th:8;", "ot=th", "ot=th:zz", "ot=rv:1", "ot=T:1", "a=\u{e9}"]
        {
            assert!(TraceState::parse(text).is_none(), "{text}");
        }
        assert!(TraceState::parse(&"a=1,".repeat(40)).is_none());
    }
}

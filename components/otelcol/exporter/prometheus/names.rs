//! What Prometheus calls a metric and an attribute of OTLP.

use language_syntax::letters;
use sdk_otel::units::{PER_UNITS, UNITS};
use sdk_protocols_otlp::walk::PointKind;

/// The name of a metric. With `suffixes` it is made of the words of its name, its unit, and what it is.
pub(super) fn metric(name: &str, unit: &str, kind: PointKind, monotonic: bool, suffixes: bool) -> String {
    let mut made = if suffixes {
        with_suffixes(name, unit, kind, monotonic)
    } else {
        words(name, |c| is_word(c) || c == '_' || c == ':').join("_")
    };
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made.insert(0, '_');
    }
    made
}

fn with_suffixes(name: &str, unit: &str, kind: PointKind, monotonic: bool) -> String {
    let mut tokens = words(name, is_word);
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let main = if main.trim() == "1" { String::new() } else { unit_word(main, &UNITS) };
    let per = unit_word(per, &PER_UNITS);
    if !main.is_empty() && !tokens.contains(&main.as_str()) {
        tokens.push(&main);
    }
    if !per.is_empty() && !tokens.contains(&per.as_str()) {
        tokens.extend(["per", &per]);
    }
    let last = match kind {
        PointKind::Sum if monotonic => Some("total"),
        PointKind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    tokens.join("_")
}

/// The word for one side of a unit; what stands in braces is a remark and no unit.
fn unit_word(unit: &str, table: &[(&str, &str)]) -> String {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return String::new();
    }
    let word = table.iter().find(|(known, _)| *known == unit).map_or(unit, |(_, word)| word);
    words(word, is_word).join("_")
}

fn words(text: &str, is_part: impl Fn(char) -> bool) -> Vec<&str> {
    text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

/// The name of a label: letters of any script stay.
pub(super) fn label(key: &str) -> String {
    let label: String = key.chars().map(|c| if is_word(c) { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{label}")
    } else if label.starts_with('_') && !label.starts_with("__") {
        format!("key{label}")
    } else {
        label
    }
}

fn is_word(c: char) -> bool {
    c != '_' && (letters::is_letter(c) || letters::is_digit(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_by_their_words_their_unit_and_their_kind() {
        for (name, unit, kind, monotonic, expect) in [
            ("http.server.duration", "ms", PointKind::Histogram, false, "http_server_duration_milliseconds"),
            ("a.total.b", "", PointKind::Sum, true, "a_b_total"),
            ("a.total.b", "", PointKind::Sum, false, "a_total_b"),
            ("speed", "m/s", PointKind::Gauge, false, "speed_meters_per_second"),
            ("speed_per_second", "By/s", PointKind::Gauge, false, "speed_per_second_bytes"),
            ("ratio.x", "1", PointKind::Gauge, false, "x_ratio"),
            ("x", "1", PointKind::Sum, true, "x_total"),
            ("x", "{request}/s", PointKind::Gauge, false, "x_per_second"),
            ("x", " By / y ", PointKind::Gauge, false, "x_bytes_per_year"),
            ("x", "fur longs", PointKind::Gauge, false, "x_fur_longs"),
            ("9lives", "", PointKind::Gauge, false, "_9lives"),
            ("__café:x", "", PointKind::Gauge, false, "café_x"),
            ("-", "", PointKind::Gauge, false, ""),
        ] {
            assert_eq!(metric(name, unit, kind, monotonic, true), expect, "{name} {unit}");
        }
    }

    #[test]
    fn without_suffixes_only_what_may_not_be_goes() {
        for (name, expect) in [("a.b-c", "a_b_c"), ("_a:b__", "_a:b__"), (".a..b.", "a_b"), ("9", "_9"), ("", "")] {
            assert_eq!(metric(name, "By", PointKind::Sum, true, false), expect, "{name}");
        }
    }

    #[test]
    fn labels_begin_with_a_letter_or_two_underscores() {
        for (key, expect) in [
            ("host.name", "host_name"),
            ("9a", "key_9a"),
            ("_a", "key_a"),
            (".a", "key_a"),
            ("__a", "__a"),
            ("..", "__"),
            ("é", "é"),
            ("²", "key_"),
            ("", ""),
        ] {
            assert_eq!(label(key), expect, "{key}");
        }
    }
}

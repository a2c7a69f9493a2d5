//! Units of metrics: as OTLP writes them (UCUM), and as Prometheus does (words).

/// Units and their words.
pub const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// Units below the stroke; `m` is a minute there.
pub const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The unit that Prometheus writes in words: `bytes_per_second` is `By/s`. A word that is no unit stays.
#[must_use]
pub fn to_ucum(words: &str) -> String {
    let unit = |table: &[(&'static str, &'static str)], word: &str| {
        table.iter().find(|(_, known)| *known == word).map_or_else(|| word.to_owned(), |(unit, _)| (*unit).to_owned())
    };
    let main = |word: &str| if word == "ratio" { "1".to_owned() } else { unit(&UNITS, word) };
    match words.split_once("_per_") {
        Some((word, per)) if !per.is_empty() => format!("{}/{}", main(word), unit(&PER_UNITS, per)),
        Some((word, _)) => main(word),
        None => main(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_units() {
        for (words, expect) in [
            ("seconds", "s"),
            ("ratio", "1"),
            ("bytes_per_second", "By/s"),
            ("meters_per_minute", "m/m"),
            ("widgets", "widgets"),
            ("bytes_per_", "By"),
            ("", ""),
        ] {
            assert_eq!(to_ucum(words), expect, "{words}");
        }
    }
}

//! Semantic versions.

use std::cmp::Ordering;

use gotmpl::Value;

use super::{Functions, Result, fail, string, text_of};

pub fn add(functions: &mut Functions) {
    functions.add(&["semver"], 1..=1, |a| match Version::parse(text_of(a, 0)?) {
        Some(version) => string(version.text()),
        None => fail("invalid semantic version"),
    });
    functions.add(&["semverCompare"], 2..=2, |a| match Version::parse(text_of(a, 1)?) {
        Some(version) => Ok(Value::Bool(satisfies(&version, text_of(a, 0)?)?)),
        None => fail("invalid semantic version"),
    });
}

/// A semantic version; missing parts are 0.
struct Version {
    numbers: [u64; 3],
    /// How many numbers were given.
    given: usize,
    prerelease: String,
    metadata: String,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
        let (text, prerelease) = text.split_once('-').unwrap_or((text, ""));
        let mut version =
            Version { numbers: [0; 3], given: 0, prerelease: prerelease.to_owned(), metadata: metadata.to_owned() };
        for part in text.split('.') {
            *version.numbers.get_mut(version.given)? = part.parse().ok()?;
            version.given += 1;
        }
        Some(version)
    }

    fn text(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut text = format!("{major}.{minor}.{patch}");
        if !self.prerelease.is_empty() {
            text.push_str(&format!("-{}", self.prerelease));
        }
        if !self.metadata.is_empty() {
            text.push_str(&format!("+{}", self.metadata));
        }
        text
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.prerelease.as_str(), other.prerelease.as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (one, two) => prereleases(one, two),
        })
    }
}

fn prereleases(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (one.split('.'), two.split('.'));
    loop {
        let ordering = match (one.next(), two.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                _ => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Constraints: `||` of comma- or blank-separated comparisons with `=`, `!=`, `<`, `>`, `<=`, `>=`, `~`, `^`.
fn satisfies(version: &Version, constraints: &str) -> Result<bool> {
    let mut any = false;
    for alternative in constraints.split("||") {
        let mut all = true;
        for constraint in alternative.split([',', ' ']).filter(|one| !one.is_empty()) {
            all &= meets(version, constraint)?;
        }
        any |= all;
    }
    Ok(any)
}

fn meets(version: &Version, constraint: &str) -> Result<bool> {
    const SIGNS: [&str; 10] = ["!=", ">=", "=>", "<=", "=<", ">", "<", "~", "^", "="];
    let sign = SIGNS.into_iter().find(|sign| constraint.starts_with(sign)).unwrap_or("");
    let wanted = &constraint[sign.len()..];
    if matches!(wanted, "*" | "x" | "X") {
        return Ok(true);
    }
    let number = wanted.trim_end_matches(".*").trim_end_matches(".x");
    let Some(bound) = Version::parse(number) else { return fail(format!("improper constraint: {constraint}")) };
    if !version.prerelease.is_empty() && bound.prerelease.is_empty() {
        return Ok(false);
    }
    let ordering = version.compare(&bound);
    let same = |count: usize| version.numbers[..count] == bound.numbers[..count];
    Ok(match sign {
        "!=" => ordering != Ordering::Equal,
        ">=" | "=>" => ordering != Ordering::Less,
        "<=" | "=<" => ordering != Ordering::Greater,
        ">" => ordering == Ordering::Greater,
        "<" => ordering == Ordering::Less,
        "~" => ordering != Ordering::Less && same(bound.given.min(2)),
        "^" => {
            let leading = bound.numbers.iter().take_while(|number| **number == 0).count();
            ordering != Ordering::Less && same((leading + 1).min(bound.given))
        }
        _ if bound.given < 3 => same(bound.given),
        _ => ordering == Ordering::Equal,
    })
}

//! `/etc/os-release`: which distribution the host runs. Read again only when the file has changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};

pub(crate) struct Os {
    candidates: [PathBuf; 2],
    known: Option<Known>,
}

struct Known {
    path: PathBuf,
    changed: Option<SystemTime>,
    /// In the order of `LABELS`.
    values: [String; LABELS.len()],
}

const LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];
const ID: usize = 1;
const ID_LIKE: usize = 2;
const NAME: usize = 5;
const VERSION_ID: usize = 11;

impl Os {
    pub fn new(paths: &Paths) -> Os {
        Os { candidates: ["etc/os-release", "usr/lib/os-release"].map(|path| paths.rootfs.join(path)), known: None }
    }

    fn refresh(&mut self) -> Result<&Known, Failure> {
        for path in &self.candidates {
            let changed = match std::fs::metadata(path) {
                Ok(metadata) => metadata.modified().ok(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::reading(path, &error)),
            };
            if self.known.as_ref().is_none_or(|known| known.path != *path || known.changed != changed) {
                let text = std::fs::read_to_string(path).map_err(|error| Failure::reading(path, &error))?;
                self.known = Some(Known { path: path.clone(), changed, values: parse(&text, path)? });
            }
            return self.known.as_ref().ok_or(Failure::NoData);
        }
        Err(Failure::NoData)
    }
}

impl Collector for Os {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let values = &self.refresh()?.values;
        let labels: [(&str, &str); LABELS.len()] = std::array::from_fn(|at| (LABELS[at], values[at].as_str()));
        page.family(
            "node_os_info",
            "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, \
             pretty_name, variant, variant_id, version, version_codename, version_id.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
        let version = major_minor(&values[VERSION_ID]);
        if version > 0.0 {
            page.family("node_os_version", "Metric containing the major.minor part of the OS version.", Kind::Gauge)
                .sample(&[labels[ID], labels[ID_LIKE], labels[NAME]], version);
        }
        Ok(())
    }
}

/// The number at the start of `12.04.1`: 12.04.
fn major_minor(version: &str) -> f64 {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(version);
    let rest = &version[major..];
    let minor = rest.strip_prefix('.').map_or(0, |rest| 1 + digits(rest));
    version[..major + minor].parse().unwrap_or(0.0)
}

/// Lines of `KEY=value`, as a shell would read them.
fn parse(text: &str, path: &Path) -> Result<[String; LABELS.len()], Failure> {
    let mut values: [String; LABELS.len()] = Default::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').ok_or_else(|| Failure::malformed(path, line))?;
        if let Some(at) = LABELS.iter().position(|label| label.eq_ignore_ascii_case(key) && key != *label) {
            values[at] = unquote(value);
        }
    }
    Ok(values)
}

fn unquote(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = inner('\'') {
        return inner.to_owned();
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = inner('"').unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_its_leading_number() {
        for (text, expected) in [("12", 12.0), ("22.04", 22.04), ("3.19.1", 3.19), ("", 0.0), ("rolling", 0.0)] {
            assert_eq!(major_minor(text), expected, "{text}");
        }
    }

    #[test]
    fn values_are_unquoted_as_a_shell_would() {
        assert_eq!(unquote(r#""Debian GNU/Linux""#), "Debian GNU/Linux");
        assert_eq!(unquote("'it\\s'"), "it\\s");
        assert_eq!(unquote(r#""a \"b\" \$c""#), r#"a "b" $c"#);
        assert_eq!(unquote("plain"), "plain");
    }
}

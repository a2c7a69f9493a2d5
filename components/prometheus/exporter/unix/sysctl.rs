//! Settings of the kernel, of the user's choice.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};

pub(crate) struct Sysctl {
    root: PathBuf,
    numbers: Vec<Setting>,
    texts: Vec<Setting>,
}

/// `net.ipv4.tcp_rmem:min,default,max`: a setting, and what its values are called.
struct Setting {
    name: String,
    keys: Vec<String>,
}

impl Sysctl {
    /// Which settings to show as numbers, and which as texts.
    pub fn new(paths: &Paths, numbers: &[String], texts: &[String]) -> Sysctl {
        let settings = |names: &[String]| names.iter().map(|name| Setting::parse(name)).collect();
        Sysctl { root: paths.procfs.join("sys"), numbers: settings(numbers), texts: settings(texts) }
    }

    fn values(&self, setting: &Setting) -> Result<Vec<String>, Failure> {
        let path = self.root.join(setting.name.replace('.', "/"));
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
        let values: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let Setting { name, keys } = setting;
        match (values.len(), keys.len()) {
            (0, _) => Err(Failure::Failed(format!("sysctl {name} has no values"))),
            (1, 1..) => Err(Failure::Failed(format!("sysctl {name} has only one value, but {keys:?} are its keys"))),
            (values, keys) if keys > 0 && values != keys => {
                Err(Failure::Failed(format!("sysctl {name} has {values} values, but {keys} keys")))
            }
            _ => Ok(values),
        }
    }
}

impl Collector for Sysctl {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for setting in &self.numbers {
            let Setting { name, keys } = setting;
            let values = self.values(setting)?;
            let family = format!("node_sysctl_{}", sanitized(name));
            for (at, value) in values.iter().enumerate() {
                let number = integer(value);
                let number =
                    number.ok_or_else(|| Failure::Failed(format!("field {at} in sysctl {name} is no number")))?;
                match keys.get(at) {
                    Some(key) => {
                        let help = format!("sysctl {name}, field {at}");
                        page.family(&format!("{family}_{key}"), &help, Kind::Untyped).sample(&[], number);
                    }
                    None if values.len() == 1 => {
                        page.family(&family, &format!("sysctl {name}"), Kind::Untyped).sample(&[], number);
                    }
                    None => {
                        page.family(&family, &format!("sysctl {name}"), Kind::Untyped)
                            .sample(&[("index", &at.to_string())], number);
                    }
                }
            }
        }
        for setting in &self.texts {
            let Setting { name, keys } = setting;
            let values = self.values(setting)?;
            if !keys.is_empty() {
                return Err(Failure::Failed(format!("the values of sysctl {name} are texts, which have no keys")));
            }
            let mut family = page.family("node_sysctl_info", "sysctl info", Kind::Gauge);
            for (at, value) in values.iter().enumerate() {
                family.sample(&[("index", &at.to_string()), ("name", name), ("value", value)], 1.0);
            }
        }
        Ok(())
    }
}

impl Setting {
    fn parse(text: &str) -> Setting {
        let (name, keys) = match text.split_once(':') {
            Some((name, keys)) => (name, keys.split(',').map(str::to_owned).collect()),
            None => (text, Vec::new()),
        };
        Setting { name: name.to_owned(), keys }
    }
}

/// In the base that its beginning says.
fn integer(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse::<i64>().ok(),
    }
    .map(|number| number as f64)
}

/// As part of a family's name.
fn sanitized(name: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, ':' | '_');
    name.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}

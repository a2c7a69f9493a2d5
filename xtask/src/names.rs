//! Names are paths: a package is named by its folder, a component by its file.

use crate::workspace::{packages, root};

/// Every name that is not its path, in words.
pub fn faults() -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages() {
        let expected = match package.path.as_str() {
            "app" => "ferroalloy".to_owned(),
            path => path.replace(['/', '_'], "-"),
        };
        if package.name != expected {
            faults.push(format!("{} is named {:?}, its path says {expected:?}", package.path, package.name));
        }
    }
    let mut seen = std::collections::HashSet::new();
    for definition in components::all() {
        let file = format!("components/{}.rs", definition.name.replace('.', "/"));
        if !root().join(&file).is_file() {
            faults.push(format!("{}: there is no {file}", definition.name));
        }
        if !seen.insert(definition.name) {
            faults.push(format!("{} is listed twice", definition.name));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_name_is_its_path() {
        assert_eq!(super::faults(), Vec::<String>::new());
    }
}

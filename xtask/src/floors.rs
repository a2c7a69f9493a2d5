//! Arrows go down: no package uses a higher floor, no family another family, and the runtime knows no signal.

use std::collections::HashMap;

use crate::workspace::{Package, packages};

/// Every arrow that does not go down, in words.
pub fn faults() -> Vec<String> {
    faults_of(&packages())
}

fn faults_of(packages: &[Package]) -> Vec<String> {
    let by_name: HashMap<&str, &Package> = packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut faults = Vec::new();
    for package in packages {
        let Some(floor) = package.floor else {
            faults.push(format!("{}: its manifest states no floor ([package.metadata] floor = n)", package.path));
            continue;
        };
        for used in package.uses.iter().filter_map(|name| by_name.get(name.as_str())) {
            if used.floor.is_some_and(|used_floor| used_floor > floor) {
                faults.push(format!("{} uses {}, which lies on a higher floor", package.path, used.path));
            }
            if is_family(package) && is_family(used) {
                faults.push(format!(
                    "{} uses {}: families do not know each other; what both need falls to sdk/",
                    package.path, used.path
                ));
            }
            if package.path == "runtime" && used.path == "sdk/signals" {
                faults.push("runtime uses sdk/signals: the runtime knows no signal".to_owned());
            }
            if package.path == "runtime" && used.path.starts_with("components") {
                faults.push(format!("runtime uses {}: they are peers, neither names the other", used.path));
            }
            if package.path.starts_with("components") && used.path.starts_with("runtime") {
                faults.push(format!("{} uses runtime: they are peers, neither names the other", package.path));
            }
        }
    }
    faults
}

fn is_family(package: &Package) -> bool {
    package.path.starts_with("components/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_goes_down() {
        assert_eq!(faults(), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_goes_up_is_found() {
        let package = |path: &str, floor, uses: &[&str]| Package {
            name: path.replace('/', "-"),
            path: path.to_owned(),
            floor: Some(floor),
            uses: uses.iter().map(|name| (*name).to_owned()).collect(),
        };
        let found = faults_of(&[
            package("base/a", 1, &["sdk-b"]),
            package("sdk/b", 3, &[]),
            package("components/x", 4, &["components-y"]),
            package("components/y", 4, &["runtime"]),
            package("runtime", 4, &["sdk-signals"]),
            package("sdk/signals", 3, &[]),
        ]);
        assert_eq!(found.len(), 4, "{found:#?}");
    }
}

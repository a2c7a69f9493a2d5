//! The workspace as cargo sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One package.
pub struct Package {
    /// `sdk-protocols-otlp`
    pub name: String,
    /// `sdk/protocols/otlp`
    pub path: String,
    /// `[package.metadata] floor`
    pub floor: Option<u64>,
    /// Names of the packages it uses outside its tests.
    pub uses: Vec<String>,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// Every member, in path order.
pub fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it started this program");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let mut packages: Vec<Package> = metadata["packages"].as_array().into_iter().flatten().map(package).collect();
    packages.sort_by(|a, b| a.path.cmp(&b.path));
    packages
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root()).ok());
    Package {
        name: text(&package["name"]),
        path: folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default(),
        floor: package["metadata"]["floor"].as_u64(),
        uses: package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    }
}

//! `…_build_info`, which every exporter has on its page.

use base_metrics::{FamilyWriter, Kind};

/// The family of a program that somebody knows from elsewhere; the version is ours.
pub fn write(page: &mut FamilyWriter<'_>, family: &str, program: &str) {
    let help = format!(
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which {program} was \
         built, and the goos and goarch for the build."
    );
    page.family(family, &help, Kind::Gauge).sample(
        &[
            ("branch", ""),
            ("goarch", goarch()),
            ("goos", "linux"),
            ("goversion", ""),
            ("revision", ""),
            ("tags", ""),
            ("version", concat!("ferroalloy-", env!("CARGO_PKG_VERSION"))),
        ],
        1.0,
    );
}

/// The architecture as Go calls it.
fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

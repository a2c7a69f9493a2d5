//! Every example and every configuration printed in the documentation loads.

use sdk_testing::oracle;
use walkdir::WalkDir;

#[tokio::test]
async fn every_example_loads() {
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in WalkDir::new(oracle::root().join("examples")).sort_by_file_name().into_iter().filter_map(Result::ok) {
        if entry.path().extension().is_some_and(|extension| extension == "alloy") {
            count += 1;
            let text = std::fs::read_to_string(entry.path()).expect("examples are text");
            failed.extend(refused(&entry.path().display().to_string(), &text).await);
        }
    }
    assert!(count > 0, "there are examples");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn every_configuration_in_the_documentation_loads() {
    let mut failed = Vec::new();
    for page in ["README.md", "docs", "CONTRIBUTING.md"] {
        for entry in WalkDir::new(oracle::root().join(page)).into_iter().filter_map(Result::ok) {
            if entry.path().extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).expect("documentation is text");
            let mut rest = text.as_str();
            while let Some((_, fence)) = rest.split_once("\n```alloy\n") {
                let Some((config, after)) = fence.split_once("\n```") else { break };
                failed.extend(refused(&entry.path().display().to_string(), config).await);
                rest = after;
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn refused(name: &str, config: &str) -> Option<String> {
    let storage = tempfile::tempdir().expect("a temporary folder");
    let texts = runtime::Texts::of("config.alloy", config);
    match runtime::validate(crate::harness::options(storage.path(), &[]), &texts).await {
        Ok(diagnostics) if !diagnostics.has_errors() => None,
        Ok(diagnostics) => Some(format!("{name}:\n{}", crate::harness::drawn(&diagnostics))),
        Err(error) => Some(format!("{name}: {error:?}")),
    }
}

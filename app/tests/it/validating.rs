//! What `validate` says besides what Alloy says: warnings, which are no failures, and faults that only `run` would meet.

use std::collections::BTreeMap;

use crate::process::{validate, write_files};

/// Code and stderr of `validate` for a text.
fn validated(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &BTreeMap::from([("config.alloy".to_owned(), text.to_owned())]));
    validate(folder.path(), &[], "config.alloy")
}

#[test]
fn what_loads_but_means_something_else_than_it_looks_is_a_warning() {
    let (code, told) = validated(
        "prometheus.scrape \"x\" {\n\ttargets      = []\n\tforward_to   = []\n\tsample_limit = 010\n\tlabel_limit  = 1.9\n\tmetrics_path = null\n}\n",
    );
    let warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("Warning: ")).collect();
    assert_eq!(
        warnings,
        [
            "Warning: config.alloy:4:17: 010 is octal, as it begins with 0: it means 8",
            "Warning: config.alloy:5:17: 1.9 is no whole number; it counts as 1",
            "Warning: config.alloy:6:17: null counts as an empty value, and not as the default",
        ]
    );
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_text_that_is_used_many_times_is_warned_of_once() {
    let scrape = "prometheus.scrape \"x\" {\n\ttargets = []\n\tforward_to = []\n\tlabel_limit = 1.9\n}\n";
    let (code, told) = validated(&format!("declare \"d\" {{\n{scrape}}}\nd \"one\" {{ }}\nd \"two\" {{ }}\n"));
    assert_eq!(told.matches("is no whole number").count(), 1, "{told}");
    assert_eq!(code, Some(0));
}

#[test]
fn certificates_are_looked_at() {
    let http = |arguments: &str| validated(&format!("http {{\n\ttls {{\n{arguments}\n\t}}\n}}\n"));
    let (code, told) = http("cert_pem = \"none\"\nkey_pem = \"none\"");
    assert!(
        told.starts_with("Error: config.alloy:2:2: Failed to evaluate service: cert_pem holds no certificate"),
        "{told}"
    );
    assert_eq!(code, Some(1));
    // The files may be there where the configuration will run.
    let (code, told) = http("cert_file = \"none.pem\"\nkey_file = \"none.key\"");
    assert!(
        told.starts_with("Warning: config.alloy:2:2: Failed to evaluate service: cannot read cert_file none.pem: "),
        "{told}"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn an_endpoint_that_nothing_can_be_sent_to_is_warned_of_where_it_stands() {
    let (code, told) = validated(
        "loki.write \"x\" {\n\tendpoint {\n\t\turl = \"http://loki/push\"\n\t}\n\tendpoint {\n\t\turl = \"\"\n\
         \t\tbasic_auth {\n\t\t\tpassword_file = \"none.password\"\n\t\t}\n\t}\n}\n",
    );
    let warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("Warning: ")).collect();
    assert_eq!(
        warnings,
        [
            "Warning: config.alloy:8:20: loki.write.x: cannot read password_file none.password: No such file or directory (os error 2)",
            "Warning: config.alloy:6:9: loki.write.x: the URL is empty: what comes waits in the queue, and none of it is sent",
        ]
    );
    assert!(told.contains("http://loki:3100/loki/api/v1/push"), "{told}");
    assert_eq!(code, Some(0), "it starts, as in Alloy: {told}");
}

#[test]
fn what_metrics_cannot_be_had_or_sent_with_is_warned_of_where_it_stands() {
    let (code, told) = validated(
        "prometheus.scrape \"x\" {\n\ttargets = []\n\tforward_to = [prometheus.remote_write.x.receiver]\n\tbearer_token_file = \"none.token\"\n\
         \ttls_config {\n\t\tca_file = \"none.pem\"\n\t}\n}\n\
         prometheus.remote_write \"x\" {\n\tendpoint {\n\t\turl = \"REPLACE_WITH_URL\"\n\t}\n}\n",
    );
    let mut warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("Warning: ")).collect();
    warnings.sort_unstable();
    assert_eq!(
        warnings,
        [
            "Warning: config.alloy:11:9: prometheus.remote_write.x: \"REPLACE_WITH_URL\" is not an address: what comes waits in the queue, and none of it is sent",
            "Warning: config.alloy:4:22: prometheus.scrape.x: cannot read bearer_token_file none.token: No such file or directory (os error 2)",
            "Warning: config.alloy:5:2: prometheus.scrape.x: cannot read ca_file none.pem: No such file or directory (os error 2)",
        ]
    );
    assert_eq!(code, Some(0), "it starts, as in Alloy: {told}");
}

#[test]
fn a_missing_authority_of_an_endpoint_is_a_fault_of_the_machine() {
    let text = "loki.write \"x\" {\n\tendpoint {\n\t\turl = \"https://loki/push\"\n\t\ttls_config {\n\t\t\tca_file = \"none.pem\"\n\t\t}\n\t}\n}\n";
    let (code, told) = validated(text);
    assert!(
        told.starts_with("Warning: config.alloy:4:3: Failed to build component: cannot read ca_file none.pem: "),
        "{told}"
    );
    assert_eq!(code, Some(0));
    let (code, told) = validated(&text.replace("ca_file = \"none.pem\"", "ca_pem = \"none\""));
    assert!(
        told.starts_with("Error: config.alloy:4:3: Failed to build component: ca_pem holds no certificate"),
        "{told}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn the_mark_under_an_unknown_component_is_under_its_name() {
    let (code, told) = validated("loki.wrte \"default\" { }\n");
    assert_eq!(
        told,
        "Error: config.alloy:1:1: cannot find the definition of component name \"loki.wrte\"\n\n\
         1 | loki.wrte \"default\" { }\n  | ^^^^^^^^^\n2 | \n  = did you mean \"loki.write\"?\nError: validation failed\n"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn what_is_no_file_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &str| {
        let (code, told) = validate(folder.path(), &[], path);
        assert_eq!(code, Some(1), "{path}: {told}");
        told
    };
    assert_eq!(refused("none.alloy"), "Error: stat none.alloy: no such file or directory\n");
    assert_eq!(refused("/dev/null/x"), "Error: stat /dev/null/x: not a directory\n");
    assert_eq!(refused("/dev/zero"), "Error: open /dev/zero: is longer than the limit of 16777216 bytes\n");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    assert_eq!(validate(folder.path(), &[], "folder").0, Some(0), "an empty folder is an empty configuration");
    std::fs::write(folder.path().join("folder/bad.alloy"), "[").unwrap();
    assert!(refused("folder").starts_with("Error: folder/bad.alloy:1:1: "));
}

#[test]
fn declares_that_double_end_at_a_bound() {
    let doubling = |n: usize| format!("declare \"d{n}\" {{\n\td{0} \"x\" {{ }}\n\td{0} \"y\" {{ }}\n}}\n", n + 1);
    let (code, told) = validated(&format!("{}d0 \"x\" {{ }}\n", (0..40).map(doubling).collect::<String>()));
    assert!(told.contains("the configuration has more than 100000 components and other nodes"), "{told}");
    assert_eq!(code, Some(1));
}

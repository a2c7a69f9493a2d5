//! The first load: what is wrong is told in one go and nothing starts; what is right starts in order.

use crate::fakes::*;

#[tokio::test(start_paused = true)]
async fn dependencies_are_built_first_whatever_the_order_of_the_text() {
    let running = Running::new(
        r#"
test.pass "c" { input = test.pass.b.output + 1 }
test.pass "b" { input = test.pass.a.output + 1 }
test.pass "a" { input = 1 }
"#,
    )
    .await;
    assert_eq!(
        journal(),
        [
            "build test.pass.a 1",
            "build test.pass.b 2",
            "build test.pass.c 3",
            "logging info",
            "run test.pass.a",
            "run test.pass.b",
            "run test.pass.c"
        ]
    );
    let info = running.host.component("test.pass.b").unwrap();
    assert_eq!((info.references_to, info.referenced_by), (vec!["test.pass.a".into()], vec!["test.pass.c".into()]));
    assert_eq!(running.health("test.pass.b"), "healthy started component");
    assert!(running.host.is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_alloy_has_and_we_do_not_is_not_called_a_misspelling() {
    assert_eq!(
        refused("test.vault \"a\" { }\nprometheus.exporter.fake \"b\" { }\n").await,
        "config.alloy:1:1: cannot find the definition of component name \"test.vault\" \
         (Alloy has this component; this version of Ferroalloy does not)\n\
         config.alloy:2:1: cannot find the definition of component name \"prometheus.exporter.fake\" \
         (Alloy has this component; this version of Ferroalloy does not; \
         run the exporter as a process of its own, and read it with prometheus.scrape)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_that_stands_alone_is_put_right() {
    for (value, meant) in
        [("True", "true"), ("yes", "true"), ("off", "false"), ("None", "null"), ("envv(\"X\")", "sys.env")]
    {
        let refusal = refused(&format!("test.pass \"a\" {{ input = {value} }}\n")).await;
        assert!(refusal.ends_with(&format!("(did you mean \"{meant}\"?)")), "{refusal}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_wrong_is_told_in_one_go() {
    assert_eq!(
        refused(
            r#"
answer = 42
test.pess "a" {
}
test.pass "b" { input = test.pass.bb.output }
test.pass "b" { input = 1 }
test.pass { input = 1 }
test.early "x" { }
test.community "x" { }
test.pass "c" {
  inptu = 1
}
test.pass "d" { input = test.pass.b.outptu }
argument "x" { }
http "x" { }
cluster { }
test.pass "e" {
  input = 1
  other = "fail"
}
"#
        )
        .await,
        r#"config.alloy:2:1: unrecognized attribute answer (only blocks may stand here)
config.alloy:6:1: block test.pass.b already declared at config.alloy:5:1
config.alloy:3:1: cannot find the definition of component name "test.pess" (did you mean "test.pass"?)
config.alloy:7:1: component "test.pass" must have a label (write test.pass "default" { … })
config.alloy:8:1: component "test.early" is at stability level "experimental", which is below the minimum allowed stability level "generally-available". Use --stability.level command-line flag to enable "experimental" features
config.alloy:9:1: the component "test.community" is a community component. Use the --feature.community-components.enabled command-line flag to enable community components
config.alloy:14:1: argument blocks only allowed inside a module
config.alloy:15:1: cannot find the definition of component name "http" (a http block takes no label)
config.alloy:16:1: service "cluster" does not support being configured
config.alloy:5:25: component "test.pass.bb.output" does not exist or is out of scope (did you mean "test.pass.b.output"?)
config.alloy:11:3: unrecognized attribute name "inptu" (did you mean "input"?)
config.alloy:10:1: missing required attribute "input"
config.alloy:19:11: Failed to build component: other cannot be had"#
    );
}

#[tokio::test(start_paused = true)]
async fn cycles_are_drawn() {
    assert_eq!(
        refused(
            r#"
test.pass "a" { input = test.pass.b.output }
test.pass "b" { input = test.pass.c.output }
test.pass "c" { input = test.pass.a.output }
test.pass "d" { input = test.pass.d.output }
test.pass "e" { input = test.pass.a.output }
"#
        )
        .await,
        "config.alloy:2:1: cycle: test.pass.a, test.pass.b, test.pass.c \
         (test.pass.a at config.alloy:2:1 needs test.pass.b; test.pass.b at config.alloy:3:1 needs test.pass.c; \
         test.pass.c at config.alloy:4:1 needs test.pass.a)\n\
         config.alloy:5:1: self reference: test.pass.d"
    );
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_a_faulty_component_is_still_checked() {
    assert_eq!(
        refused(
            r#"
test.pass "a" {
  input = 1
  other = "fail"
}
test.pass "b" {
  input = test.pass.a.output
  lits  = []
}
"#
        )
        .await,
        "config.alloy:4:11: Failed to build component: other cannot be had\n\
         config.alloy:8:3: unrecognized attribute name \"lits\" (did you mean \"list\"?)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_building_is_a_diagnostic() {
    let told = refused("test.pass \"a\" {\n  input = 1\n  other = \"panic\"\n}").await;
    assert!(
        told.starts_with("config.alloy:1:1: Failed to build component: panicked: the builder has an accident"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_lacks_fails_a_run_and_only_warns_in_validate() {
    let text = "test.pass \"a\" {\n  input = 1\n  other = \"environment\"\n}\n\ntest.pass \"b\" {\n  input = test.pass.a.output\n}";
    let told = "config.alloy:1:1: Failed to build component: there is no such file";
    assert_eq!(refused(text).await, told);
    let found = runtime::validate(options(), &runtime::Texts::of("config.alloy", text)).await.unwrap();
    assert!(!found.has_errors());
    assert_eq!(found.to_string(), told);
}

#[tokio::test(start_paused = true)]
async fn validate_finds_what_a_run_finds() {
    let text = "test.pass \"a\" { inptu = 1 }\nfoo.bar \"x\" { }";
    let found = runtime::validate(options(), &runtime::Texts::of("config.alloy", text)).await.unwrap();
    assert_eq!(shown(&runtime::LoadError::Refused(found)), refused(text).await);
}

#[tokio::test(start_paused = true)]
async fn shadowing_and_absent_services_are_fine() {
    let running = Running::new(
        r#"
logging {
  level = "debug"
}
declare "string" {
  export "v" { value = 1 }
}
string "x" { }
test.pass "a" { input = string.x.v }
"#,
    )
    .await;
    assert_eq!(journal()[..2], ["build test.pass.a 1", "logging debug"].map(String::from));
    running.reload("").await.unwrap();
    assert_eq!(journal(), ["logging info", "stop test.pass.a"], "without its block the service has its defaults again");
}

#[tokio::test(start_paused = true)]
async fn functions_of_the_library_have_gates_and_old_names() {
    let text = "test.pass \"a\" { input = coalesce(concat([1], [2])[1], array.group_by([], \"k\", false)) }";
    assert_eq!(
        refused(text).await,
        "config.alloy:1:34: this stdlib function is deprecated; please refer to the documentation for updated usage and \
         alternatives (use array.concat)\n\
         config.alloy:1:55: array.group_by is at stability level \"experimental\", which is below the minimum allowed \
         stability level \"generally-available\". Use --stability.level command-line flag to enable \"experimental\" features"
    );
    Running::with(experimental(), text).await;
}

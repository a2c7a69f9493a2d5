//! Custom components and `foreach`.

use crate::fakes::*;

const MATH: &str = r#"
declare "math" {
  argument "n" { }

  argument "m" {
    optional = true
    default  = 10
  }

  test.pass "sum" {
    input = argument.n.value + argument.m.value
  }

  export "sum" {
    value = test.pass.sum.output
  }
}
"#;

#[tokio::test(start_paused = true)]
async fn a_custom_component_is_a_module_with_arguments_and_exports() {
    let running = Running::new(&format!(
        "{MATH}\ntest.pass \"in\" {{ input = 1 }}\nmath \"one\" {{ n = test.pass.in.output }}\ntest.pass \"out\" {{ input = math.one.sum }}"
    ))
    .await;
    assert_eq!(running.exports("test.pass.out"), r#"[Attribute { name: "output", value: 11 }]"#);
    assert_eq!(running.exports("math.one"), r#"[Attribute { name: "sum", value: 11 }]"#);
    assert_eq!(running.host.component("math.one").unwrap().created_module_ids, ["math.one"]);
    let inner = running.host.components("math.one").unwrap();
    assert_eq!(inner.iter().map(|info| info.local_id.as_str()).collect::<Vec<_>>(), ["test.pass.sum"]);
    journal();
    publish("test.pass.in", 5i64);
    settle().await;
    assert_eq!(journal(), ["update math.one/test.pass.sum 15", "update test.pass.out 15"]);
    publish("math.one/test.pass.sum", 99i64);
    settle().await;
    assert_eq!(journal(), ["update test.pass.out 99"], "what changes inside comes out");
}

#[tokio::test(start_paused = true)]
async fn arguments_are_checked_where_the_component_is_used() {
    for (text, told) in [
        (
            "math \"one\" { }",
            "config.alloy:19:1: missing required argument \"n\" to module (it is declared at config.alloy:3:3)",
        ),
        (
            "math \"one\" {\n  n = 1\n  mm = 2\n}",
            "config.alloy:21:3: unrecognized attribute name \"mm\" (did you mean \"m\"?)",
        ),
        ("math \"one\" {\n  n = 1\n  inner {\n  }\n}", "config.alloy:21:3: nested blocks not supported here"),
        ("math \"one\" { n = \"x\" }", "config.alloy:11:32: argument.m.value should be string, got number"),
        (
            "math \"one\" { n = 1 }\ntest.pass \"x\" { input = math.one.product }",
            "config.alloy:20:34: field \"product\" does not exist",
        ),
    ] {
        let found = refused(&format!("{MATH}\n{text}")).await;
        assert!(found.starts_with(told), "{text}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_inside_a_module_are_its_own() {
    for (text, told) in [
        (
            "declare \"a\" {\n  logging { }\n}\na \"x\" { }",
            "config.alloy:2:3: logging block not allowed inside a module",
        ),
        (
            "declare \"a\" {\n  http { }\n}\na \"x\" { }",
            "config.alloy:2:3: service blocks not allowed inside a module: \"http\"",
        ),
        (
            "test.pass \"e\" { input = 1 }\ndeclare \"a\" {\n  test.pass \"r\" { input = test.pass.e.output }\n}\na \"x\" { }",
            "config.alloy:3:27: component \"test.pass.e.output\" does not exist or is out of scope",
        ),
        ("declare \"a\" {\n  a \"inner\" { }\n}\na \"x\" { }", "config.alloy:1:1: self reference: declare.a"),
        ("declare \"declare\" { }", "config.alloy:1:1: 'declare' is not a valid label for a declare block"),
        (
            "declare \"outer\" {\n  declare \"inner\" { }\n}\ninner \"i\" { }",
            "config.alloy:4:1: cannot find the definition of component name \"inner\"",
        ),
        (
            "declare \"a\" {\n  argument \"n\" { }\n  argument \"n\" { }\n}\na \"x\" { n = 1 }",
            "config.alloy:3:3: block argument.n already declared at config.alloy:2:3",
        ),
        (
            "declare \"a\" {\n  b \"x\" { }\n}\ndeclare \"b\" {\n  a \"x\" { }\n}",
            "config.alloy:1:1: cycle: declare.a, declare.b",
        ),
    ] {
        let found = refused(text).await;
        assert!(found.starts_with(told), "{text}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn declares_nest_and_inner_ones_shadow() {
    let running = Running::new(
        r#"
declare "a" {
  export "v" { value = "outer" }
}
declare "b" {
  declare "a" {
    export "v" { value = "inner" }
  }
  a "x" { }
  export "v" { value = a.x.v }
}
declare "c" {
  a "x" { }
  export "v" { value = a.x.v }
}
b "x" { }
c "x" { }
test.pass "x" { input = b.x.v + c.x.v }
"#,
    )
    .await;
    assert_eq!(running.exports("test.pass.x"), r#"[Attribute { name: "output", value: "innerouter" }]"#);
    assert!(running.host.components("b.x/a.x").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_declare_keeps_what_stays() {
    let text = format!("{MATH}\nmath \"one\" {{ n = 1 }}");
    let running = Running::new(&text).await;
    journal();
    running
        .reload(&text.replace("export \"sum\"", "test.pass \"new\" { input = 3 }\n\n  export \"sum\""))
        .await
        .unwrap();
    assert_eq!(journal(), ["build math.one/test.pass.new 3", "run math.one/test.pass.new"]);
    running.reload(&text.replace("default  = 10", "default  = 20")).await.unwrap();
    assert_eq!(journal(), ["update math.one/test.pass.sum 21", "stop math.one/test.pass.new"]);
    running.reload("").await.unwrap();
    assert_eq!(journal(), ["stop math.one/test.pass.sum"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_deep_inside_a_module_refuses_the_whole_reload() {
    let text = format!("{MATH}\ntest.pass \"a\" {{ input = 1 }}\nmath \"one\" {{ n = 1 }}");
    let running = Running::new(&text).await;
    journal();
    let changed =
        text.replace("input = 1 }", "input = 2 }").replace("input = argument", "other = \"fail\"\n input = argument");
    let error = running.reload(&changed).await.unwrap_err();
    assert!(error.contains("other cannot be had"), "{error}");
    assert_eq!(journal(), [""; 0]);
    assert_eq!(running.exports("test.pass.a"), r#"[Attribute { name: "output", value: 1 }]"#);
}

#[tokio::test(start_paused = true)]
async fn declares_that_multiply_are_bounded() {
    let mut text = String::from("declare \"d0\" {\n  test.pass \"p\" { input = 1 }\n}\n");
    for level in 1..40 {
        text += &format!("declare \"d{level}\" {{\n  d{0} \"a\" {{ }}\n  d{0} \"b\" {{ }}\n}}\n", level - 1);
    }
    text += "d39 \"x\" { }\n";
    let found = refused(&text).await;
    assert!(found.contains("the configuration has more than"), "{}", found.lines().next().unwrap_or_default());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_an_unused_declare_is_a_warning_of_validate() {
    let text = "declare \"a\" {\n  test.pass \"p\" { input = nowhere }\n}";
    Running::new(text).await;
    let found = runtime::validate(options(), &runtime::Texts::of("config.alloy", text)).await.unwrap();
    assert!(!found.has_errors());
    assert_eq!(found.to_string(), "config.alloy:2:27: component \"nowhere\" does not exist or is out of scope");
    let used =
        runtime::validate(options(), &runtime::Texts::of("config.alloy", &format!("{text}\na \"x\" {{ }}"))).await;
    assert!(used.unwrap().has_errors());
}

// === foreach ===

const EACH: &str = r#"
test.pass "list" { input = [1, 2] }
test.pass "base" { input = 100 }
foreach "f" {
  collection = test.pass.list.output
  var        = "i"

  template {
    test.pass "p" { input = i + test.pass.base.output }
  }
}
"#;

#[tokio::test(start_paused = true)]
async fn each_item_is_a_module_that_sees_its_surroundings() {
    let running = Running::with(experimental(), EACH).await;
    assert_eq!(
        running.host.component("foreach.f").unwrap().created_module_ids,
        ["foreach.f/foreach_1_1", "foreach.f/foreach_2_1"]
    );
    assert_eq!(running.exports("foreach.f/foreach_2_1/test.pass.p"), r#"[Attribute { name: "output", value: 102 }]"#);
    journal();
    publish("test.pass.base", 200i64);
    settle().await;
    assert_eq!(
        journal(),
        ["update foreach.f/foreach_1_1/test.pass.p 201", "update foreach.f/foreach_2_1/test.pass.p 202"]
    );
    publish("test.pass.list", vec![2i64.into(), 3i64.into(), 3i64.into()]);
    settle().await;
    assert_eq!(
        journal(),
        [
            "build foreach.f/foreach_3_1/test.pass.p 203",
            "build foreach.f/foreach_3_2/test.pass.p 203",
            "stop foreach.f/foreach_1_1/test.pass.p",
            "run foreach.f/foreach_3_1/test.pass.p",
            "run foreach.f/foreach_3_2/test.pass.p"
        ],
        "items keep their instances"
    );
}

#[tokio::test(start_paused = true)]
async fn ids_of_items() {
    for (item, id) in [
        ("\"a b/c\"", "a_b_c"),
        ("-1", "_1"),
        ("1.5", "1_500000"),
        ("true", "true"),
        ("null", "2c7bddafa6f824cb0e682091aa1d9ca392883cb1f5bcff95389adc9feae77fcd"),
    ] {
        let text = format!("foreach \"f\" {{\n  collection = [{item}]\n  var = \"i\"\n  template {{ }}\n}}");
        let running = Running::with(experimental(), &text).await;
        let modules = running.host.component("foreach.f").unwrap().created_module_ids;
        assert_eq!(modules, [format!("foreach.f/foreach_{id}_1")], "{item}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_foreach() {
    for (text, told) in [
        (
            "foreach \"f\" {\n  collection = [1]\n  var = \"i\"\n}",
            "config.alloy:1:1: Failed to build component: the block template is missing in the foreach block",
        ),
        (
            "foreach \"f\" {\n  var = \"i\"\n  template { }\n}",
            "config.alloy:1:1: missing required attribute \"collection\"",
        ),
        (
            "foreach \"f\" {\n  collection = \"abc\"\n  var = \"i\"\n  template { }\n}",
            "config.alloy:2:16: \"abc\" should be array, got string",
        ),
        (
            "foreach \"f\" {\n  collection = [1]\n  var = \"i\"\n  template {\n    test.pass \"m\" { input = j }\n  }\n}",
            "config.alloy:5:29: component \"j\" does not exist or is out of scope",
        ),
        (
            "foreach \"f\" {\n  collection = []\n  var = \"i\"\n  template { }\n}\ntest.pass \"r\" { input = foreach.f.e.output }",
            "config.alloy:6:35: field \"e\" does not exist",
        ),
    ] {
        let found = refused_with(experimental(), text).await;
        assert!(found.starts_with(told), "{text}: {found}");
    }
    let found = refused("foreach \"f\" {\n  collection = [1]\n  var = \"i\"\n  template { }\n}").await;
    assert!(found.starts_with("config.alloy:1:1: config block \"foreach\" is at stability level"), "{found}");
}

//! Modules from elsewhere.

use std::time::Duration;

use crate::fakes::*;

const TWICE: &str = "declare \"twice\" {\n  argument \"n\" { }\n  export \"v\" { value = argument.n.value * 2 }\n}";

#[tokio::test(start_paused = true)]
async fn a_text_from_another_component_is_a_module() {
    let text = r#"
test.pass "text" { input = "declare \"c\" { export \"v\" { value = 7 } }" }
import.string "m" { content = test.pass.text.output }
m.c "x" { }
test.pass "out" { input = m.c.x.v }
"#;
    let running = Running::new(text).await;
    assert_eq!(running.exports("test.pass.out"), r#"[Attribute { name: "output", value: 7 }]"#);
    journal();
    publish("test.pass.text", "declare \"c\" { export \"v\" { value = 8 } }");
    settle().await;
    assert_eq!(journal(), ["update test.pass.out 8"]);
    publish("test.pass.text", "declare \"c\" {");
    settle().await;
    assert_eq!(journal(), [""; 0], "broken content keeps the last good");
    publish("test.pass.text", "declare \"c\" { export \"v\" { value = 9 } }");
    settle().await;
    assert_eq!(journal(), ["update test.pass.out 9"]);
}

#[tokio::test(start_paused = true)]
async fn content_that_cannot_be_used_is_told_where_it_is_used() {
    let text = "import.string \"m\" { content = \"declare \\\"c\\\" {\" }\n";
    Running::new(text).await;
    let found = refused(&format!("{text}m.c \"x\" {{ }}")).await;
    assert!(
        found.contains(
            "config.alloy:2:1: Failed to build component: loading custom component controller: custom component config \
             not found in the registry, namespace: \"m\", componentName: \"c\" (what was imported could not be used: "
        ),
        "{found}"
    );
    let found = refused("import.string \"m\" { content = \"declare \\\"twice\\\" { }\" }\nm.twise \"x\" { }").await;
    assert!(found.ends_with("(did you mean \"m.twice\"?)"), "{found}");
    let found = refused("import.string \"m\" { }").await;
    assert_eq!(found, "config.alloy:1:1: missing required attribute \"content\"");
}

#[tokio::test]
async fn a_file_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mod.alloy");
    std::fs::write(&path, TWICE).unwrap();
    let text = format!(
        "import.file \"m\" {{\n  filename = \"{}\"\n  detector = \"poll\"\n  poll_frequency = \"20ms\"\n}}\nm.twice \"x\" {{ n = 4 }}\ntest.pass \"out\" {{ input = m.twice.x.v }}",
        path.display()
    );
    let running = Running::new(&text).await;
    assert_eq!(running.exports("test.pass.out"), r#"[Attribute { name: "output", value: 8 }]"#);
    std::fs::write(&path, TWICE.replace("* 2", "* 3")).unwrap();
    wait_for(|| running.exports("test.pass.out").contains("12")).await;
    std::fs::write(&path, "declare").unwrap();
    wait_for(|| {
        running.metrics.value("alloy_component_controller_running_components", &[("health_type", "unhealthy")])
            == Some(1.0)
    })
    .await;
    assert!(running.exports("test.pass.out").contains("12"));
    std::fs::write(&path, TWICE).unwrap();
    wait_for(|| running.exports("test.pass.out").contains("value: 8")).await;
    running.runtime.stop().await;
}

#[tokio::test]
async fn a_directory_is_one_module_and_imports_nest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.alloy"), TWICE).unwrap();
    std::fs::write(
        dir.path().join("b.alloy"),
        "import.string \"s\" { content = \"declare \\\"one\\\" { export \\\"v\\\" { value = 1 } }\" }\n\
         declare \"three\" {\n  s.one \"a\" { }\n  twice \"b\" { n = s.one.a.v }\n  export \"v\" { value = twice.b.v + s.one.a.v }\n}",
    )
    .unwrap();
    let text = format!(
        "import.file \"m\" {{ filename = \"{}\" }}\nm.three \"x\" {{ }}\ntest.pass \"out\" {{ input = m.three.x.v }}",
        dir.path().display()
    );
    let running = Running::new(&text).await;
    assert_eq!(running.exports("test.pass.out"), r#"[Attribute { name: "output", value: 3 }]"#);
    running.runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_named() {
    let found = refused("import.file \"m\" { filename = \"no-such.alloy\" }").await;
    assert_eq!(
        found,
        "config.alloy:1:1: Failed to evaluate node for config block: stat no-such.alloy: no such file or directory"
    );
    let found = refused("import.git \"m\" {\n  repository = \"x\"\n  path = \"y\"\n}").await;
    assert!(found.ends_with("import.git is not supported yet by this version of Ferroalloy"), "{found}");
    let found = refused("import.string \"m\" { content = \"loki.echo \\\"e\\\" { }\" }\nm.x \"y\" { }").await;
    assert!(found.contains("only declare and import blocks are allowed in a module, got loki.echo"), "{found}");
}

#[tokio::test]
async fn a_web_server_is_asked_again_and_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "import.http \"m\" {{\n  url = \"http://{}/mod.alloy\"\n  poll_frequency = \"20ms\"\n}}\nm.twice \"x\" {{ n = 4 }}\ntest.pass \"out\" {{ input = m.twice.x.v }}",
        listener.local_addr().unwrap()
    );
    let server = async move {
        for answer in 0.. {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = connection.read(&mut request).await;
            let body = if answer < 3 { TWICE.to_owned() } else { TWICE.replace("* 2", "* 3") };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
        }
    };
    let test = async {
        let running = Running::new(&text).await;
        assert!(running.exports("test.pass.out").contains("value: 8"));
        wait_for(|| running.exports("test.pass.out").contains("value: 12")).await;
        running.runtime.stop().await;
    };
    tokio::select! { () = server => {}, () = test => {} }
}

async fn wait_for(condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it happens in time");
}

//! The API against the recordings of Alloy, and the page.

use std::time::{Duration, UNIX_EPOCH};

use base_metrics::Registry;
use language_eval::{BodyNode, Capsule, CapsuleObject, DataEdge, Object, Text, Value};
use sdk_component::host::{ComponentInfo, LoadReport};
use sdk_component::{BodyStream, BoxFuture, Health, HealthState, Tap};
use tokio::sync::mpsc;

use super::*;

#[derive(Default)]
struct Graph {
    components: Vec<ComponentInfo>,
    last_load: Option<LoadReport>,
    taps: Vec<Tap>,
}

impl Host for Graph {
    fn is_ready(&self) -> bool {
        true
    }

    fn components(&self, module: &str) -> Option<Vec<ComponentInfo>> {
        let known = module.is_empty()
            || self.components.iter().any(|info| info.created_module_ids.iter().any(|id| id == module));
        let without_bodies = |info: &ComponentInfo| ComponentInfo {
            arguments: Vec::new(),
            exports: Vec::new(),
            debug_info: Vec::new(),
            ..info.clone()
        };
        known.then(|| self.components.iter().filter(|info| info.module_id == module).map(without_bodies).collect())
    }

    fn component(&self, id: &str) -> Option<ComponentInfo> {
        let (module, local_id) = id.rsplit_once('/').unwrap_or(("", id));
        self.components.iter().find(|info| info.module_id == module && info.local_id == local_id).cloned()
    }

    fn http_handler(&self, _: &str) -> Option<HttpHandler> {
        None
    }

    fn tap(&self, id: &str) -> Option<Tap> {
        self.taps.iter().find(|tap| &**tap.component() == id).cloned()
    }

    fn taps(&self, module: &str) -> Option<Vec<Tap>> {
        module.is_empty().then(|| self.taps.clone())
    }

    fn reload(&self) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn last_load(&self) -> Option<LoadReport> {
        self.last_load.clone()
    }

    fn metrics(&self) -> Arc<Registry> {
        Arc::new(Registry::new())
    }

    fn version(&self) -> &str {
        "v1.2.3"
    }
}

/// Any capsule that the web API shows by its text.
struct Named(String);

impl CapsuleObject for Named {
    fn type_name(&self) -> &'static str {
        "test.Named"
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn text_of(json: &serde_json::Value) -> String {
    json.as_str().unwrap().to_owned()
}

fn texts_of(json: &serde_json::Value) -> Vec<String> {
    json.as_array().map(|items| items.iter().map(text_of).collect()).unwrap_or_default()
}

/// The value that a recorded JSON form shows.
fn value(json: &serde_json::Value) -> Value {
    let inner = &json["value"];
    match json["type"].as_str().unwrap() {
        "null" => Value::Null,
        "number" => Value::Number(language_eval::Number::Float(inner.as_f64().unwrap())),
        "string" => Value::String(Text::from(inner.as_str().unwrap())),
        "bool" => Value::Bool(inner.as_bool().unwrap()),
        "array" => Value::Array(inner.as_array().unwrap().iter().map(value).collect()),
        "object" => {
            let fields = inner.as_array().unwrap().iter();
            Value::Object(fields.map(|field| (text_of(&field["key"]), value(&field["value"]))).collect::<Object>())
        }
        "capsule" => Value::Capsule(Capsule::new(Named(text_of(inner)))),
        other => panic!("unexpected type {other:?}"),
    }
}

fn body(json: &serde_json::Value) -> Vec<BodyNode> {
    let nodes = json.as_array().map(Vec::as_slice).unwrap_or_default();
    nodes
        .iter()
        .map(|node| match node["type"].as_str().unwrap() {
            "attr" => BodyNode::Attribute { name: text_of(&node["name"]), value: value(&node["value"]) },
            _ => BodyNode::Block {
                name: text_of(&node["name"]),
                label: node["label"].as_str().map(str::to_owned),
                body: body(&node["body"]),
            },
        })
        .collect()
}

/// The component that a recorded JSON form shows.
fn info(json: &serde_json::Value) -> ComponentInfo {
    let state = match json["health"]["state"].as_str() {
        Some("unhealthy") => HealthState::Unhealthy,
        Some("exited") => HealthState::Exited,
        Some("unknown") => HealthState::Unknown,
        _ => HealthState::Healthy,
    };
    ComponentInfo {
        name: text_of(&json["name"]),
        local_id: text_of(&json["localID"]),
        module_id: text_of(&json["moduleID"]),
        label: json["label"].as_str().map(str::to_owned),
        references_to: texts_of(&json["referencesTo"]),
        referenced_by: texts_of(&json["referencedBy"]),
        data_flow_edges_to: texts_of(&json["dataFlowEdgesTo"])
            .into_iter()
            .map(|component| DataEdge { component, signal: "loki_log" })
            .collect(),
        health: Health {
            state,
            message: json["health"]["message"].as_str().unwrap_or_default().to_owned(),
            updated: UNIX_EPOCH + Duration::from_nanos(1_500_000_000),
        },
        arguments: body(&json["arguments"]),
        exports: body(&json["exports"]),
        debug_info: body(&json["debugInfo"]),
        created_module_ids: texts_of(&json["createdModuleIDs"]),
        live_debugging_enabled: json["liveDebuggingEnabled"].as_bool().unwrap(),
    }
}

async fn response(graph: Graph, live_debugging: &LiveDebugging, path: &str) -> Response<Bytes> {
    let options = Options {
        node_name: "node".to_owned(),
        address: "127.0.0.1:12345".to_owned(),
        live_debugging: live_debugging.clone(),
    };
    let request = http::Request::get(path).body(Bytes::new()).unwrap();
    handler(Arc::new(graph), options)(request).await
}

async fn get(graph: Graph, path: &str) -> (u16, String, String) {
    let live_debugging = LiveDebugging::default();
    live_debugging.set(true);
    let response = response(graph, &live_debugging, path).await;
    let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (response.status().as_u16(), content_type, String::from_utf8(response.body().to_vec()).unwrap())
}

/// Objects in the recordings are sorted; so are ours once they are parsed.
fn parsed(text: &str) -> String {
    let mut json: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    normalize(&mut json);
    json.to_string()
}

/// Times are masked in the recordings, numbers lose the difference of 1 and 1.0.
fn normalize(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(fields) => {
            if let Some(time) = fields.get_mut("updatedTime") {
                *time = "TIME".into();
            }
            // Alloy's order is that of a hash map.
            if let Some(serde_json::Value::Array(ids)) = fields.get_mut("createdModuleIDs") {
                ids.sort_by_key(|id| id.to_string());
            }
            fields.values_mut().for_each(normalize);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(normalize),
        serde_json::Value::Number(number) => *json = number.as_f64().unwrap().into(),
        _ => {}
    }
}

#[tokio::test]
async fn the_recorded_graph_is_shown_as_alloy_shows_it() {
    let Some(recorded) = sdk_testing::oracle::text("language/runtime/web-api.json") else { return };
    // A port was masked where it is a number, and inside of a text.
    let recorded = recorded.replace("\"{PORT:API}\"", "4242").replace("{PORT:SELF}", "12345").replace("HOST", "node");
    let recorded: serde_json::Value = serde_json::from_str(&recorded).unwrap();
    let steps = || {
        recorded["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| step["do"] == "http")
            .filter_map(|step| Some((step["path"].as_str()?.strip_prefix("/api/v0/web/")?, step)))
    };
    // Every component whose page was recorded, and those only seen in a list.
    let mut components: Vec<ComponentInfo> = Vec::new();
    for (path, step) in steps() {
        let seen: Vec<&serde_json::Value> = match &step["json"] {
            json @ serde_json::Value::Object(_) if path.starts_with("components/") => vec![json],
            serde_json::Value::Array(items) if path.ends_with("components") => items.iter().collect(),
            _ => continue,
        };
        for json in seen {
            let info = info(json);
            let same =
                |other: &&mut ComponentInfo| (&other.module_id, &other.local_id) == (&info.module_id, &info.local_id);
            match components.iter_mut().find(same) {
                Some(known) if path.starts_with("components/") => *known = info,
                Some(_) => {}
                None => components.push(info),
            }
        }
    }
    assert!(components.len() > 12);
    let mut group = sdk_testing::oracle::Group::new("web_api");
    let mut list = String::new();
    for (path, step) in steps() {
        if path.starts_with("debug/") {
            continue; // nobody has a tap here; see the tests below
        }
        let graph = Graph { components: components.clone(), ..Graph::default() };
        let (status, _, body) = get(graph, &format!("/api/v0/web/{path}")).await;
        let expected = match (step["json"].is_null(), step["body"].as_str()) {
            (false, _) if step["json"] == "same as GET" => list.clone(),
            (false, _) => parsed(&step["json"].to_string()),
            (true, expected) => expected.unwrap_or_default().to_owned(),
        };
        let actual = if status == 200 { parsed(&body) } else { body };
        if path == "components" {
            list = expected.clone();
        }
        let id = format!("{} {path}", step["method"].as_str().unwrap());
        group.compare(&id, &format!("{} {expected}", step["status"]), &format!("{status} {actual}"));
    }
    group.finish();
}

fn component(id: &str, message: &str) -> ComponentInfo {
    let (module, local_id) = id.rsplit_once('/').unwrap_or(("", id));
    let (name, label) = local_id.rsplit_once('.').unwrap();
    info(&serde_json::json!({
        "name": name, "localID": local_id, "moduleID": module, "label": label, "liveDebuggingEnabled": false,
        "health": {"state": "unhealthy", "message": message},
    }))
}

#[tokio::test]
async fn the_fields_stand_in_alloys_order() {
    let graph = Graph { components: vec![component("loki.echo.e", "m")], ..Graph::default() };
    let (status, content_type, body) = get(graph, "/api/v0/web/components/loki.echo.e").await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert_eq!(
        body,
        r#"{"name":"loki.echo","type":"block","localID":"loki.echo.e","moduleID":"","label":"e","referencesTo":[],"referencedBy":[],"dataFlowEdgesTo":[],"health":{"state":"unhealthy","message":"m","updatedTime":"1970-01-01T00:00:01.5Z"},"original":"","arguments":[],"exports":[],"debugInfo":[],"liveDebuggingEnabled":false}"#
    );
}

#[tokio::test]
async fn an_infinity_does_not_break_the_page() {
    let mut info = component("loki.echo.e", "m");
    let infinity = Value::Number(language_eval::Number::Float(f64::INFINITY));
    info.exports = vec![BodyNode::Attribute { name: "value".to_owned(), value: infinity }];
    let graph = Graph { components: vec![info], ..Graph::default() };
    let (status, _, body) = get(graph, "/api/v0/web/components/loki.echo.e").await;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &json["exports"][0]["value"]["value"]), (200, &"+Inf".into()));
}

#[tokio::test]
async fn the_page_tells_version_health_and_the_last_load_and_escapes_everything() {
    let graph = Graph {
        components: vec![component("mod.x/loki.echo.e", "<script>alert('&')</script>"), {
            let mut parent = component("mod.x", "broken \"quote\"");
            parent.created_module_ids = vec!["mod.x".to_owned()];
            parent
        }],
        last_load: Some(LoadReport { at: UNIX_EPOCH, error: Some("config.alloy:1:1: <b>no</b>".to_owned()) }),
        taps: Vec::new(),
    };
    let (status, content_type, html) = get(graph, "/").await;
    assert_eq!((status, content_type.as_str()), (200, "text/html; charset=utf-8"));
    for part in [
        "<p>v1.2.3 · ready</p>",
        "Refused at 1970-01-01T00:00:00Z; what ran before goes on.",
        "<pre>config.alloy:1:1: &lt;b&gt;no&lt;/b&gt;</pre>",
        "<h2>Components (2)</h2>",
        "<a href=\"api/v0/web/components/mod.x/loki.echo.e\">mod.x/loki.echo.e</a>",
        "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;",
        "broken &quot;quote&quot;",
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
    assert!(!html.contains("<script>"));
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    for (path, expected) in [
        ("/nope", (404, "404 page not found\n")),
        ("/api/v0/web/graph?window=0", (400, "Invalid window: must be an integer between 1 and 60\n")),
        ("/api/v0/web/graph/nope?window=1", (404, "module not found\n")),
        ("/api/v0/web/debug/loki.echo.e?sampleProb=2", (400, "Invalid sample probability\n")),
        ("/api/v0/web/debug/nope.x", (500, "component not found\n")),
        ("/api/v0/web/debug/loki.echo.e", (500, "the component \"loki.echo\" does not support live debugging\n")),
    ] {
        let graph = Graph { components: vec![component("loki.echo.e", "m")], ..Graph::default() };
        let (status, _, body) = get(graph, path).await;
        assert_eq!((status, body.as_str()), expected, "{path}");
    }
}

async fn stream(live: &LiveDebugging, tap: &Tap, path: &str) -> mpsc::Receiver<Bytes> {
    let graph = Graph { taps: vec![tap.clone()], ..Graph::default() };
    let response = response(graph, live, path).await;
    assert_eq!(response.status(), 200);
    let chunks = response.extensions().get::<BodyStream>().expect("it goes on").take().expect("for the first time");
    // The stream begins to look.
    while tap.look().is_none() {
        tokio::task::yield_now().await;
    }
    chunks
}

async fn next(chunks: &mut mpsc::Receiver<Bytes>) -> String {
    String::from_utf8(chunks.recv().await.expect("it goes on").to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_graph_tells_rates_of_each_window() {
    let (live, tap) = (LiveDebugging::default(), Tap::new("loki.process.p"));
    let mut chunks = stream(&live, &tap, "/api/v0/web/graph?window=2").await;
    let look = tap.look().expect("the stream looks");
    look.count("loki_log", 2);
    look.count("loki_log", 1);
    look.count_to("otel_log", 4, &["a".into(), "b".into()]);
    assert!(!look.wants_text(), "rates need no texts");
    assert_eq!(
        next(&mut chunks).await,
        "[{\"componentID\":\"loki.process.p\",\"targetComponentIDs\":null,\"type\":\"loki_log\",\"rate\":1.5},\
         {\"componentID\":\"loki.process.p\",\"targetComponentIDs\":[\"a\",\"b\"],\"type\":\"otel_log\",\"rate\":2}]|;|"
    );
    assert_eq!(next(&mut chunks).await, "[]|;|");
    drop(chunks);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(tap.look().is_none(), "who leaves does not look any more");
}

#[tokio::test(start_paused = true)]
async fn a_debug_stream_shows_records_whole_and_never_more_than_it_has_room_for() {
    let (live, tap) = (LiveDebugging::default(), Tap::new("loki.process.p"));
    live.set(true);
    let mut chunks = stream(&live, &tap, "/api/v0/web/debug/loki.process.p").await;
    let look = tap.look().expect("the stream looks");
    look.show(|| "one".to_owned());
    look.show(|| "cut |;| nowhere".to_owned());
    assert_eq!(next(&mut chunks).await, "one|;|cut |\\;| nowhere|;|");
    for record in 0..2000 {
        look.show(|| record.to_string());
    }
    assert_eq!(next(&mut chunks).await.matches("|;|").count(), 1000);
    live.set(false);
    assert!(chunks.recv().await.is_none(), "what is disabled ends");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_records_is_shown_to_who_asks_for_a_share() {
    let (live, tap) = (LiveDebugging::default(), Tap::new("loki.process.p"));
    live.set(true);
    let mut chunks = stream(&live, &tap, "/api/v0/web/debug/loki.process.p?sampleProb=0.25").await;
    let look = tap.look().expect("the stream looks");
    for record in 0..100 {
        look.show(|| record.to_string());
    }
    assert_eq!(next(&mut chunks).await.matches("|;|").count(), 25);
}

#[tokio::test]
async fn live_debugging_is_off_until_the_block_says_otherwise() {
    let graph = Graph { taps: vec![Tap::new("loki.process.p")], ..Graph::default() };
    let refused = response(graph, &LiveDebugging::default(), "/api/v0/web/debug/loki.process.p").await;
    assert_eq!(refused.status(), 500);
    assert!(refused.body().starts_with(b"the live debugging service is disabled."));
}

use std::sync::Mutex;

use language_eval::{Scope, Value};
use sdk_component::HealthState;
use sdk_testing::component::Alone;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

/// Gives one of its answers, which one the test says, and keeps what it was asked.
struct Server {
    address: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: String) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let server = Server { address, answer: Arc::new(Mutex::new(answer)), asked: Arc::default() };
        let (answer, asked) = (server.answer.clone(), server.asked.clone());
        drop(base_sys::task::spawn("server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).await.is_ok_and(|length| length > 2) {}
                asked.lock().expect("no holder panics").push(request);
                let text = answer.lock().expect("no holder panics").clone();
                let _ = stream.write_all(text.as_bytes()).await;
            }
        }));
        server
    }

    fn now(&self, answer: String) {
        *self.answer.lock().expect("no holder panics") = answer;
    }
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn good(body: &str) -> String {
    answer("200 OK", "application/json; charset=utf-8", body)
}

fn addresses(alone: &Alone<Http>) -> Vec<String> {
    let Some(Value::Array(targets)) = alone.export("targets") else { panic!("targets are a list") };
    let address = |value: &Value| match value {
        Value::Target(target) => target.get("__address__").unwrap_or_default().to_owned(),
        other => panic!("a target, not {other:?}"),
    };
    targets.iter().map(address).collect()
}

async fn wait(what: &str, until: impl Fn() -> bool) {
    for _ in 0..3000 {
        if until() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn is_unhealthy(alone: &Alone<Http>, with: &str) -> bool {
    alone.health().is_some_and(|(state, message)| state == HealthState::Unhealthy && message.contains(with))
}

#[tokio::test]
async fn what_was_found_stays_while_the_server_is_ill() {
    let server = Server::start(good(r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}]"#)).await;
    let config = format!("url = \"http://me:p%40ss@{}/sd?of=all\"\nrefresh_interval = \"500ms\"", server.address);
    let mut alone = Alone::<Http>::start(&config, &Scope::new()).expect("it starts");
    wait("the first list", || addresses(&alone) == ["a:1", "b:2"]).await;
    server.now(answer("500 Internal Server Error", "application/json", "[]"));
    wait("the error", || is_unhealthy(&alone, "server returned HTTP status 500 Internal Server Error")).await;
    assert_eq!(addresses(&alone), ["a:1", "b:2"]);
    assert!(alone.metric("prometheus_sd_http_failures_total", &[]).unwrap_or_default() >= 1.0);
    let labels = [("config", ""), ("mechanism", "http")];
    assert!(alone.metric("prometheus_sd_refresh_failures_total", &labels).unwrap_or_default() >= 1.0);
    server.now(good(r#"[{"targets": ["c:3"]}]"#));
    wait("the last list", || addresses(&alone) == ["c:3"]).await;
    wait("health", || alone.health().is_some_and(|(state, _)| state == HealthState::Healthy)).await;
    let asked = server.asked.lock().expect("no holder panics").clone();
    let asked = asked.iter().find(|request| request.ends_with("\r\n\r\n")).expect("it was asked").to_lowercase();
    assert!(asked.starts_with("get /sd?of=all http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nx-prometheus-refresh-interval-seconds: 0.5\r\n"), "{asked}");
    assert!(asked.contains("\r\naccept: application/json\r\n"), "{asked}");
    assert!(asked.contains("\r\nauthorization: basic bwu6cebzcw==\r\n"), "{asked}");
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_is_no_list_changes_nothing() {
    let list = good(r#"[{"targets": ["a:1"]}]"#);
    let server = Server::start(list.clone()).await;
    let config = format!("url = \"http://{}\"\nrefresh_interval = \"500ms\"", server.address);
    let mut alone = Alone::<Http>::start(&config, &Scope::new()).expect("it starts");
    for (ill, said) in [
        (answer("200 OK", "text/html", "[]"), "unsupported content type \"text/html\""),
        (answer("404 Not Found", "text/plain", ""), "server returned HTTP status 404 Not Found"),
        (good("{\"targets\": []}"), "invalid type"),
        (good("[null]"), "nil target group item found"),
        (good(&"[".repeat(100_000)), "invalid type: sequence, expected a target group"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n[".to_owned(),
            "larger than",
        ),
        ("junk".to_owned(), "request to http://"),
    ] {
        server.now(list.clone());
        wait("health", || alone.health().is_some_and(|(state, _)| state == HealthState::Healthy)).await;
        server.now(ill);
        wait(said, || is_unhealthy(&alone, said)).await;
        assert_eq!(addresses(&alone), ["a:1"], "{said}");
    }
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_and_an_update_asks_at_once() {
    // Nobody listens on port 1.
    let mut alone = Alone::<Http>::start("url = \"http://127.0.0.1:1/\"\nrefresh_interval = \"1h\"", &Scope::new())
        .expect("it starts");
    wait("no connection", || is_unhealthy(&alone, "cannot connect to http://127.0.0.1:1/")).await;
    let server = Server::start(good(r#"[{"targets": ["a:1"]}]"#)).await;
    alone.update(&format!("url = \"http://{}\"", server.address), &Scope::new()).expect("good arguments");
    wait("the list", || addresses(&alone) == ["a:1"]).await;
    alone.stop().await.expect("it stops");
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |config: &str| Alone::<Http>::build(config, &Scope::new()).err().unwrap_or_default();
    assert!(refused("url = \"ftp://x\"").contains("must be http or https"));
    assert!(refused("url = \"http://[x\"").contains("cannot read url"));
    assert!(refused("url = \"http://x\"\nrefresh_interval = \"0s\"").contains("refresh_interval"));
    assert!(refused("url = \"http://x\"\nbearer_token = \"a\"\nbearer_token_file = \"b\"").contains("at most one of"));
    assert_eq!(refused("url = \"http://x\""), "");
}

#[test]
fn json_says_so() {
    for good in ["application/json", "Application/JSON;charset=UTF-8", "application/json; charset=\"utf-8\""] {
        assert!(is_json(good), "{good}");
    }
    for other in ["", "text/json", "application/json2", "application/json; charset=latin1"] {
        assert!(!is_json(other), "{other}");
    }
}

//! The server over real connections on this machine's loopback device.

use std::time::Duration;

use language_eval::SecretString;
use sdk_net::server::ClientAuth;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::arguments::{Auth, BasicAuth, Tls};
use crate::routes::tests::FakeHost;

struct Running {
    http: Arc<Http>,
    stop: tokio_util::sync::CancellationToken,
    ended: base_sys::task::Task<Result<(), Stopped>>,
}

async fn start() -> Running {
    let options = Options { listen_address: "127.0.0.1:0".to_owned(), ..Options::default() };
    let http = Arc::new(Http::bind(options, Vec::new()).await.unwrap());
    let token = tokio_util::sync::CancellationToken::new();
    let stop = Stop::new(token.clone(), Duration::from_secs(5));
    let host: Arc<dyn Host> = Arc::new(FakeHost::default());
    let ended = base_sys::task::spawn("http", http.clone().run(host, stop));
    Running { http, stop: token, ended }
}

async fn ask(http: &Http, path: &str, headers: &str) -> String {
    let stream = tokio::net::TcpStream::connect(http.local_address()).await.unwrap();
    ask_on(stream, path, headers).await
}

/// The status line's code, a blank and the body.
async fn ask_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    format!("{} {body}", head.split(' ').nth(1).unwrap())
}

use tokio::io::{AsyncRead, AsyncWrite};

fn tls() -> Tls {
    Tls {
        cert_pem: include_str!("test_cert.pem").to_owned(),
        cert_file: String::new(),
        key_pem: SecretString::from(include_str!("test_key.pem")),
        key_file: String::new(),
        client_ca_pem: String::new(),
        client_ca_file: String::new(),
        client_auth_type: ClientAuth::NoClientCert,
        cipher_suites: Vec::new(),
        curve_preferences: Vec::new(),
        min_version: None,
        max_version: None,
        windows_certificate_filter: None,
    }
}

async fn tls_connect(http: &Http) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = rustls_pemfile::certs(&mut include_bytes!("test_cert.pem").as_slice()).next().unwrap();
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(http.local_address()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await
}

#[tokio::test]
async fn until_the_first_load_only_readiness_and_health_are_answered() {
    let running = start().await;
    let http = &running.http;
    assert_eq!(ask(http, "/-/healthy", "").await, "200 All Alloy components are healthy.\n");
    assert_eq!(ask(http, "/-/ready", "").await, "200 Alloy is ready.\n");
    assert_eq!(ask(http, "/metrics", "").await, "503 Alloy is not ready.\n");
    (http.update(Arguments::default()).unwrap().commit)();
    assert!(ask(http, "/metrics", "").await.starts_with("200 "));
}

#[tokio::test]
async fn a_password_is_asked_for_from_outside_and_not_from_inside() {
    let running = start().await;
    let http = &running.http;
    let basic = BasicAuth { username: "u".to_owned(), password: SecretString::from("p") };
    let auth = Some(Auth { basic: Some(basic), filter: None });
    (http.update(Arguments { tls: None, auth }).unwrap().commit)();
    assert_eq!(ask(http, "/-/ready", "").await, "401 ");
    assert_eq!(ask(http, "/-/ready", "authorization: Basic dTpw\r\n").await, "200 Alloy is ready.\n");
    let inside = http.call(Request::get("/-/ready").body(Bytes::new()).unwrap()).await;
    assert_eq!(inside.status(), StatusCode::OK);
    assert_eq!(http.address(), "alloy.internal:12345");
}

#[tokio::test]
async fn a_reload_switches_to_tls_and_back_without_a_new_port() {
    let running = start().await;
    let http = &running.http;
    (http.update(Arguments { tls: Some(tls()), auth: None }).unwrap().commit)();
    let stream = tls_connect(http).await.unwrap();
    assert_eq!(ask_on(stream, "/-/ready", "").await, "200 Alloy is ready.\n");
    (http.update(Arguments::default()).unwrap().commit)();
    assert_eq!(ask(http, "/-/ready", "").await, "200 Alloy is ready.\n");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_load() {
    let running = start().await;
    for (tls, expected) in [
        (Tls { cert_pem: "nonsense".to_owned(), ..tls() }, "cert"),
        (Tls { key_pem: SecretString::from("nonsense"), ..tls() }, "key"),
        (Tls { curve_preferences: vec!["CurveP521".to_owned()], ..tls() }, "curve \"CurveP521\" is not supported"),
        (
            Tls { cipher_suites: vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()], ..tls() },
            "cipher suite \"TLS_RSA_WITH_RC4_128_SHA\" is not supported: it is unknown or unsafe",
        ),
        (Tls { client_auth_type: ClientAuth::RequireAndVerifyClientCert, ..tls() }, "client_ca_pem"),
    ] {
        let refused = running.http.update(Arguments { tls: Some(tls), auth: None }).err().unwrap();
        assert!(refused.message.contains(expected), "{refused}");
        assert_eq!(refused.field.as_deref(), Some("tls"));
    }
    for name in ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"] {
        let client_auth_type = ClientAuth::RequireAnyClientCert;
        let tls = Tls { cipher_suites: vec![name.to_owned()], client_auth_type, ..tls() };
        assert!(running.http.update(Arguments { tls: Some(tls), auth: None }).is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_said_at_once() {
    let running = start().await;
    let address = running.http.local_address().to_string();
    let options = Options { listen_address: address.clone(), ..Options::default() };
    let error = Http::bind(options, Vec::new()).await.err().unwrap();
    let said = format!("failed to listen on {address}: Address already in use (os error 98); another process has");
    assert!(error.to_string().starts_with(&said), "{error}");
}

#[tokio::test]
async fn stopping_finishes_what_was_asked_and_closes_the_port() {
    let running = start().await;
    let idle = tokio::net::TcpStream::connect(running.http.local_address()).await.unwrap();
    assert_eq!(ask(&running.http, "/-/ready", "").await, "200 Alloy is ready.\n");
    running.stop.cancel();
    assert!(matches!(running.ended.await.returned(), Some(Ok(()))));
    drop(idle);
    assert!(tokio::net::TcpStream::connect(running.http.local_address()).await.is_err());
}

// === recorded scenarios ===

use language_eval::{BodySource, Scope};
use language_syntax::ast::Statement;

/// The arguments of the `http` block of a configuration, or those of an absent one.
fn http_block(configuration: &str) -> Arguments {
    let source = language_syntax::Source::new("config.alloy", configuration);
    let (file, diagnostics) = language_syntax::parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let scope = Scope::new();
    let block = file.body.statements.iter().find_map(|statement| match statement {
        Statement::Block(block) if block.full_name() == "http" => Some(block),
        _ => None,
    });
    let Some(block) = block else { return Arguments::default() };
    let body =
        BodySource { body: &block.body, source: &source, header: Default::default(), label: None, scope: &scope };
    body.decode().map_err(|diagnostics| diagnostics.to_string()).unwrap()
}

/// Of what the web API would answer only that it is there.
fn web(prefix: &str) -> Mount {
    Mount {
        prefix: prefix.to_owned(),
        handler: Box::new(|_| {
            Arc::new(|request| {
                Box::pin(async move {
                    match request.uri().path() {
                        "/api/v0/web/components" | "/api/v0/web/peers" => text(StatusCode::OK, ""),
                        _ => crate::page_not_found(),
                    }
                })
            })
        }),
    }
}

/// Status, the recorded ones of the headers, and the body if it is text that was recorded.
async fn replay(http: &Http, step: &serde_json::Value) -> (String, String) {
    let field = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let mut request = Request::builder().method(field("method").as_str()).uri(field("path"));
    for (name, value) in step["request_headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    let request = request.body(Bytes::new()).unwrap();
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let response = match http.state.refuse(&path, request.headers()) {
        Some(refused) => refused,
        None => http.state.answer(request).await,
    };
    let of_the_web = path.contains("/api/v0/web/");
    let mut expected = step["status"].to_string();
    let mut actual = response.status().as_u16().to_string();
    for (name, value) in step["headers"].as_object().into_iter().flatten() {
        // What is short is not worth compressing, and what the web API answers is tested where it is made.
        if name == "content-encoding" || (of_the_web && response.status().is_success()) {
            continue;
        }
        let ours = response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        expected += &format!("\n{name}: {}", value.as_str().unwrap());
        actual += &format!("\n{name}: {ours}");
    }
    if let Some(body) = step["body"].as_str().filter(|_| !of_the_web && method != http::Method::HEAD) {
        expected += &format!("\n\n{body}");
        actual += &format!("\n\n{}", String::from_utf8_lossy(response.body()));
    }
    (expected, actual)
}

#[tokio::test]
async fn the_recorded_scenarios_of_the_server() {
    let mut group = sdk_testing::oracle::Group::new("http");
    for (name, prefix, support_bundle) in
        [("lifecycle", "/", true), ("http-auth", "/", true), ("ui-prefix", "/alloy/", true), ("switches", "/", false)]
    {
        let Some(text) = sdk_testing::oracle::text(&format!("language/runtime/{name}.json")) else { return };
        let scenario: serde_json::Value = serde_json::from_str(&text).unwrap();
        let support = support_bundle.then(Support::default);
        let options = Options { listen_address: "127.0.0.1:0".to_owned(), support, ..Options::default() };
        let http = Arc::new(Http::bind(options, vec![web(prefix)]).await.unwrap());
        let token = tokio_util::sync::CancellationToken::new();
        let host = Arc::new(FakeHost::with(&[("loki.echo.e", sdk_component::HealthState::Healthy)]));
        let running = base_sys::task::spawn("http", http.clone().run(host, Stop::new(token, Duration::from_secs(5))));
        while http.state.answer(Request::get("/-/ready").body(Bytes::new()).unwrap()).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
        let mut configuration = scenario["files"]["config.alloy"].as_str().unwrap().to_owned();
        (http.update(http_block(&configuration)).unwrap().commit)();
        for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            match step["do"].as_str().unwrap() {
                "write" => configuration = step["text"].as_str().unwrap().to_owned(),
                "http" => {
                    let (expected, actual) = replay(&http, step).await;
                    group.compare(&format!("{name} {number} {}", step["path"].as_str().unwrap()), &expected, &actual);
                    if step["path"] == "/-/reload" {
                        (http.update(http_block(&configuration)).unwrap().commit)();
                    }
                }
                _ => {}
            }
        }
        running.cut();
    }
    group.finish();
}

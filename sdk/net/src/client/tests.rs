//! The client against our own server.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use language_eval::{BodySource, Scope};
use language_syntax::Source;

use super::*;
use crate::server::{Limits, Listener, ServerTls, ServerTlsConfig, serve};

/// What a server saw of one request.
#[derive(Debug, Clone)]
struct Seen {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Answer = Arc<dyn Fn(&Seen) -> http::Response<Full<Bytes>> + Send + Sync>;

/// A server for one test; ends with it.
struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _scope: base_sys::task::Scope,
}

impl Server {
    async fn start(tls: Option<ServerTlsConfig>, answer: Answer) -> Server {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.address();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let scope = base_sys::task::Scope::new();
        let tls = tls.map(|config| Arc::new(ServerTls::new(config).unwrap()));
        let log = seen.clone();
        let service = move |request: Request<hyper::body::Incoming>, _| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let seen = Seen {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body,
                };
                log.lock().unwrap().push(seen.clone());
                answer(&seen)
            }
        };
        let stop = scope.stopped();
        scope.spawn("server", serve(listener, tls, Limits::default(), service, stop, Duration::from_secs(1)));
        Server { address, seen, _scope: scope }
    }

    async fn plain() -> Server {
        Server::start(None, Arc::new(|_| http::Response::new(Full::from("fine")))).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

fn decode(text: &str) -> Result<ClientConfig, String> {
    let source = Source::new("test.alloy", text);
    let (file, diagnostics) = language_syntax::parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let (header, scope) = (Default::default(), Scope::new());
    let body = BodySource { body: &file.body, source: &source, header, label: None, scope: &scope };
    body.decode().map_err(|diagnostics| diagnostics.to_string())
}

fn client(text: &str) -> Client {
    Client::new(decode(text).unwrap(), Options::default()).unwrap()
}

fn get(url: &str) -> Request<Bytes> {
    Request::builder().uri(url).body(Bytes::new()).unwrap()
}

#[test]
fn what_does_not_go_together_is_refused_in_alloys_words() {
    for (text, message) in [
        (
            "bearer_token = \"a\"\nbearer_token_file = \"b\"",
            "at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "basic_auth {\n  password = \"a\"\n  password_file = \"b\"\n}",
            "at most one of basic_auth password & password_file must be configured",
        ),
        ("authorization {\n  type = \"Basic\"\n}", "use \"basic_auth\" block instead"),
        ("oauth2 {\n  client_id = \"a\"\n}", "either oauth2 client_secret or client_secret_file must be configured"),
        ("no_proxy = \"a\"", "if no_proxy is configured, proxy_url must also be configured"),
        ("proxy_from_environment = true\nproxy_url = \"http://a\"", "proxy_url must not be configured"),
        (
            "tls_config {\n  ca_pem = \"a\"\n  ca_file = \"b\"\n}",
            "at most one of ca_pem and ca_file must be configured",
        ),
        (
            "tls_config {\n  cert_pem = \"a\"\n}",
            "exactly one of key_pem or key_file must be configured when a client certificate is configured",
        ),
        ("tls_config {\n  min_version = \"TLS9\"\n}", "must be one of"),
    ] {
        let error = decode(text).unwrap_err();
        assert!(error.contains(message), "{text}\n{error}");
    }
    let config = decode("").unwrap();
    assert!(config.follow_redirects && config.enable_http2);
    assert_eq!(config, ClientConfig::default());
}

#[tokio::test]
async fn every_request_says_who_we_are_and_carries_the_users_headers() {
    let server = Server::plain().await;
    let client = client(
        "basic_auth {\n  username = \"me\"\n  password = \"hunter2\"\n}\nhttp_headers = { \"X-Own\" = [\"one\", \"two\"] }",
    );
    let response = client.send(get(&server.url("/a"))).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"fine"[..]));
    let seen = server.last();
    assert_eq!(seen.header("authorization"), "Basic bWU6aHVudGVyMg==");
    assert_eq!(seen.headers.get_all("x-own").iter().count(), 2);
    assert!(seen.header("user-agent").starts_with("Ferroalloy/"));
    assert!(!format!("{client:?}").contains("hunter2"), "a secret is never printed");
}

#[tokio::test]
async fn a_rotated_token_file_is_used_at_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "first").unwrap();
    let server = Server::plain().await;
    let client = client(&format!("bearer_token_file = {:?}", path.display().to_string()));
    client.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer first");
    std::fs::write(&path, "the second\n").unwrap();
    client.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer the second");
    std::fs::remove_file(&path).unwrap();
    let error = client.send(get(&server.url("/"))).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let server = Server::start(None, Arc::new(|_| http::Response::new(Full::from(vec![b'x'; 5000])))).await;
    let options = Options { max_response_bytes: 4999, ..Options::default() };
    let client = Client::new(ClientConfig::default(), options).unwrap();
    let error = client.send(get(&server.url("/?secret=1"))).await.unwrap_err();
    assert!(error.to_string().ends_with("/ is larger than 4999 bytes"), "{error}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let client = Client::new(ClientConfig::default(), options).unwrap();
    let error = client.send(get(&format!("http://{}/", silent.local_addr().unwrap()))).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_connection_names_the_peer_and_the_cause() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client("").send(get(&format!("http://user:pass@{closed}/push?key=secret"))).await.unwrap_err();
    let expected = format!("cannot connect to http://{closed}/push: Connection refused (os error 111)");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn what_fails_behind_a_proxy_names_the_proxy() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let through = |proxy: &str| client(&format!("proxy_url = {proxy:?}\nno_proxy = \"127.0.0.0/8\""));
    for (scheme, target) in [("http", "http"), ("http", "https"), ("socks5h", "http")] {
        let target = format!("{target}://peer.invalid/metrics");
        let error =
            through(&format!("{scheme}://me:hunter2@{closed}")).send(get(&target)).await.unwrap_err().to_string();
        let expected = format!("cannot connect to {target} through the proxy {scheme}://{closed}: ");
        assert!(error.starts_with(&expected), "{error}");
    }
    // What goes past the proxy.
    let direct = format!("http://{closed}/");
    let error = through("http://proxy.invalid:3128").send(get(&direct)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {direct}: Connection refused (os error 111)"));
    // A proxy that takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://me:hunter2@{}", silent.local_addr().unwrap());
    let config = decode(&format!("proxy_url = {proxy:?}")).unwrap();
    let client = Client::new(config, Options { timeout: Duration::from_millis(50), ..Options::default() }).unwrap();
    let error = client.send(get("http://peer.invalid/")).await.unwrap_err().to_string();
    let address = silent.local_addr().unwrap();
    assert_eq!(error, format!("no answer from http://peer.invalid/ through the proxy http://{address} within 50ms"));
}

#[tokio::test]
async fn redirects_are_followed_unless_the_user_says_no() {
    let server = Server::start(
        None,
        Arc::new(|seen| {
            let mut answer = http::Response::new(Full::default());
            if seen.path == "/from" {
                *answer.status_mut() = StatusCode::FOUND;
                answer.headers_mut().insert("location", "/to".parse().unwrap());
            }
            answer
        }),
    )
    .await;
    let push = || Request::builder().method("POST").uri(server.url("/from")).body(Bytes::from_static(b"x")).unwrap();
    let ask = || Request::builder().method("POST").uri(server.url("/from?a=b")).body(Bytes::new()).unwrap();
    assert_eq!(client("").send(ask()).await.unwrap().status, 200);
    assert_eq!((server.last().method.as_str(), server.last().path.as_str()), ("GET", "/to"));
    assert_eq!(client("follow_redirects = false").send(push()).await.unwrap().status, 302);
    // A question is no push, and what it is answered does not say that the push has arrived.
    let error = client("").send(push()).await.unwrap_err().to_string();
    let (from, to) = (server.url("/from"), server.url("/to"));
    let moved = format!("{from} has moved to {to} (302), and what is sent there cannot follow: write the new address");
    assert_eq!((error, server.last().path.as_str()), (moved, "/from"));
}

#[tokio::test]
async fn a_chain_of_redirects_ends_after_ten_requests() {
    let server = Server::start(
        None,
        Arc::new(|seen| {
            let mut answer = http::Response::new(Full::from(seen.header("referer").to_owned()));
            if let left @ 1.. = seen.path[1..].parse::<u32>().unwrap() {
                *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
                answer.headers_mut().insert("location", (left - 1).to_string().parse().unwrap());
            }
            answer
        }),
    )
    .await;
    let often = Options { often: true, ..Options::default() };
    for client in [client(""), Client::new(ClientConfig::default(), often).unwrap()] {
        assert_eq!(client.send(get(&server.url("/9"))).await.unwrap().body, server.url("/1"));
        assert_eq!(client.repeat(&mut client.repeated(get(&server.url("/9")))).await.unwrap().body, server.url("/1"));
        server.seen.lock().unwrap().clear();
        let error = client.send(get(&server.url("/10"))).await.unwrap_err().to_string();
        assert_eq!(error, format!("request to {} failed: too many redirects", server.url("/10")));
        let error = client.repeat(&mut client.repeated(get(&server.url("/10")))).await.unwrap_err().to_string();
        assert_eq!(error, format!("request to {} failed: too many redirects", server.url("/10")));
        assert_eq!(server.seen.lock().unwrap().len(), 20);
    }
}

#[tokio::test]
async fn oauth2_tokens_are_kept_and_the_secret_moves_to_the_body_when_the_server_wants_it_there() {
    let server = Server::start(
        None,
        Arc::new(|seen| {
            if seen.path != "/token" {
                return http::Response::new(Full::from("fine"));
            }
            if seen.body.windows(13).any(|window| window == b"client_secret") {
                return http::Response::new(Full::from(r#"{"access_token":"t0k","expires_in":3600}"#));
            }
            http::Response::builder().status(401).body(Full::default()).unwrap()
        }),
    )
    .await;
    let client = client(&format!(
        "oauth2 {{\n  client_id = \"id\"\n  client_secret = \"s c\"\n  scopes = [\"a\", \"b\"]\n  token_url = {:?}\n}}",
        server.url("/token")
    ));
    for _ in 0..2 {
        client.send(get(&server.url("/data"))).await.unwrap();
        assert_eq!(server.last().header("authorization"), "Bearer t0k");
    }
    let seen = server.seen.lock().unwrap().clone();
    let paths: Vec<_> = seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/token", "/data", "/data"]);
    assert_eq!(seen[0].header("authorization"), "Basic aWQ6cytj");
    assert_eq!(seen[1].body, "grant_type=client_credentials&scope=a+b&client_id=id&client_secret=s+c");
}

#[tokio::test]
async fn certificates_are_checked_against_the_given_authority_and_name() {
    let tls = ServerTlsConfig {
        cert_pem: include_str!("fixtures/server.pem").into(),
        key_pem: include_str!("fixtures/server.key").into(),
        http2: true,
        ..ServerTlsConfig::default()
    };
    let server = Server::start(Some(tls), Arc::new(|_| http::Response::new(Full::from("fine")))).await;
    let url = server.url("/").replace("http:", "https:");
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, include_str!("fixtures/ca.pem")).unwrap();
    let ca = ca.display().to_string();
    for (tls, good) in [
        (format!("ca_file = {ca:?}\n  server_name = \"server.example\""), true),
        (format!("ca_file = {ca:?}"), false),
        (format!("ca_file = {ca:?}\n  server_name = \"other.example\""), false),
        ("insecure_skip_verify = true".to_owned(), true),
        ("server_name = \"server.example\"".to_owned(), false),
    ] {
        let answer = client(&format!("tls_config {{\n  {tls}\n}}")).send(get(&url)).await;
        assert_eq!(answer.is_ok(), good, "{tls}: {answer:?}");
    }
    let unknown = client("").send(get(&url)).await.unwrap_err();
    assert!(unknown.to_string().ends_with("ca_file or ca_pem in tls_config names whom to trust)"), "{unknown}");
    let missing = client("tls_config {\n  ca_file = \"/does/not/exist\"\n}").send(get(&url)).await.unwrap_err();
    assert!(missing.to_string().starts_with("cannot read ca_file /does/not/exist: "), "{missing}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let server = Server::start(None, Arc::new(|_| http::Response::new(Full::from("fine")))).await;
    let error = client("").send(get(&server.url("/").replace("http:", "https:"))).await.unwrap_err();
    assert!(
        error.to_string().ends_with("(the server does not speak TLS on this port; is its URL http://?)"),
        "{error}"
    );
}

#[test]
fn requests_can_be_sent_from_any_task() {
    fn is_send<T: Send>(_: &T) {}
    let client = client("");
    is_send(&client.send(get("http://localhost/")));
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_cure() {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let error = Listener::bind(&listener.address().to_string()).await.unwrap_err();
    assert!(error.to_string().contains("another process has this port (`ss -ltnp 'sport = :"), "{error}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = base_sys::clock::hold(784_111_777 * 1_000_000_000);
    for (value, expected) in [
        ("120", Some(120)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
        ("Mon, 07 Nov 1994 00:00:00 GMT", Some(54_623)),
        ("Sun, 06 Nov 1983 08:49:37 GMT", Some(0)),
        // Nothing waits for longer than a day.
        ("Thu, 29 Feb 1996 00:00:00 GMT", Some(86_400)),
        ("90000", Some(86_400)),
        ("99999999999999999999999", Some(86_400)),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("+3", None),
        ("Sun, 18446744073709551615 Nov 1994 08:49:37 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 18446744073709551615:49:37 GMT", None),
    ] {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
        let response = Response { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() };
        assert_eq!(response.retry_after(), expected.map(Duration::from_secs), "{value}");
    }
    drop(now);
    let now = base_sys::clock::hold((825_552_000 - 100) * 1_000_000_000);
    let leap_day = "Thu, 29 Feb 1996 00:00:00 GMT".parse().unwrap();
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, leap_day)]);
    assert_eq!(retry_after(&headers), Some(Duration::from_secs(100)));
    drop(now);
}

#[tokio::test]
async fn an_answer_that_lasts_is_read_as_it_comes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (more, mut wanted) = tokio::sync::mpsc::channel::<&'static str>(1);
    drop(base_sys::task::spawn("server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        while let Some(text) = wanted.recv().await {
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
        }
    }));
    let options = Options { timeout: Duration::from_secs(5), ..Options::default() };
    let client = Client::new(ClientConfig::default(), options).unwrap();
    let request = Request::get(format!("http://{address}/watch")).body(Bytes::new()).unwrap();
    let mut streaming = client.open(request).await.unwrap();
    assert_eq!(streaming.status, StatusCode::OK);
    for text in ["one\n", "two\n"] {
        more.send(text).await.unwrap();
        assert_eq!(streaming.chunk().await.unwrap().unwrap(), text);
    }
    drop(more);
    let error = streaming.chunk().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("request to http://{address}/watch failed: ")), "{error}");
}

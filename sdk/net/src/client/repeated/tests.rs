//! Against a server that says how often it was connected to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::{ClientConfig, Options};
use super::*;

/// Answers each request in turn with the next of these bytes, and hangs up after those marked so.
struct Raw {
    url: String,
    connections: Arc<AtomicUsize>,
    asked: tokio::sync::mpsc::Receiver<String>,
    _scope: base_sys::task::Scope,
}

impl Raw {
    async fn start(answers: &'static [(&'static str, bool)]) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/page?a=1", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (tell, asked) = tokio::sync::mpsc::channel(16);
        let scope = base_sys::task::Scope::new();
        let counted = connections.clone();
        scope.spawn("server", async move {
            let mut answers = answers.iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                loop {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            break;
                        }
                    }
                    if request.is_empty() {
                        break;
                    }
                    tell.send(String::from_utf8(request).unwrap()).await.unwrap();
                    let Some((answer, last)) = answers.next() else { return };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if *last {
                        break;
                    }
                }
            }
        });
        Raw { url, connections, asked, _scope: scope }
    }

    fn request(&self) -> Request<Bytes> {
        Request::get(&self.url).body(Bytes::new()).unwrap()
    }
}

fn client(options: Options) -> Client {
    Client::new(ClientConfig::default(), options).unwrap()
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

#[tokio::test]
async fn one_connection_serves_while_the_server_keeps_it() {
    let mut server = Raw::start(&[
        (FINE, false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n", false),
        (FINE, true),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfine", true),
        (FINE, false),
    ])
    .await;
    let client = client(Options::default());
    let mut page = client.repeated(server.request());
    for connections in [1, 1, 1, 2, 3] {
        let response = client.repeat(&mut page).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"fine"[..]));
        assert_eq!(server.connections.load(Ordering::Relaxed), connections);
        let asked = server.asked.recv().await.unwrap();
        let host = server.url.trim_start_matches("http://").trim_end_matches("/page?a=1");
        assert!(asked.starts_with("GET /page?a=1 HTTP/1.1\r\n"), "{asked}");
        for header in [&format!("host: {host}"), "accept: */*", "user-agent: Ferroalloy/"] {
            assert!(asked.contains(&format!("\r\n{header}")), "{asked}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_large_is_an_error_and_the_next_request_has_a_new_connection() {
    let server = Raw::start(&[
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfine", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", false),
        (FINE, true),
    ])
    .await;
    let client = client(Options { max_response_bytes: 9, ..Options::default() });
    let mut page = client.repeated(server.request());
    let error = client.repeat(&mut page).await.unwrap_err().to_string();
    let shown = server.url.trim_end_matches("?a=1");
    assert!(error.starts_with(&format!("request to {shown} failed: ")), "{error}");
    let error = client.repeat(&mut page).await.unwrap_err().to_string();
    assert_eq!(error, format!("the answer from {shown} is larger than 9 bytes"));
    assert_eq!(client.repeat(&mut page).await.unwrap().body, "fine");
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_is_not_kept_of_a_large_body_can_be_looked_at() {
    const LARGE: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n6\r\nsix by\r\n0\r\n\r\n";
    const SENT_ON: &str = "HTTP/1.1 302 Found\r\nlocation: /other\r\ntransfer-encoding: chunked\r\n\r\n6\r\nendles";
    let server =
        Raw::start(&[(LARGE, false), (LARGE, true), (FINE, false), (SENT_ON, true), (FINE, true), (LARGE, false)])
            .await;
    let client = client(Options::default());
    let mut page = client.repeated(server.request());
    for (limit, kept, seen) in [(9, "", "foursix by"), (10, "foursix by", ""), (3, "", "fine"), (4, "fine", "")] {
        let mut beyond = String::new();
        let mut look = |piece: &[u8]| {
            beyond += std::str::from_utf8(piece).unwrap();
            true
        };
        let response = client.repeat_within(&mut page, limit, &mut look).await.unwrap();
        assert_eq!((&response.body[..], beyond.as_str()), (kept.as_bytes(), seen), "{limit}");
    }
    let error = client.repeat_within(&mut page, 3, &mut |piece| piece.is_empty()).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { limit: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_new_connection_is_not_asked_again() {
    let server = Raw::start(&[("", true), (FINE, false)]).await;
    let client = client(Options::default());
    let mut page = client.repeated(server.request());
    let error = client.repeat(&mut page).await.unwrap_err();
    assert!(matches!(error, SendError::Broken { .. }), "{error}");
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    assert_eq!(client.repeat(&mut page).await.unwrap().body, "fine");
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_refused_connection_tells_its_cause() {
    let server = Raw::start(&[
        ("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", false),
        (FINE, false),
    ])
    .await;
    let client = client(Options::default());
    let mut page = client.repeated(server.request());
    assert_eq!(client.repeat(&mut page).await.unwrap().body, "fine");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut page = client.repeated(Request::get(format!("http://{closed}/page")).body(Bytes::new()).unwrap());
    let error = client.repeat(&mut page).await.unwrap_err().to_string();
    assert_eq!(error, format!("cannot connect to http://{closed}/page: Connection refused (os error 111)"));
}

#[test]
fn only_what_nothing_stands_before_goes_directly() {
    let direct = |text: &str| Direct::to(&Request::get(text).body(Bytes::new()).unwrap());
    for not in ["https://a/", "http://me:secret@a/", "/page"] {
        assert!(direct(not).is_none(), "{not}");
    }
    for (text, host, port) in [("http://a/", "a", 80), ("http://[::1]:9100/x", "::1", 9100)] {
        let direct = direct(text).unwrap();
        assert_eq!((direct.host.as_str(), direct.port), (host, port));
    }
}

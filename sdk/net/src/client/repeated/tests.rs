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
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
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

/// What is asked for once more is fine, and came on the connection of this number; the request as the server saw it.
async fn is_fine(client: &Client, page: &mut Repeated, server: &mut Raw, connection: usize) -> String {
    let response = client.repeat(page).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"fine"[..]));
    assert_eq!(server.connections.load(Ordering::Relaxed), connection);
    server.asked.recv().await.unwrap()
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
    for connection in [1, 1, 1, 2, 3] {
        let asked = is_fine(&client, &mut page, &mut server, connection).await;
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

#[tokio::test]
async fn what_servers_say_besides_does_no_harm() {
    // Hints before the answer; a body to the end of the connection; lengths with names and headers behind the last chunk.
    let mut server = Raw::start(&[
        ("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nfi\r\n02\r\nne\r\n0\r\nx: y\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\n\r\nfine", true),
        // Who says more than it was asked for is not asked again here.
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad", true),
        (FINE, false),
    ])
    .await;
    let client = client(Options::default());
    let mut page = client.repeated(server.request());
    for connection in [1, 1, 1, 2, 3] {
        is_fine(&client, &mut page, &mut server, connection).await;
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_at_once() {
    for (answer, reason) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "the answer is not HTTP: invalid HTTP version"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "the answer is not HTTP: \"-1\" is not its length"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfine", "the connection was closed within the answer"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfine\r\n",
            "the answer is not HTTP: the length of a chunk is no number",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-le", "the connection was closed before an answer came"),
    ] {
        let answers = Box::leak(Box::new([(answer, true)]));
        let server = Raw::start(answers).await;
        let client = client(Options::default());
        let error = client.repeat(&mut client.repeated(server.request())).await.unwrap_err();
        assert!(matches!(error, SendError::Broken { .. }) && error.to_string().ends_with(reason), "{error}");
    }
}

#[tokio::test]
async fn a_secret_is_shown_to_the_server_alone() {
    let mut server = Raw::start(&[(FINE, false), (FINE, false)]).await;
    let config = ClientConfig { bearer_token: "hunter2".into(), ..ClientConfig::default() };
    let client = Client::new(config, Options::default()).unwrap();
    let mut page = client.repeated(server.request());
    for _ in 0..2 {
        client.repeat(&mut page).await.unwrap();
        let asked = server.asked.recv().await.unwrap();
        assert_eq!(asked.matches("\r\nauthorization: Bearer hunter2\r\n").count(), 1, "{asked}");
        assert!(!format!("{page:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn requests_that_come_often_share_the_connections_that_are_free() {
    let mut server = Raw::start(&[
        (FINE, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        // Before anything of the body was read.
        ("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 4\r\n\r\nlong", true),
        (FINE, false),
    ])
    .await;
    let client = client(Options { often: true, ..Options::default() });
    let put = |size: usize| Request::put(&server.url).body(Bytes::from(vec![b'x'; size])).unwrap();
    assert_eq!(client.send(put(0)).await.unwrap().body, "fine");
    assert!(server.asked.recv().await.unwrap().contains("\r\ncontent-length: 0\r\n"));
    assert_eq!(client.send(put(0)).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    let mut answer = client.open(put(8 << 20)).await.unwrap();
    assert_eq!((answer.status, server.connections.load(Ordering::Relaxed)), (StatusCode::PAYLOAD_TOO_LARGE, 2));
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "long");
    assert_eq!(client.send(put(0)).await.unwrap().body, "fine");
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn who_is_sent_on_asks_there_once_and_says_who_it_is_on_the_same_machine_alone() {
    let mut end = Raw::start(&[(FINE, false), (FINE, false), (FINE, false), (FINE, false)]).await;
    let port = end.url.rsplit(':').next().unwrap().trim_end_matches("/page?a=1");
    for (status, host, body, expected) in [
        ("308 Permanent Redirect", "127.0.0.1", "x", "POST /end HTTP/1.1\r\n"),
        ("307 Temporary Redirect", "127.0.0.1", "x", "POST /end HTTP/1.1\r\n"),
        ("307 Temporary Redirect", "localhost", "x", "POST /end HTTP/1.1\r\n"),
        ("301 Moved Permanently", "localhost", "", "GET /end HTTP/1.1\r\n"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nlocation: http://{host}:{port}/end\r\ncontent-length: 0\r\n\r\n");
        let mut begin = Raw::start(Box::leak(Box::new([(&*String::leak(answer), true)]))).await;
        let config = ClientConfig { bearer_token: "hunter2".into(), ..ClientConfig::default() };
        let client = Client::new(config, Options { often: true, ..Options::default() }).unwrap();
        let request = |method: &str| Request::builder().method(method).uri(&begin.url).body(body.into()).unwrap();
        let response = match body {
            "" => client.repeat(&mut client.repeated(request("GET"))).await,
            _ => client.send(request("POST")).await,
        };
        assert_eq!(response.unwrap().body, "fine");
        assert!(begin.asked.recv().await.unwrap().contains("\r\nauthorization: Bearer hunter2\r\n"));
        assert!(begin.asked.try_recv().is_err(), "it was asked twice");
        let asked = end.asked.recv().await.unwrap();
        assert!(asked.starts_with(expected), "{asked}");
        assert_eq!(asked.contains("\r\nauthorization: Bearer hunter2\r\n"), host == "127.0.0.1", "{asked}");
    }
}

//! Against a token server that answers as told.

use std::sync::{Mutex, PoisonError};

use language_eval::{FromValue as _, Scope};
use sdk_component::health::HealthState;
use sdk_testing::component::Alone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::testing::given;

/// Answers with what is next in `answers`, then with `t1`, `t2`, … by the number of the request; keeps what it got.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<(u16, &'static str)>>,
    got: Mutex<Vec<String>>,
}

impl Server {
    async fn start(answers: Vec<(u16, &'static str)>) -> (Arc<Server>, String) {
        let server = Arc::new(Server { answers: Mutex::new(answers), ..Server::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let shared = server.clone();
        base_sys::task::spawn("server", async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let _ = shared.answer(tcp).await;
            }
        });
        (server, url)
    }

    async fn answer(&self, mut tcp: TcpStream) -> std::io::Result<()> {
        let mut got = Vec::new();
        let whole = |got: &[u8]| {
            let text = String::from_utf8_lossy(got).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            body.len() >= length.unwrap_or(0)
        };
        while !whole(&got) {
            if tcp.read_buf(&mut got).await? == 0 {
                return Ok(());
            }
        }
        let number = {
            let mut all = self.got.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(String::from_utf8(got).unwrap());
            all.len()
        };
        let next = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            (!answers.is_empty()).then(|| answers.remove(0))
        };
        let (status, body) = match next {
            Some((status, body)) => (status, body.to_owned()),
            None => (200, format!(r#"{{"access_token": "t{number}", "expires_in": 3600}}"#)),
        };
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        tcp.write_all((head + &body).as_bytes()).await?;
        tcp.shutdown().await
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

struct Bench {
    alone: Alone<OAuth2>,
    handler: AuthHandler,
}

impl Bench {
    fn start(url: &str, more: &str) -> Result<Bench, String> {
        let alone = Alone::<OAuth2>::start(&format!("token_url = {url:?}\n{more}\n"), &Scope::new())?;
        let handler = AuthHandler::from_value(&alone.export("handler").unwrap()).unwrap();
        Ok(Bench { alone, handler })
    }

    async fn token(&self) -> Result<String, String> {
        let headers = given(&self.handler).await?;
        assert!(headers["authorization"].is_sensitive());
        Ok(headers["authorization"].to_str().unwrap().to_owned())
    }
}

const CLIENT: &str = "client_id = \"id\"\nclient_secret = \"s3cret\"";

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_a_server_does_not_take_it() {
    let (server, url) = Server::start(Vec::new()).await;
    let more = format!("{CLIENT}\nscopes = [\"a\", \"b\"]\nendpoint_params = {{\"resource\" = [\"x\", \"y\"]}}");
    let mut bench = Bench::start(&url, &more).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.token().await.unwrap(), "Bearer t1");
    }
    let got = server.got();
    assert_eq!(got.len(), 1);
    assert!(got[0].starts_with("POST /token HTTP/1.1\r\n"), "{}", got[0]);
    assert!(got[0].contains("authorization: Basic aWQ6czNjcmV0\r\n"), "{}", got[0]);
    assert!(got[0].ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b&resource=x&resource=y"), "{}", got[0]);
    let client = bench.handler.client().unwrap();
    assert!(client.rejected(&given(&bench.handler).await.unwrap()));
    assert_eq!(bench.token().await.unwrap(), "Bearer t2");
    assert!(!client.rejected(&HeaderMap::new()), "it was not ours");
    assert!(bench.handler.server().is_err(), "it is for exporters only");
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_server_that_fails_is_told_in_health_until_it_works() {
    let refused = (401, r#"{"error": "invalid_client"}"#);
    let (_server, url) = Server::start(vec![refused, refused, (500, ""), (500, "")]).await;
    let mut bench = Bench::start(&url, CLIENT).unwrap();
    for why in ["401 Unauthorized, invalid_client", "500"] {
        let error = bench.token().await.unwrap_err();
        assert!(error.contains(why) && error.contains(&url) && !error.contains("s3cret"), "{error}");
        let (state, message) = bench.alone.health().unwrap();
        assert!(state == HealthState::Unhealthy && message.contains(why), "{message}");
    }
    assert!(bench.token().await.is_ok());
    assert_eq!(bench.alone.health().unwrap().0, HealthState::Healthy);
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_server_that_says_nothing_is_given_up_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bench = Bench::start(&url, &format!("{CLIENT}\ntimeout = \"50ms\"")).unwrap();
    let error = bench.token().await.unwrap_err();
    assert!(error.contains("timed out"), "{error}");
}

#[tokio::test]
async fn files_win_and_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (id, secret) = (dir.path().join("id"), dir.path().join("secret"));
    std::fs::write(&id, "me\n").unwrap();
    std::fs::write(&secret, "one\n").unwrap();
    let (server, url) = Server::start(Vec::new()).await;
    let more = format!("{CLIENT}\nclient_id_file = {id:?}\nclient_secret_file = {secret:?}");
    let bench = Bench::start(&url, &more).unwrap();
    assert_eq!(bench.token().await.unwrap(), "Bearer t1");
    std::fs::write(&secret, "another\n").unwrap();
    assert_eq!(bench.token().await.unwrap(), "Bearer t2");
    let got = server.got();
    assert!(got[0].contains("authorization: Basic bWU6b25l\r\n"), "{}", got[0]);
    assert!(got[1].contains("authorization: Basic bWU6YW5vdGhlcg==\r\n"), "{}", got[1]);
    std::fs::write(&secret, "\n").unwrap();
    let error = bench.token().await.unwrap_err();
    assert!(error.contains("it is empty"), "{error}");
}

#[tokio::test]
async fn an_assertion_is_sent_where_it_is_asked_for() {
    let (server, url) = Server::start(Vec::new()).await;
    let more = format!(
        "client_id = \"id\"\ngrant_type = \"urn:ietf:params:oauth:grant-type:jwt-bearer\"\nsignature_algorithm = \"RS512\"\n\
         claims = {{\"n\" = 7, \"list\" = [true, null], \"inner\" = {{\"a\" = \"b\"}}}}\nclient_certificate_key = {:?}",
        include_str!("rsa.key")
    );
    let bench = Bench::start(&url, &more).unwrap();
    assert_eq!(bench.token().await.unwrap(), "Bearer t1");
    let got = server.got();
    let (_, body) = got[0].split_once("\r\n\r\n").unwrap();
    let assertion = body.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    let claims = assertion.unwrap().split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["n"], 7);
    assert_eq!(claims["list"], serde_json::json!([true, null]));
    assert_eq!(claims["inner"], serde_json::json!({"a": "b"}));
}

#[test]
fn what_cannot_be_is_refused() {
    for (url, more, word) in [
        ("http://x/", "grant_type = \"password\"", "password"),
        ("tokens", "", "is not a URL"),
        ("ftp://x/", "", "http://"),
        (
            "http://x/",
            "grant_type = \"urn:ietf:params:oauth:grant-type:jwt-bearer\"\nsignature_algorithm = \"ES256\"",
            "ES256",
        ),
    ] {
        let error = Alone::<OAuth2>::build(&format!("token_url = {url:?}\n{more}\n"), &Scope::new()).err();
        let error = error.unwrap_or_default();
        assert!(error.contains(word), "{url} {more}: {error}");
    }
}

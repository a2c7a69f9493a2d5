//! Against a token server inside the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use tokio::sync::Semaphore;

use super::*;
use crate::secret_file::Credential;

/// Counts what it is asked, waits for a permit, answers what it is told.
#[derive(Clone)]
struct Server {
    asked: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    answer: Arc<dyn Fn(usize, &str) -> (u16, String) + Send + Sync>,
}

impl TokenServer for Server {
    fn ask(&self, request: Request<Bytes>) -> Answered<'_> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            self.permits.acquire().await.unwrap().forget();
            let (status, body) = (self.answer)(number, std::str::from_utf8(request.body()).unwrap());
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.into() })
        })
    }
}

fn server(answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) -> Server {
    Server { asked: Arc::default(), permits: Arc::new(Semaphore::new(1000)), answer: Arc::new(answer) }
}

fn numbered(lifetime: u32) -> Server {
    server(move |number, _| (200, format!(r#"{{"access_token":"t{number}","expires_in":{lifetime}}}"#)))
}

fn source(server: &Server, grant: Grant, buffer: u64) -> TokenSource {
    let request = TokenRequest {
        token_url: "http://tokens.example/get".to_owned(),
        grant,
        scopes: vec!["a".to_owned(), "b".to_owned()],
        endpoint_params: Vec::new(),
        expiry_buffer: Duration::from_secs(buffer),
    };
    TokenSource::new(request, Box::new(server.clone()))
}

fn by_secret() -> Grant {
    Grant::ClientCredentials { id: Credential::new("id".to_owned(), ""), secret: Credential::new("s".to_owned(), "") }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_until_shortly_before_it_expires() {
    let server = numbered(1000);
    let tokens = source(&server, by_secret(), 300);
    for (after, token) in [(0, "t1"), (699, "t1"), (2, "t2"), (10, "t2")] {
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(tokens.token().await.unwrap(), format!("Bearer {token}"));
    }
    // One that lives shorter than the buffer is not fetched for every request.
    let server = numbered(100);
    let tokens = source(&server, by_secret(), 300);
    for (after, token) in [(0, "t1"), (49, "t1"), (2, "t2")] {
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(tokens.token().await.unwrap(), format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_request_and_its_failure() {
    for (answer, good) in [(r#"{"access_token":"t"}"#, true), ("{", false)] {
        let server = server(move |_, _| (200, answer.to_owned()));
        server.permits.forget_permits(1000);
        let tokens = Arc::new(source(
            &server,
            Grant::JwtBearer { id: Credential::new("i".to_owned(), ""), assertion: key() },
            0,
        ));
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let tokens = tokens.clone();
            asking.spawn(async move { tokens.token().await });
        }
        while server.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // All of them wait now: there is one thread.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        server.permits.add_permits(1000);
        while let Some(asked) = asking.join_next().await {
            assert_eq!(asked.unwrap().is_ok(), good);
        }
        assert_eq!(server.asked.load(Ordering::SeqCst), 1);
        // The next one asks again only where there was nothing.
        assert_eq!(tokens.token().await.is_ok(), good);
        assert_eq!(server.asked.load(Ordering::SeqCst), if good { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let server = numbered(1000);
    let tokens = source(&server, by_secret(), 0);
    let first = tokens.token().await.unwrap();
    assert!(tokens.reject(&first));
    assert_eq!(tokens.token().await.unwrap(), "Bearer t2");
    // Somebody else found it out later: the new token stays.
    assert!(tokens.reject(&first));
    assert_eq!(tokens.token().await.unwrap(), "Bearer t2");
}

#[tokio::test]
async fn refusals_are_told_in_the_servers_words_without_ours() {
    for (status, body, said) in [
        (
            400,
            r#"{"error":"invalid_scope","error_description":"no such"}"#,
            "it answered 400 Bad Request, invalid_scope: no such",
        ),
        (401, "<html>", "it answered 401 Unauthorized"),
        (200, "<html>", "its answer is not JSON"),
        (200, r#"{"error":"slow_down"}"#, "it answered 200 OK, slow_down"),
        (200, "{}", "its answer holds no access_token"),
    ] {
        let server = server(move |_, _| (status, body.to_owned()));
        let error = source(&server, by_secret(), 0).token().await.unwrap_err();
        assert!(error.contains(said) && error.contains("tokens.example"), "{error}");
        // The secret was offered in both places.
        assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn parameters_may_say_another_grant_but_no_other_scope() {
    let server = server(|_, form| (200, format!(r#"{{"access_token":{form:?}}}"#)));
    let with = |name: &str| {
        let mut tokens = source(&server, by_secret(), 0);
        tokens.request.endpoint_params = vec![(name.to_owned(), "x".to_owned()), (name.to_owned(), "y".to_owned())];
        tokens
    };
    assert_eq!(
        with("resource").token().await.unwrap(),
        "Bearer grant_type=client_credentials&scope=a+b&resource=x&resource=y"
    );
    assert_eq!(with("grant_type").token().await.unwrap(), "Bearer scope=a+b&grant_type=x&grant_type=y");
    assert_eq!(with("scope").token().await.unwrap_err(), "endpoint_params cannot say another \"scope\"");
}

#[tokio::test]
async fn an_assertion_is_signed_and_says_what_it_must() {
    use base64::Engine as _;
    let _now = base_sys::clock::hold(1_000_000 * 1_000_000_000);
    let said = Arc::new(Mutex::new(String::new()));
    let keep = said.clone();
    let server = server(move |_, form| {
        *keep.lock().unwrap() = form.to_owned();
        (200, r#"{"access_token":"t"}"#.to_owned())
    });
    let grant = Grant::JwtBearer { id: Credential::new("id".to_owned(), ""), assertion: key() };
    assert_eq!(source(&server, grant, 0).token().await.unwrap(), "Bearer t");
    let form = said.lock().unwrap().clone();
    let pairs: std::collections::BTreeMap<_, _> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(pairs["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(pairs["scope"], "a b");
    let (signed, signature) = pairs["assertion"].rsplit_once('.').unwrap();
    let decoded = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let header: serde_json::Value = serde_json::from_slice(&decoded(header)).unwrap();
    assert_eq!(header, serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    let mut claims: serde_json::Value = serde_json::from_slice(&decoded(claims)).unwrap();
    assert_eq!(claims["jti"].take().as_str().unwrap().len(), 32);
    assert_eq!(
        claims,
        serde_json::json!({"iss": "id", "sub": "id", "aud": "http://tokens.example/get", "iat": 1_000_000, "exp": 1_001_800,
            "scope": "a b", "tenant": 7, "jti": null})
    );
    let public: String = include_str!("rsa.pub").lines().filter(|line| !line.starts_with('-')).collect();
    let public = base64::engine::general_purpose::STANDARD.decode(public).unwrap();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, algorithms) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == rustls::SignatureScheme::RSA_PKCS1_SHA256).unwrap();
    algorithms[0].verify_signature(&public, signed.as_bytes(), &decoded(signature)).unwrap();
}

fn key() -> Assertion {
    Assertion {
        key: Credential::new(include_str!("rsa.key").to_owned(), ""),
        key_id: "k1".to_owned(),
        algorithm: Algorithm::default(),
        issuer: String::new(),
        audience: String::new(),
        claims: serde_json::Map::from_iter([("tenant".to_owned(), 7.into())]),
    }
}

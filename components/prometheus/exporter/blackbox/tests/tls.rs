//! Probes of servers that speak TLS: from the first byte, after STARTTLS, and HTTP/2 and gRPC in it.

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../sdk/net/src/client/fixtures");

/// How a module trusts the stand-ins.
fn trusting() -> String {
    format!("tls_config: {{ca_file: {FIXTURES}/ca.pem, server_name: server.example}}")
}

fn acceptor(protocols: &[&[u8]]) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(format!("{FIXTURES}/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{FIXTURES}/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that gives each connection to `serve`.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    base_sys::task::spawn("stand-in", async move {
        while let Ok((stream, _)) = listener.accept().await {
            base_sys::task::spawn("stand-in connection", serve(stream));
        }
    });
    address
}

/// As [`listen`], within TLS.
async fn listen_tls<F>(
    protocols: &[&[u8]],
    serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> String
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let acceptor = acceptor(protocols);
    listen(move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move { serve(acceptor.accept(stream).await.ok()?).await }
    })
    .await
}

/// What a page says of the certificate and of the version of TLS, without times.
fn shows_the_certificate(page: &str) -> bool {
    page.contains("probe_tls_version_info{version=\"TLS 1.3\"} 1")
        && page.contains("issuer=\"CN=ca\",subject=\"CN=server.example\",subjectalternative=\"server.example\"} 1")
        && page.contains("\nprobe_ssl_earliest_cert_expiry 4.948876631e+09\n")
}

#[tokio::test]
async fn http_2_is_spoken_if_the_server_does_and_the_module_lets() {
    let protocols: &[&[u8]] = &[b"h2", b"http/1.1"];
    let at = listen_tls(protocols, |stream| async move {
        let answer = hyper::service::service_fn(|request: ::http::Request<hyper::body::Incoming>| async move {
            let body = http_body_util::Full::new(Bytes::from(format!("{:?}", request.version())));
            let mut answer = ::http::Response::new(body);
            if request.uri().path() == "/old" {
                *answer.status_mut() = StatusCode::FOUND;
                answer.headers_mut().insert("location", "/new".parse().expect("a value"));
            }
            Ok::<_, std::convert::Infallible>(answer)
        });
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        match is_http2 {
            true => {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await.ok()
            }
            false => hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await.ok(),
        }
    })
    .await;
    let trusting = trusting();
    let prober = prober(&format!(
        "  usual: {{prober: http, http: {{{trusting}}}}}
  old: {{prober: http, http: {{{trusting}, enable_http2: false}}}}
  only: {{prober: http, http: {{{trusting}, valid_http_versions: [HTTP/2.0], fail_if_body_not_matches_regexp: [^HTTP/2]}}}}
  never: {{prober: http, http: {{{trusting}, valid_http_versions: [HTTP/1.1]}}}}
  wary: {{prober: http, http: {{}}}}
"
    ));
    for (module, path, version, success) in [
        ("usual", "/", "2", 1),
        ("usual", "/old", "2", 1),
        ("old", "/old", "1.1", 1),
        ("only", "/", "2", 1),
        ("never", "/", "2", 0),
    ] {
        let (_, page) = scrape(&prober, module, &format!("https://{at}{path}")).await;
        assert!(has(&page, &format!("probe_http_version {version}")), "{module} {path}: {page}");
        assert!(has(&page, &format!("probe_success {success}")), "{module} {path}: {page}");
        assert!(shows_the_certificate(&page), "{module} {path}: {page}");
        assert!(has(&page, &format!("probe_http_redirects {}", u8::from(path == "/old"))), "{module} {path}: {page}");
    }
    // Nobody vouches for the certificate.
    let (_, page) = scrape(&prober, "wary", &format!("https://{at}/")).await;
    assert!(has(&page, "probe_success 0") && has(&page, "probe_http_ssl 0"), "{page}");
}

#[tokio::test]
async fn grpc_is_spoken_in_tls() {
    let at = listen_tls(&[b"h2"], |stream| async move {
        server::serve(stream, Arc::new(Health), server::Config::default(), std::future::pending()).await.ok()
    })
    .await;
    let trusting = trusting();
    let prober = prober(&format!(
        "  all: {{prober: grpc, grpc: {{tls: true, {trusting}}}}}
  one: {{prober: grpc, grpc: {{tls: true, service: s2, {trusting}}}}}
  wary: {{prober: grpc, grpc: {{tls: true}}}}
"
    ));
    for (module, success) in [("all", 1), ("one", 0)] {
        let (_, page) = scrape(&prober, module, &at).await;
        assert!(has(&page, "probe_grpc_ssl 1") && has(&page, "probe_grpc_status_code 0"), "{module}: {page}");
        assert!(has(&page, &format!("probe_success {success}")) && shows_the_certificate(&page), "{module}: {page}");
    }
    let (_, page) = scrape(&prober, "wary", &at).await;
    assert!(has(&page, "probe_grpc_ssl 0") && has(&page, "probe_grpc_status_code 14"), "{page}");
    assert!(has(&page, "probe_ssl_earliest_cert_expiry 0") && has(&page, "probe_success 0"), "{page}");
}

#[tokio::test]
async fn dns_is_asked_over_tls() {
    let at = listen_tls(&[], |mut stream| async move {
        let length = stream.read_u16().await.ok()?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await.ok()?;
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        answer.extend(&question[12..]);
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 1, 2, 3, 4]);
        stream.write_all(&(answer.len() as u16).to_be_bytes()).await.ok()?;
        stream.write_all(&answer).await.ok()?;
        stream.flush().await.ok()
    })
    .await;
    let (trusting, what) = (trusting(), "query_name: example.com, query_type: A, dns_over_tls: true");
    let prober = prober(&format!(
        "  good: {{prober: dns, dns: {{{what}, transport_protocol: tcp, {trusting}}}}}
  wary: {{prober: dns, dns: {{{what}, transport_protocol: tcp}}}}
  datagrams: {{prober: dns, dns: {{{what}, {trusting}}}}}
"
    ));
    let (_, page) = scrape(&prober, "good", &at).await;
    assert!(has(&page, "probe_dns_answer_rrs 1") && has(&page, "probe_success 1"), "{page}");
    for module in ["wary", "datagrams"] {
        let (_, page) = scrape(&prober, module, &at).await;
        assert!(has(&page, "probe_dns_query_succeeded 0") && has(&page, "probe_success 0"), "{module}: {page}");
    }
}

/// A proxy that passes on what comes, if it is asked by the right one.
async fn tunnels() -> String {
    listen(|mut client| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let to = head.strip_prefix("CONNECT ")?.split(' ').next()?;
        if !head.contains("x-token: secret\r\n") || !head.contains(&format!("Host: {to}\r\n")) {
            return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.ok();
        }
        let mut server = TcpStream::connect(to).await.ok()?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await.ok()?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
    })
    .await
}

#[tokio::test]
async fn tls_goes_through_a_proxy_and_no_version_is_newer_than_allowed() {
    let at = listen_tls(&[], |mut stream| async move {
        let mut room = [0; 4096];
        let _ = stream.read(&mut room).await.ok().filter(|length| *length > 0)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
        stream.flush().await.ok()
    })
    .await;
    let (trusting, proxy) = (trusting(), tunnels().await);
    let older = trusting.replace("tls_config: {", "tls_config: {max_version: TLS12, ");
    let none = older.replace("tls_config: {", "tls_config: {min_version: TLS13, ");
    let prober = prober(&format!(
        "  led: {{prober: http, http: {{proxy_url: 'http://{proxy}', proxy_connect_header: {{X-Token: [secret]}}, {trusting}}}}}
  sent_away: {{prober: http, http: {{proxy_url: 'http://{proxy}', {trusting}}}}}
  older: {{prober: http, http: {{{older}}}}}
  none: {{prober: http, http: {{{none}}}}}
  line: {{prober: tcp, tcp: {{tls: true, {older}}}}}
"
    ));
    let target = format!("https://{at}");
    let (_, page) = scrape(&prober, "led", &target).await;
    assert!(has(&page, "probe_success 1") && has(&page, "probe_tls_version_info{version=\"TLS 1.3\"} 1"), "{page}");
    let (_, page) = scrape(&prober, "older", &target).await;
    assert!(has(&page, "probe_success 1") && has(&page, "probe_tls_version_info{version=\"TLS 1.2\"} 1"), "{page}");
    for module in ["sent_away", "none"] {
        let (_, page) = scrape(&prober, module, &target).await;
        assert!(has(&page, "probe_success 0") && has(&page, "probe_http_status_code 0"), "{module}: {page}");
    }
    let (_, page) = scrape(&prober, "line", &at).await;
    assert!(has(&page, "probe_tls_version_info{version=\"TLS 1.2\"} 1"), "{page}");
}

#[tokio::test]
async fn a_conversation_changes_to_tls_where_the_module_says() {
    let acceptor = acceptor(&[]);
    let at = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = tokio::io::BufStream::new(stream);
            stream.write_all(b"220 mail ready\r\n").await.ok()?;
            stream.flush().await.ok()?;
            let mut heard = String::new();
            tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut heard).await.ok()?;
            stream.write_all(b"220 go ahead\r\n").await.ok()?;
            stream.flush().await.ok()?;
            let mut stream = acceptor.accept(stream.into_inner()).await.ok()?;
            let mut room = [0; 64];
            let length = stream.read(&mut room).await.ok()?;
            stream
                .write_all(format!("250 {}\r\n", String::from_utf8_lossy(&room[..length]).trim()).as_bytes())
                .await
                .ok()?;
            stream.flush().await.ok()
        }
    })
    .await;
    let trusting = trusting();
    let talk = "{expect: '^220'}, {send: STARTTLS}, {expect: '^220'}, {starttls: true}";
    let prober = prober(&format!(
        "  mail: {{prober: tcp, tcp: {{query_response: [{talk}, {{send: EHLO}}, {{expect: '^250 EHLO'}}], {trusting}}}}}
  wary: {{prober: tcp, tcp: {{query_response: [{talk}]}}}}
"
    ));
    let (_, page) = scrape(&prober, "mail", &at).await;
    assert!(has(&page, "probe_success 1") && shows_the_certificate(&page), "{page}");
    assert!(page.contains("probe_ssl_last_chain_expiry_timestamp_seconds"), "{page}");
    let (_, page) = scrape(&prober, "wary", &at).await;
    assert!(has(&page, "probe_success 0") && !page.contains("probe_tls_version_info"), "{page}");
}

use std::net::SocketAddr;

use language_eval::Scope;
use sdk_protocols_grpc::Status;
use sdk_protocols_grpc::server::{self, Headers, Service};
use sdk_testing::component::{Alone, decode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

mod tls;

fn prober(modules: &str) -> Prober {
    Prober {
        modules: modules::parse(&format!("modules:\n{modules}")).expect("good modules"),
        offset: 0.5,
        lame: Mutex::default(),
    }
}

/// What a scrape of this module and target is answered.
async fn scrape(prober: &Prober, module: &str, target: &str) -> (u16, String) {
    let target: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
    let uri = format!("/metrics?module={module}&target={target}").parse().unwrap();
    let answer = prober.answer(&uri, &HeaderMap::new()).await;
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

/// The samples of a page, by series, without those that are times.
fn samples(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| !line.starts_with('#') && !line.contains("duration") && !line.contains("lookup"))
        .collect()
}

fn has(page: &str, series: &str) -> bool {
    page.lines().any(|line| line == series)
}

/// A server that answers each connection with what `answer` makes of the first bytes.
async fn stand_in(answer: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    base_sys::task::spawn("stand-in", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut room = vec![0; 4096];
            let length = stream.read(&mut room).await.unwrap_or(0);
            let _ = stream.write_all(answer(&String::from_utf8_lossy(&room[..length])).as_bytes()).await;
        }
    });
    address
}

fn web(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    match path {
        "/old" => "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/new" if !request.contains("/old\r\n") => "HTTP/1.1 400 No Referer\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/loop" => "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned(),
        // Another name of the same server, which is another host all the same.
        "/moved" => {
            let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
            format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{port}/who\r\nContent-Length: 0\r\n\r\n")
        }
        // me:a+b
        "/who" if !request.contains("Basic bWU6YSti\r\n") => {
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        "/gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => {
            let body = format!("{path} of {host}");
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\nX-A: one\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        }
    }
}

#[tokio::test]
async fn the_last_answer_of_http_is_judged() {
    let at = stand_in(web).await;
    let prober = prober(
        "  plain: {prober: http}
  stay: {prober: http, http: {follow_redirects: false, valid_status_codes: [302]}}
  words: {prober: http, http: {fail_if_body_not_matches_regexp: ['^/new of 127'], fail_if_header_matches: [{header: x-a, regexp: two}]}}
  bad: {prober: http, http: {fail_if_body_matches_regexp: ['/x']}}
  missing: {prober: http, http: {fail_if_header_not_matches: [{header: x-b, regexp: o}]}}
  small: {prober: http, http: {body_size_limit: 3B}}
  secure: {prober: http, http: {fail_if_not_ssl: true}}
",
    );
    let (status, page) = scrape(&prober, "plain", &format!("{at}/old")).await;
    let length = format!("/new of {at}").len();
    assert_eq!(status, 200);
    assert_eq!(
        samples(&page),
        [
            "probe_failed_due_to_regex 0",
            &format!("probe_http_content_length {length}"),
            "probe_http_last_modified_timestamp_seconds 1.44541248e+09",
            "probe_http_redirects 1",
            "probe_http_ssl 0",
            "probe_http_status_code 200",
            &format!("probe_http_uncompressed_body_length {length}"),
            "probe_http_version 1.1",
            "probe_ip_addr_hash 3.668918509e+09",
            "probe_ip_protocol 4",
            "probe_success 1",
        ]
    );
    let phases: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("probe_http_duration_seconds{phase=\"")).collect();
    let phases: Vec<&str> = phases.iter().filter_map(|line| line.split('"').next()).collect();
    assert_eq!(phases, ["connect", "processing", "resolve", "tls", "transfer"]);
    for (module, path, success, regex) in [
        ("plain", "/gone", 0, 0),
        ("plain", "/loop", 0, 0),
        ("stay", "/old", 1, 0),
        ("words", "/old", 1, 0),
        ("words", "/x", 0, 1),
        ("bad", "/x", 0, 1),
        ("missing", "/x", 0, 1),
        ("small", "/x", 0, 0),
        ("secure", "/x", 0, 0),
    ] {
        let (_, page) = scrape(&prober, module, &format!("http://{at}{path}")).await;
        assert!(has(&page, &format!("probe_success {success}")), "{module} {path}: {page}");
        assert!(has(&page, &format!("probe_failed_due_to_regex {regex}")), "{module} {path}: {page}");
    }
    for (module, target, expected) in [
        ("plain", format!("http://me:a%2Bb@{at}/who"), 1),
        ("plain", format!("http://me:a%2Bb@{at}/moved"), 0),
        ("plain", format!("{at}/who"), 0),
    ] {
        let (_, page) = scrape(&prober, module, &target).await;
        assert!(has(&page, &format!("probe_success {expected}")), "{target}: {page}");
    }
    let (_, page) = scrape(&prober, "plain", &format!("{at}/loop")).await;
    assert!(has(&page, "probe_http_redirects 11") && has(&page, "probe_http_status_code 302"), "{page}");
}

#[tokio::test]
async fn a_server_that_is_silent_costs_the_time_of_the_probe_only() {
    // Held, and never accepted from.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prober = prober(
        "  web: {prober: http, timeout: 50ms}
  lines: {prober: tcp, timeout: 50ms, tcp: {query_response: [{expect: hello}]}}
  calls: {prober: grpc, timeout: 50ms, grpc: {}}
",
    );
    let target = listener.local_addr().unwrap().to_string();
    for module in ["web", "lines", "calls"] {
        let (status, page) = scrape(&prober, module, &target).await;
        assert!(status == 200 && has(&page, "probe_success 0"), "{module}: {page}");
    }
    let (_, page) = scrape(&prober, "calls", &target).await;
    assert!(has(&page, "probe_grpc_status_code 4"), "{page}");
}

#[tokio::test]
async fn a_conversation_over_tcp_goes_line_by_line() {
    let at = stand_in(|heard| format!("220 mail\r\nyou said {heard}")).await;
    let prober = prober(
        "  talk: {prober: tcp, tcp: {query_response: [{send: EHLO}, {expect: '^220 (.*)$', send: 'hi ${1}'}, {expect: 'said EHLO'}]}}
  other: {prober: tcp, timeout: 5s, tcp: {query_response: [{send: EHLO}, {expect: '^nothing'}]}}
",
    );
    let (_, page) = scrape(&prober, "talk", &at.to_string()).await;
    assert!(has(&page, "probe_success 1") && has(&page, "probe_failed_due_to_regex 0"), "{page}");
    let (_, page) = scrape(&prober, "other", &at.to_string()).await;
    assert!(has(&page, "probe_success 0") && has(&page, "probe_failed_due_to_regex 1"), "{page}");
    assert!(has(&scrape(&prober, "talk", "no-port").await.1, "probe_success 0"));
}

#[tokio::test]
async fn records_of_dns_are_matched_as_zone_files_write_them() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap().to_string();
    base_sys::task::spawn("stand-in", async move {
        let mut room = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut room).await {
            let question = &room[..length];
            // The same question and one record, whose name is that of the question.
            let mut answer = question[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend(&question[12..]);
            let data: &[u8] = match question[length - 3] {
                6 => b"\x02ns\xc0\x0c\x02me\xc0\x0c\0\0\x07\xe8\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04",
                _ => &[1, 2, 3, 4],
            };
            answer.extend([0xc0, 0x0c, 0, question[length - 3], 0, 1, 0, 0, 1, 44, 0, data.len() as u8]);
            answer.extend(data);
            let _ = server.send_to(&answer, from).await;
        }
    });
    let prober = prober(
        "  a: {prober: dns, dns: {query_name: example.com, query_type: A, validate_answer_rrs: {fail_if_not_matches_regexp: [\"^example.com.\\t300\\tIN\\tA\\t1.2.3.4$\"]}}}
  soa: {prober: dns, dns: {query_name: example.com, query_type: SOA, validate_answer_rrs: {fail_if_none_matches_regexp: ['ns.example.com. me.example.com. 2024 1 2 3 4$']}}}
  bad: {prober: dns, dns: {query_name: example.com, query_type: A, valid_rcodes: [NXDOMAIN]}}
  none: {prober: dns, dns: {query_name: example.com, query_type: A, validate_authority_rrs: {fail_if_none_matches_regexp: [a]}}}
",
    );
    let (_, page) = scrape(&prober, "a", &at).await;
    assert_eq!(
        samples(&page),
        [
            "probe_dns_additional_rrs 0",
            "probe_dns_answer_rrs 1",
            "probe_dns_authority_rrs 0",
            "probe_dns_query_succeeded 1",
            "probe_ip_addr_hash 3.668918509e+09",
            "probe_ip_protocol 4",
            "probe_success 1",
        ]
    );
    let (_, page) = scrape(&prober, "soa", &at).await;
    assert!(has(&page, "probe_dns_serial 2024") && has(&page, "probe_success 1"), "{page}");
    for module in ["bad", "none"] {
        assert!(has(&scrape(&prober, module, &at).await.1, "probe_success 0"), "{module}");
    }
}

/// A health service; the state that it tells is the last byte of the service's name.
struct Health;

impl Service for Health {
    type Admission = ();

    fn admit(&self, path: &str, _: &Headers) -> Result<(), Status> {
        assert_eq!(path, "/grpc.health.v1.Health/Check");
        Ok(())
    }

    async fn call(self: Arc<Self>, (): (), message: Bytes) -> Result<Bytes, Status> {
        Ok(Bytes::from(vec![0x08, message.last().map_or(1, |last| last - b'0')]))
    }
}

#[tokio::test]
async fn the_health_service_tells_whether_a_service_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    base_sys::task::spawn("stand-in", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = server::serve(stream, Arc::new(Health), server::Config::default(), std::future::pending());
            base_sys::task::spawn("stand-in connection", served);
        }
    });
    let prober = prober("  all: {prober: grpc, grpc: {}}\n  one: {prober: grpc, grpc: {service: s2}}\n");
    let (_, page) = scrape(&prober, "all", &at).await;
    let serving = |page: &str, state: &str| {
        has(page, &format!("probe_grpc_healthcheck_response{{serving_status=\"{state}\"}} 1"))
    };
    assert!(serving(&page, "SERVING") && has(&page, "probe_success 1") && has(&page, "probe_grpc_ssl 0"), "{page}");
    let (_, page) = scrape(&prober, "one", &at).await;
    assert!(serving(&page, "NOT_SERVING") && has(&page, "probe_success 0"), "{page}");
    let closing = stand_in(|_| String::new()).await.to_string();
    let (_, page) = scrape(&prober, "all", &closing).await;
    assert!(has(&page, "probe_grpc_status_code 14") && has(&page, "probe_success 0"), "{page}");
}

#[tokio::test]
async fn an_echo_comes_back() {
    let prober = prober("  ping: {prober: icmp, timeout: 30s}\n");
    let uri = "/metrics?module=ping&target=127.0.0.1&debug=true".parse().unwrap();
    let answer = prober.answer(&uri, &HeaderMap::new()).await;
    let told = String::from_utf8_lossy(answer.body()).into_owned();
    if told.contains("ping_group_range") {
        eprintln!("skipped: no socket for ICMP here");
        return;
    }
    assert!(has(&told, "probe_success 1") && told.contains("probe_icmp_reply_hop_limit"), "{told}");
}

#[tokio::test]
async fn a_module_that_cannot_probe_here_is_told_of_once() {
    // An address of nobody's (RFC 5737) cannot be ours.
    let prober = prober("  ping: {prober: icmp, timeout: 5s, icmp: {source_ip_address: 192.0.2.1}}\n");
    let uri = "/metrics?module=ping&target=127.0.0.1&debug=true".parse().unwrap();
    let answer = prober.answer(&uri, &HeaderMap::new()).await;
    let told = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(has(&told, "probe_success 0") && told.contains("error opening a socket for ICMP: "), "{told}");
    assert_eq!(prober.lame.lock().unwrap().iter().collect::<Vec<_>>(), ["ping"]);

    let mut probe = Probe::until(Instant::now());
    assert_eq!(prober.news_of("other", &probe), None);
    probe.is_equipped(Err("no permission"));
    assert_eq!(prober.news_of("ping", &probe), None);
    assert_eq!(prober.news_of("other", &probe), Some("no permission"));
    probe.is_equipped(Ok(()));
    assert_eq!(prober.news_of("ping", &probe), None);
    probe.is_equipped(Err("no permission"));
    assert_eq!(prober.news_of("ping", &probe), Some("no permission"));
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let prober = prober("  http_2xx: {prober: http}\n  odd: {prober: smoke}\n");
    assert_eq!(scrape(&prober, "m", "x").await, (400, "Unknown module \"m\"\n".to_owned()));
    assert_eq!(scrape(&prober, "", "").await, (400, "Target parameter is missing\n".to_owned()));
    assert_eq!(scrape(&prober, "odd", "x").await, (400, "Unknown prober \"smoke\"\n".to_owned()));
}

/// Answers with the first line of the request, and who asked.
fn proxy(request: &str) -> String {
    let line = request.lines().next().unwrap_or_default();
    let header = |name: &str| request.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("nobody").to_owned();
    let body = format!("{line} for {} by {}", header("host: "), header("proxy-authorization: "));
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_go_through_a_proxy() {
    let (at, web) = (stand_in(proxy).await, stand_in(web).await);
    let whole = |target: &str, who: &str| {
        format!("fail_if_body_not_matches_regexp: ['GET http://{target}/a HTTP/1.1 for {target} by {who}$']")
    };
    let prober = prober(&format!(
        "  known: {{prober: http, http: {{proxy_url: 'http://me:a%2Bb@{at}', preferred_ip_protocol: ip4, {}}}}}
  unresolved: {{prober: http, http: {{proxy_url: 'http://{at}', skip_resolve_phase_with_proxy: true, {}}}}}
  excepted: {{prober: http, http: {{proxy_url: 'http://{at}', no_proxy: x, fail_if_body_not_matches_regexp: ['^/a of']}}}}
",
        whole("localhost:9", "Basic bWU6YSti"),
        whole("no.such.host.invalid", "nobody"),
    ));
    let (_, page) = scrape(&prober, "known", "localhost:9/a").await;
    assert!(has(&page, "probe_success 1") && page.contains("probe_dns_lookup_time_seconds"), "{page}");
    let (_, page) = scrape(&prober, "unresolved", "no.such.host.invalid/a").await;
    assert!(has(&page, "probe_success 1"), "{page}");
    assert!(!page.contains("probe_ip_protocol") && !page.contains("phase=\"resolve\""), "{page}");
    // This machine is reached without it, where there are exceptions at all.
    let (_, page) = scrape(&prober, "excepted", &format!("{web}/a")).await;
    assert!(has(&page, "probe_success 1"), "{page}");
}

#[tokio::test]
async fn modules_that_cannot_work_are_refused_by_name() {
    let refused = |config: &str| {
        decode::<BlackboxArguments>(config, &Scope::new()).err().unwrap_or_else(|| panic!("{config} was taken"))
    };
    for (module, named) in [
        ("prober: http, http: {proxy_url: 'socks5://p'}", "proxies of the scheme http, not socks5"),
        ("prober: http, http: {no_proxy: a}", "proxy_url must also be configured"),
        ("prober: http, http: {compression: br}", "compression br cannot be undone here"),
        ("prober: http, http: {tls_config: {max_version: TLS11}}", "max_version is older than TLS 1.2"),
        ("prober: http, http: {tls_config: {max_version: TLS14}}", "unknown TLS version: TLS14"),
        ("prober: http, http: {fail_if_body_matches_regexp: ['(']}", "Could not compile regular expression"),
        ("prober: http, http: {valid_status: [1]}", "valid_status"),
        ("prober: http, http: {compression: gzip, headers: {Accept-Encoding: 'gzip;q=0'}}", "invalid configuration"),
        ("prober: dns, dns: {}", "query name must be set for DNS module"),
        ("prober: dns, dns: {query_name: a, query_type: B}", "query type 'B' is not valid"),
        ("prober: icmp, icmp: {ttl: 256}", "cannot exceed 255"),
    ] {
        let error = refused(&format!("config = \"{{modules: {{m: {{{module}}}}}}}\""));
        assert!(error.contains(named), "{module}: {error}");
    }
    assert!(refused("").contains("config or config_file must be set"));
    assert!(refused("config = \"{}\"\nconfig_file = \"a\"").contains("mutually exclusive"));
    assert!(refused("config = \"{}\"\ntargets = [{ name = \"a\" }]").contains("all targets must have an `address`"));
    let gone = Alone::<Blackbox>::build("config_file = \"/does/not/exist\"", &Scope::new()).err().unwrap();
    assert!(gone.contains("failed to load blackbox config from file /does/not/exist"), "{gone}");
    let nameless = "config = \"{}\"\ntarget {\n\tname = \"\"\n\taddress = \"a\"\n}";
    let nameless = Alone::<Blackbox>::build(nameless, &Scope::new()).err().unwrap();
    assert!(nameless.contains("the `name` and `address` fields are mandatory"), "{nameless}");
}

#[tokio::test]
async fn each_target_is_exported_with_what_to_probe() {
    let config = "config = \"{}\"\ntargets = [{ name = \"a\", __address__ = \"h:1\", module = \"m\", job = \"mine\", env = \"x\" }]";
    let alone = Alone::<Blackbox>::build(config, &Scope::new()).unwrap();
    let exported = format!("{:?}", alone.export("targets").unwrap());
    for part in ["integrations/blackbox/a", "__param_target", "h:1", "__param_module", "env", "/metrics"] {
        assert!(exported.contains(part), "{part}: {exported}");
    }
    assert!(!exported.contains("mine"), "{exported}");
}

#[test]
fn certificates_are_told_as_openssl_tells_them() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let text = include_bytes!("../../../../sdk/net/src/client/fixtures/server.pem");
    let der = CertificateDer::from_pem_slice(text).unwrap();
    let certificate = certificate::Certificate::parse(&der).unwrap();
    assert_eq!(certificate.subject, "CN=server.example");
    assert_eq!(certificate.issuer, "CN=ca");
    assert_eq!(certificate.dns_names, ["server.example"]);
    assert_eq!(certificate.not_after, 4_948_876_631);
    assert!(certificate.fingerprint.starts_with("380ab11db5a8ca88"), "{}", certificate.fingerprint);
    for end in 0..der.len() {
        assert_eq!(certificate::Certificate::parse(&der[..end]), None);
    }
}

#[test]
fn a_probe_ends_before_its_scrape() {
    assert_eq!(timeout(10.0, 5.0, 0.5), Duration::from_secs(5));
    assert_eq!(timeout(10.0, 0.0, 0.5), Duration::from_millis(9500));
    assert_eq!(timeout(0.0, 0.0, 0.5), Duration::from_millis(119_500));
    assert_eq!(timeout(0.2, 3.0, 0.5), Duration::from_secs(3));
}

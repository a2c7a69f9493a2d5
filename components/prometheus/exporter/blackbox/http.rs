//! The HTTP probe: one request with its redirects, and whether the last answer is as wanted.

mod exchange;
mod journey;
mod proxy;

use std::net::IpAddr;
use std::path::Path;

use base_sys::fs;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use sdk_net::ClientConfig;
use sdk_net::client::{BasicAuth, Identity};
use url::Url;

use super::modules::{HeaderMatch, Http};
use super::probe::{FAILED_DUE_TO_REGEX, Family, Probe};
use super::resolve::resolve;
use exchange::{Answer, Request};
use journey::Journey;
pub(super) use proxy::Proxies;

pub(super) const PHASES: Family = Family {
    name: "probe_http_duration_seconds",
    help: "Duration of http request by phase, summed over all redirects",
};
const CONTENT_LENGTH: Family = Family { name: "probe_http_content_length", help: "Length of http content response" };
const BODY_LENGTH: Family =
    Family { name: "probe_http_uncompressed_body_length", help: "Length of uncompressed response body" };
const REDIRECTS: Family = Family { name: "probe_http_redirects", help: "The number of redirects" };
const SSL: Family = Family { name: "probe_http_ssl", help: "Indicates if SSL was used for the final redirect" };
const STATUS_CODE: Family = Family { name: "probe_http_status_code", help: "Response HTTP status code" };
const VERSION: Family =
    Family { name: "probe_http_version", help: "Returns the version of HTTP of the probe response" };
const LAST_MODIFIED: Family = Family {
    name: "probe_http_last_modified_timestamp_seconds",
    help: "Returns the Last-Modified HTTP response header in unixtime",
};

/// The most of a request's body that is read from a file.
const MOST_SENT: usize = 16 << 20;

/// Probes a URL; `http://` may be left out. `hostname` is the Host header to send.
pub(super) async fn probe(probe: &mut Probe, target: &str, module: &Http, hostname: Option<&str>) -> bool {
    for family in [&CONTENT_LENGTH, &BODY_LENGTH, &REDIRECTS, &SSL, &STATUS_CODE, &VERSION, &FAILED_DUE_TO_REGEX] {
        probe.set(family, 0.0);
    }
    let url = match target.starts_with("http://") || target.starts_with("https://") {
        true => Url::parse(target),
        false => Url::parse(&format!("http://{target}")),
    };
    let mut url = match url {
        Ok(url) => url,
        Err(error) => return probe.fail(format!("could not parse target URL: {error}")),
    };
    let client = identity_of(module, &mut url);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let mut address = None;
    if !module.skips_resolve() {
        let (found, seconds) = resolve(probe, module.family(), &host).await;
        probe.add_phase(&PHASES, "resolve", seconds);
        let Ok(found) = found else { return false };
        address = Some(found.ip());
    }
    let tls = module.tls(client.tls_config.clone());
    if tls.newest.is_some()
        && let Err(error) = tls.client()
    {
        return probe.fail(format!("error generating HTTP client: {error}"));
    }
    let request = match request(module, hostname, &url, &host, address) {
        Ok(request) => request,
        Err(error) => return probe.fail(format!("error creating request: {error}")),
    };
    for phase in ["connect", "tls", "processing", "transfer"] {
        probe.add_phase(&PHASES, phase, 0.0);
    }
    let identity = match Identity::new(&client) {
        Ok(identity) => identity,
        Err(error) => return probe.fail(format!("error generating HTTP client: {error}")),
    };
    let proxies = match Proxies::of(&client.proxy) {
        Ok(proxies) => proxies,
        Err(error) => return probe.fail(format!("error generating HTTP client: {error}")),
    };
    let journey = Journey::new(module, identity, proxies, host);
    let (answer, redirects) = journey.go(probe, request).await;
    probe.set(&REDIRECTS, redirects as f64);
    match answer {
        Ok(answer) => judge(probe, module, answer).await,
        Err(error) => probe.fail(format!("error for HTTP request: {error}")),
    }
}

/// Who to be; a name and a password in the URL are taken out of it.
fn identity_of(module: &Http, url: &mut Url) -> ClientConfig {
    let mut client = module.client();
    let (tls_config, proxy) = (client.tls_config.clone(), client.proxy.clone());
    let is_anonymous = ClientConfig { tls_config, proxy, ..ClientConfig::default() } == client;
    if !url.username().is_empty() && is_anonymous {
        let password = decoded(url.password().unwrap_or_default()).into();
        client.basic_auth = Some(BasicAuth { username: decoded(url.username()), password, ..BasicAuth::default() });
    }
    // They fail for a URL without a host only, which has neither.
    let _ = (url.set_username(""), url.set_password(None));
    client
}

/// A part of a URL as it was meant.
fn decoded(text: &str) -> String {
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

fn request(
    module: &Http,
    hostname: Option<&str>,
    url: &Url,
    host: &str,
    address: Option<IpAddr>,
) -> Result<Request, String> {
    let mut headers = HeaderMap::new();
    let all = module.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in all.chain(module.more_headers()) {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        headers.append(name, value);
    }
    if let Some(hostname) = hostname {
        headers.insert(HOST, HeaderValue::try_from(hostname).map_err(|error| error.to_string())?);
    }
    let given_host = headers.remove(HOST).and_then(|value| value.to_str().ok().map(str::to_owned));
    if !headers.contains_key(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, HeaderValue::from_static(sdk_net::USER_AGENT));
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let authority = format!("{}{port}", url.host_str().unwrap_or_default());
    let tls_name = given_host.clone().unwrap_or_else(|| host.to_owned());
    let body = match module.body_file.as_str() {
        "" => Bytes::from(module.body.clone()),
        file => fs::read_bounded(Path::new(file), MOST_SENT)
            .map_err(|error| format!("cannot read body_file {file}: {error}"))?
            .into(),
    };
    let mut url = url.clone();
    if let Some(address) = address {
        url.set_ip_host(address).map_err(|()| format!("{url} cannot have an address"))?;
    }
    Ok(Request { method: module.method.clone(), host: given_host.unwrap_or(authority), tls_name, headers, body, url })
}

/// Whether the last answer is as wanted; reads its body.
async fn judge(probe: &mut Probe, module: &Http, mut answer: Answer) -> bool {
    let status = answer.head.status.as_u16();
    let mut success = match module.valid_status_codes.as_slice() {
        [] => (200..300).contains(&status),
        valid => valid.contains(&status),
    };
    if !success {
        probe.say(format!("invalid HTTP response status code {status}"));
    }
    if success && !(module.fail_if_header_matches.is_empty() && module.fail_if_header_not_matches.is_empty()) {
        success = headers_are_good(probe, module, &answer.head.headers);
        probe.set(&FAILED_DUE_TO_REGEX, if success { 0.0 } else { 1.0 });
    }
    let matched = success
        && !(module.fail_if_body_matches_regexp.is_empty() && module.fail_if_body_not_matches_regexp.is_empty());
    let read = answer.read(probe, module, matched).await;
    if matched {
        success = match &read.error {
            Some(_) => false,
            None => body_is_good(probe, module, &read.kept),
        };
        probe.set(&FAILED_DUE_TO_REGEX, if success { 0.0 } else { 1.0 });
    }
    if let Some(error) = read.error {
        success = probe.fail(format!("failed to read HTTP response body: {error}"));
    }
    let modified = answer.head.headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    if let Some(modified) = modified.and_then(|text| parser.parse_timestamp(text).ok()) {
        probe.set(&LAST_MODIFIED, modified.as_second() as f64);
    }
    let (version, named) = match answer.head.version {
        Version::HTTP_10 => (1.0, "HTTP/1.0"),
        Version::HTTP_2 => (2.0, "HTTP/2.0"),
        _ => (1.1, "HTTP/1.1"),
    };
    probe.set(&VERSION, version);
    if !module.valid_http_versions.is_empty() && !module.valid_http_versions.iter().any(|valid| valid == named) {
        success = probe.fail(format!("invalid HTTP version number {named}"));
    }
    match &answer.shown {
        Some(shown) => {
            probe.set(&SSL, 1.0);
            shown.gauge(probe);
            if module.fail_if_ssl {
                success = probe.fail("the final request was over SSL");
            }
        }
        None if module.fail_if_not_ssl && success => success = probe.fail("the final request was not over SSL"),
        None => {}
    }
    probe.set(&STATUS_CODE, f64::from(status));
    probe.set(&CONTENT_LENGTH, answer.content_length as f64);
    probe.set(&BODY_LENGTH, read.length as f64);
    success
}

fn headers_are_good(probe: &mut Probe, module: &Http, headers: &HeaderMap) -> bool {
    let found = |wanted: &HeaderMatch| {
        let values: Vec<&HeaderValue> = headers.get_all(wanted.header.as_str()).iter().collect();
        let matches = values.iter().any(|value| wanted.regexp.0.is_match(value.as_bytes()));
        (values.is_empty(), matches)
    };
    let checks = [(&module.fail_if_header_matches, true), (&module.fail_if_header_not_matches, false)];
    for (wanted, is_bad) in checks.into_iter().flat_map(|(all, is_bad)| all.iter().map(move |one| (one, is_bad))) {
        let (is_missing, matches) = found(wanted);
        if is_missing && !wanted.allow_missing {
            return probe.fail(format!("missing required header {}", wanted.header));
        }
        if !is_missing && matches == is_bad {
            let did = if is_bad { "matched" } else { "did not match" };
            return probe.fail(format!("header {} {did} {}", wanted.header, wanted.regexp.0.as_str()));
        }
    }
    true
}

fn body_is_good(probe: &mut Probe, module: &Http, body: &[u8]) -> bool {
    if let Some(bad) = module.fail_if_body_matches_regexp.iter().find(|bad| bad.0.is_match(body)) {
        return probe.fail(format!("the body matched {}", bad.0.as_str()));
    }
    if let Some(wanted) = module.fail_if_body_not_matches_regexp.iter().find(|wanted| !wanted.0.is_match(body)) {
        return probe.fail(format!("the body did not match {}", wanted.0.as_str()));
    }
    true
}

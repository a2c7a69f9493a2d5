//! One request for a page.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use sdk_component::{MemoryHttp, Problem};
use sdk_net::decompress::{DecompressError, Encoding, decompress};
use sdk_net::{Client, Options, Repeated, SendError, USER_AGENT};
use sdk_protocols_exposition::Format;

use super::arguments::{Protocol, ScrapeArguments};
use super::page::PageFormat;
use super::target::Target;

/// No page is larger than this once it is decompressed, whatever `body_size_limit` says: twenty times what a large
/// kube-state-metrics shows.
const MOST_BYTES: usize = 512 << 20;
/// Connections that are kept for each host. One target is one request at a time.
const IDLE_CONNECTIONS: usize = 2;

/// Gets pages, in one way for all targets of a component.
pub(crate) struct Fetcher {
    client: Client,
    memory_http: Arc<dyn MemoryHttp>,
    accept: HeaderValue,
    compression: bool,
    /// In bytes once decompressed; 0 for none.
    size_limit: usize,
    fallback: Option<PageFormat>,
}

/// A page.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) format: PageFormat,
}

/// How a target's page is asked for, worked out once.
pub(crate) enum Asked {
    /// Of our own server, without the network.
    Memory(Box<Request<Bytes>>),
    Network(Box<Repeated>),
    /// There is no such address.
    Never(String),
}

/// Why there is none.
#[derive(Debug)]
pub(crate) struct Unfetched {
    pub(crate) reason: String,
    pub(crate) too_large: bool,
}

impl Fetcher {
    pub(crate) fn new(arguments: &ScrapeArguments, memory_http: Arc<dyn MemoryHttp>) -> Result<Fetcher, Problem> {
        let size_limit = usize::try_from(arguments.body_size_limit.0).unwrap_or(0);
        let options = Options {
            // Each target has a timeout of its own, which a scrape keeps to itself.
            timeout: Duration::from_secs(24 * 60 * 60),
            max_response_bytes: MOST_BYTES,
            max_idle_connections: IDLE_CONNECTIONS,
            ..Options::default()
        };
        let client = Client::new(arguments.client.clone(), options).map_err(|error| Problem::new(error.to_string()))?;
        let accept = HeaderValue::try_from(accept(arguments)).map_err(|error| Problem::new(error.to_string()))?;
        Ok(Fetcher {
            client,
            memory_http,
            accept,
            compression: arguments.enable_compression,
            size_limit,
            fallback: Protocol::from_name(&arguments.scrape_fallback_protocol).map(Protocol::format),
        })
    }

    /// How to ask for the page of this target.
    pub(crate) fn ask(&self, target: &Target) -> Asked {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = match target.url.parse() {
            Ok(uri) => uri,
            Err(error) => return Asked::Never(format!("{:?} is not an address: {error}", target.url)),
        };
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, self.accept.clone());
        let encoding = if self.compression { "gzip" } else { "identity" };
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let timeout = base_stdx::float::plain(target.timeout.as_secs_f64());
        if let Ok(timeout) = HeaderValue::try_from(timeout) {
            headers.insert("x-prometheus-scrape-timeout-seconds", timeout);
        }
        if target.address == self.memory_http.address() {
            Asked::Memory(Box::new(request))
        } else {
            Asked::Network(Box::new(self.client.repeated(request)))
        }
    }

    /// The page, within the target's timeout.
    pub(crate) async fn fetch(&self, target: &Target, asked: &mut Asked) -> Result<Fetched, Unfetched> {
        match tokio::time::timeout(target.timeout, self.get(asked)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Unfetched::because(format!("no answer from {} within {:?}", target.url, target.timeout))),
        }
    }

    async fn get(&self, asked: &mut Asked) -> Result<Fetched, Unfetched> {
        let (status, headers, body) = match asked {
            Asked::Memory(request) => {
                let (head, body) = self.memory_http.call(Request::clone(request)).await.into_parts();
                (head.status, head.headers, body)
            }
            Asked::Network(request) => {
                let response = self.client.repeat(request).await?;
                (response.status, response.headers, response.body)
            }
            Asked::Never(reason) => return Err(Unfetched::because(reason.clone())),
        };
        if status != http::StatusCode::OK {
            return Err(Unfetched::because(format!("server returned HTTP status {status}")));
        }
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
        let format = format(header(header::CONTENT_TYPE)).or(self.fallback).ok_or_else(|| {
            let content_type = header(header::CONTENT_TYPE);
            Unfetched::because(format!(
                "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol is set"
            ))
        })?;
        let body = self.inflate(header(header::CONTENT_ENCODING), body)?;
        Ok(Fetched { body, format })
    }

    fn inflate(&self, encoding: &str, body: Bytes) -> Result<Vec<u8>, Unfetched> {
        // Reaching the limit fails already, as in Prometheus.
        let limit = if self.size_limit > 0 { self.size_limit - 1 } else { MOST_BYTES };
        let encoding = if encoding.eq_ignore_ascii_case("gzip") { Encoding::Gzip } else { Encoding::Identity };
        if encoding == Encoding::Identity && body.len() <= limit {
            return Ok(Vec::from(body));
        }
        decompress(encoding, &body, limit).map_err(|error| {
            let too_large = matches!(error, DecompressError::TooLarge { .. });
            let reason = if too_large { "body size limit exceeded".to_owned() } else { error.to_string() };
            Unfetched { reason, too_large }
        })
    }
}

impl Unfetched {
    fn because(reason: String) -> Unfetched {
        Unfetched { reason, too_large: false }
    }
}

impl From<SendError> for Unfetched {
    fn from(error: SendError) -> Unfetched {
        let too_large = matches!(error, SendError::TooLarge { .. });
        Unfetched { reason: error.to_string(), too_large }
    }
}

/// The format of a page by its media type; None when it says none that we know.
fn format(content_type: &str) -> Option<PageFormat> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => Some(PageFormat::Text(Format::OpenMetrics)),
        "text/plain" => Some(PageFormat::Text(Format::Text)),
        "application/vnd.google.protobuf" => Some(PageFormat::Protobuf),
        _ => None,
    }
}

/// The formats in the order of the configuration, each with a weight that is a tenth lower, and then anything.
fn accept(arguments: &ScrapeArguments) -> String {
    let mut weight = 6;
    let mut accept = String::new();
    for protocol in arguments.protocols().iter().filter_map(|name| Protocol::from_name(name)) {
        accept.push_str(protocol.media_type());
        if protocol.has_escaping() {
            accept.push_str(&format!(";escaping={}", arguments.escaping()));
        }
        accept.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    accept + &format!("*/*;q=0.{weight}")
}

#[cfg(test)]
mod tests {
    use language_eval::Scope;
    use sdk_testing::component::decode;

    use super::*;

    #[test]
    fn formats_are_asked_for_in_order() {
        let arguments = |more: &str| -> ScrapeArguments {
            decode(&format!("targets = []\nforward_to = []\n{more}"), &Scope::new()).expect("good arguments")
        };
        assert_eq!(
            accept(&arguments("")),
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=underscores;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        let short = arguments("scrape_protocols = [\"PrometheusText1.0.0\"]\nmetric_name_validation_scheme = \"utf8\"");
        assert_eq!(accept(&short), "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5");
    }

    #[test]
    fn a_page_says_its_format() {
        assert_eq!(
            format("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            Some(PageFormat::Text(Format::OpenMetrics))
        );
        assert_eq!(format("Text/Plain"), Some(PageFormat::Text(Format::Text)));
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        assert_eq!(format(protobuf), Some(PageFormat::Protobuf));
        assert_eq!((format(""), format("text/html")), (None, None));
    }
}

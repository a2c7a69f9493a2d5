//! One request for a page.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use sdk_component::{MemoryHttp, Problem};
use sdk_net::{Client, Options, Repeated, SendError, USER_AGENT};
use sdk_protocols_compression::{Coding, ExpandError};
use sdk_protocols_exposition::Format;

use super::arguments::{Protocol, ScrapeArguments};
use super::page::PageFormat;
use super::page_size::PageSize;
use super::target::Target;

/// No page is larger than this once it is decompressed, whatever `body_size_limit` says: twenty times what a large
/// kube-state-metrics shows.
const MOST_BYTES: usize = 512 << 20;
/// And none without a `body_size_limit` has more lines.
const MOST_LINES: usize = 4 << 20;
/// Where no `body_size_limit` says how large a page may be, this much is kept of one that we have not seen the end of. Of a
/// larger one nothing is kept before all of it has come once: it may have no end.
const UNSEEN_BYTES: usize = 8 << 20;
/// So many compressed bytes are looked at before anybody else has a turn.
const INFLATED_AT_ONCE: usize = 4 << 10;
/// A compressed page may be this much larger than what it becomes.
const INCOMPRESSIBLE: usize = 4 << 10;
/// So much of the room for a page is kept for the next one, by each thread.
const MOST_KEPT: usize = 256 << 10;
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
    Network {
        request: Box<Repeated>,
        /// The largest page that is kept, in bytes; known to have an end.
        room: usize,
    },
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
            Asked::Network { request: Box::new(self.client.repeated(request)), room: self.room() }
        }
    }

    /// The same, with what was learnt of the page by asking before.
    pub(crate) fn ask_again(&self, target: &Target, before: &Asked) -> Asked {
        let mut asked = self.ask(target);
        if let (0, Asked::Network { room, .. }, Asked::Network { room: known, .. }) =
            (self.size_limit, &mut asked, before)
        {
            *room = (*room).max(*known);
        }
        asked
    }

    /// The page, within the target's timeout.
    pub(crate) async fn fetch(&self, target: &Target, asked: &mut Asked) -> Result<Fetched, Unfetched> {
        match tokio::time::timeout(target.timeout, self.get(asked)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Unfetched::because(format!("no answer from {} within {:?}", target.url, target.timeout))),
        }
    }

    /// What is kept of a page of which nothing is known.
    fn room(&self) -> usize {
        match self.size_limit {
            0 => UNSEEN_BYTES,
            // Reaching the limit fails already, as in Prometheus.
            limit => (limit - 1).min(MOST_BYTES),
        }
    }

    async fn get(&self, asked: &mut Asked) -> Result<Fetched, Unfetched> {
        match asked {
            Asked::Memory(request) => {
                let (head, body) = self.memory_http.call(Request::clone(request)).await.into_parts();
                let format = self.format(head.status, &head.headers)?;
                // We know how much we say of ourselves.
                let room = if self.size_limit > 0 { self.room() } else { MOST_BYTES };
                let body = self.whole(&head.headers, body, room)?.map_err(|_| self.too_large())?;
                Ok(Fetched { body, format })
            }
            Asked::Network { request, room } => match self.get_within(request, *room).await? {
                Ok(page) => Ok(page),
                Err(_) if self.size_limit > 0 => Err(self.too_large()),
                Err(size) => {
                    // It has an end, and we know where. It may have grown by the time that we have it.
                    *room = size.checked_add(size / 4).map_or(MOST_BYTES, |room| room.min(MOST_BYTES));
                    self.get_within(request, *room).await?.map_err(|_| self.too_large())
                }
            },
            Asked::Never(reason) => Err(Unfetched::because(reason.clone())),
        }
    }

    /// A page of at most so many bytes; of a larger one, its size.
    async fn get_within(&self, request: &mut Repeated, room: usize) -> Result<Result<Fetched, usize>, Unfetched> {
        let mut size = PageSize::new(MOST_BYTES);
        let limited = self.size_limit > 0;
        let mut beyond = |piece: &[u8]| !limited && size.add(piece);
        let answer = self.client.repeat_within(request, room + INCOMPRESSIBLE, &mut beyond).await;
        let response = answer.map_err(|error| match error {
            SendError::TooLarge { .. } => size.error().map_or_else(|| self.too_large(), Unfetched::because),
            error => Unfetched::because(error.to_string()),
        })?;
        let format = self.format(response.status, &response.headers)?;
        if size.is_empty() {
            match self.whole(&response.headers, response.body, room)? {
                Ok(body) => return Ok(Ok(Fetched { body, format })),
                Err(_) if limited => return Err(self.too_large()),
                // It came in full, but becomes more than there is room for.
                Err(compressed) => {
                    for piece in compressed.chunks(INFLATED_AT_ONCE) {
                        if !size.add(piece) {
                            break;
                        }
                        // A piece may become a thousand times as much, and others have work to do.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        let (bytes, lines) = size.end().map_err(Unfetched::because)?;
        if bytes > MOST_BYTES {
            return Err(self.too_large());
        }
        // What ends a line means something else in a page that is no text.
        if lines > MOST_LINES && matches!(format, PageFormat::Text(_)) {
            let reason = format!("the page has {lines} lines, and no body_size_limit says that it may be as large");
            return Err(Unfetched { reason, too_large: true });
        }
        Ok(Err(bytes))
    }

    /// The format of an answer that is a page.
    fn format(&self, status: StatusCode, headers: &HeaderMap) -> Result<PageFormat, Unfetched> {
        if status != StatusCode::OK {
            return Err(Unfetched::because(format!("server returned HTTP status {status}")));
        }
        let content_type = text_of(headers, header::CONTENT_TYPE);
        format(content_type).or(self.fallback).ok_or_else(|| {
            Unfetched::because(format!(
                "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol is set"
            ))
        })
    }

    /// The page of a body, or the body if the page has not room enough.
    fn whole(&self, headers: &HeaderMap, body: Bytes, room: usize) -> Result<Result<Vec<u8>, Bytes>, Unfetched> {
        let is_gzip = text_of(headers, header::CONTENT_ENCODING).eq_ignore_ascii_case("gzip");
        if !is_gzip {
            return Ok(if body.len() <= room { Ok(Vec::from(body)) } else { Err(body) });
        }
        if self.size_limit == 0 && Coding::Gzip.told(&body).is_some_and(|told| told > room) {
            // Whether that is true is found out without keeping any of it.
            return Ok(Err(body));
        }
        let mut page = used_room();
        match Coding::Gzip.expand_into(&body, room, &mut page) {
            Ok(()) => Ok(Ok(page)),
            Err(ExpandError::TooLarge { .. }) => Ok(Err(body)),
            Err(error) => Err(Unfetched::because(error.to_string())),
        }
    }

    fn too_large(&self) -> Unfetched {
        let reason = match self.size_limit {
            0 => {
                format!("the page is larger than {} MiB, and no body_size_limit says that it may be", MOST_BYTES >> 20)
            }
            _ => "body size limit exceeded".to_owned(),
        };
        Unfetched { reason, too_large: true }
    }
}

/// Gives the room of a page back that has been read: the next one takes it.
pub(crate) fn give_room_back(page: Vec<u8>) {
    if page.capacity() <= MOST_KEPT {
        ROOM.set(page);
    }
}

fn used_room() -> Vec<u8> {
    ROOM.take()
}

thread_local! {
    /// Of the page before. It is too much to be asked for, and given back, with each of a hundred pages a second.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Unfetched {
    fn because(reason: String) -> Unfetched {
        Unfetched { reason, too_large: false }
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
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

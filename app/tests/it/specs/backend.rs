//! The server of a spec: `@server@` in its configuration. It serves what stands in `answer`, takes everything else, and
//! keeps what it was asked, for `request`. A page whose path ends in `.json` says that it is JSON; one that ends in `.pb` stands
//! there in hexadecimal digits, and says that it is the protobuf of metrics.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sdk_protocols_otlp::json;
use sdk_protocols_remote_write::Version;
use sdk_signals::OtlpSignal;
use tokio::net::{TcpListener, TcpStream};

use super::data;
use super::ends::lock;

/// Larger bodies are not for reading.
const MAX_BODY: usize = 1 << 20;

/// An answer of gRPC that says nothing: a message without fields.
const GRPC_NOTHING: &[u8] = &[0; GRPC_FRAME];

/// What stands before each message of gRPC: a flag and four bytes of length.
const GRPC_FRAME: usize = 5;

const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// Ends with the reactor of its spec.
pub struct Backend {
    /// `127.0.0.1:PORT`
    pub address: String,
    requests: Arc<Mutex<Vec<Asked>>>,
    down: Arc<AtomicBool>,
}

struct Asked {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Backend {
    /// Serves these pages, by path.
    pub async fn start(pages: HashMap<String, String>) -> std::io::Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let down = Arc::new(AtomicBool::new(false));
        let (kept, pages, is_down) = (requests.clone(), Arc::new(pages), down.clone());
        drop(base_sys::task::spawn("backend", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, pages, is_down) = (kept.clone(), pages.clone(), is_down.clone());
                let service = hyper::service::service_fn(move |request| {
                    let (kept, pages, is_down) = (kept.clone(), pages.clone(), is_down.clone());
                    async move {
                        match is_down.load(Ordering::Relaxed) {
                            true => Ok(unavailable()),
                            false => answer(request, kept, pages).await,
                        }
                    }
                });
                drop(base_sys::task::spawn("connection", async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is none of our business.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                }));
            }
        }));
        Ok(Backend { address, requests, down })
    }

    /// While it is, nothing is taken, and nothing kept.
    pub fn is_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// The oldest request that is for the same as the expected one, shown with the headers that stand there.
    pub fn take(&self, expected: &str) -> Option<Result<String, String>> {
        let mut lines = expected.lines();
        let line = lines.next()?;
        let wanted: Vec<&str> = lines.map_while(|line| line.split_once(": ").map(|(name, _)| name)).collect();
        let mut requests = lock(&self.requests);
        let asked = requests.iter().position(|asked| asked.line == line)?;
        Some(requests.remove(asked).show(&wanted))
    }

    /// What was asked, for when it is not what was expected.
    pub fn seen(&self) -> String {
        lock(&self.requests).iter().map(|asked| format!("{}\n", asked.line)).collect()
    }
}

/// Posts what stands in a spec: headers, an empty line, the body.
pub async fn post(address: &str, path: &str, text: &str) -> Result<String, String> {
    let (headers, body) = text.split_once("\n\n").ok_or("a post has headers, an empty line and a body")?;
    let (path, body) = match path.strip_suffix(" hex") {
        Some(path) => (path, hex(body)?),
        None => (path, body.trim_end().as_bytes().to_vec()),
    };
    let mut request = Request::post(path).header(header::HOST, address);
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is no header"))?;
        request = request.header(name, value);
    }
    let body = Full::new(Bytes::from(body));
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        drop(base_sys::task::spawn("client", async { drop(connection.await) }));
        let (head, body) = client.send_request(request.body(body)?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(format!("{}\n\n{}", head.status, String::from_utf8_lossy(&body)))
    };
    exchange.await.map_err(|error: Box<dyn std::error::Error>| format!("{address}: {error}"))
}

/// Bytes of pairs of hexadecimal digits.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.split_whitespace().map(|pair| u8::from_str_radix(pair, 16));
    bytes.collect::<Result<_, _>>().map_err(|error| format!("a body in hex: {error}"))
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    kept: Arc<Mutex<Vec<Asked>>>,
    pages: Arc<HashMap<String, String>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let page = pages.get(head.uri.path()).cloned();
    let grpc = is_grpc(&head.headers);
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    lock(&kept).push(Asked { line: format!("{} {target}", head.method), headers: head.headers, body });
    if grpc {
        return Ok(taken_by_grpc());
    }
    let Some(page) = page else {
        let mut response = Response::new(Full::default().boxed());
        for what in WRITTEN {
            // Who is asked by remote write 2 says how much was written: here all, however much that was.
            response.headers_mut().insert(what, HeaderValue::from_static("1000000"));
        }
        return Ok(response);
    };
    let (kind, page) = match head.uri.path().rsplit_once('.') {
        Some((_, "json")) => ("application/json", page.into_bytes()),
        Some((_, "pb")) => (PROTOBUF, hex(&page).unwrap_or_default()),
        _ => ("text/plain; version=0.0.4", page.into_bytes()),
    };
    let mut response = Response::new(Full::from(page).boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn unavailable() -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn taken_by_grpc() -> Response<BoxBody<Bytes, Infallible>> {
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
    let body = Full::from(GRPC_NOTHING).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

impl Asked {
    fn show(self, headers: &[&str]) -> Result<String, String> {
        let mut text = format!("{}\n", self.line);
        for name in headers {
            let value =
                self.headers.get(*name).map_or("(absent)".into(), |value| String::from_utf8_lossy(value.as_bytes()));
            text.push_str(&format!("{name}: {value}\n"));
        }
        if !self.body.is_empty() {
            text.push('\n');
            text.push_str(&self.readable()?);
        }
        Ok(text)
    }

    /// A push to Loki, a remote write or an export of OTLP, told apart as their servers do.
    fn readable(&self) -> Result<String, String> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = self.line.split(' ').nth(1).unwrap_or_default();
        if !header("x-prometheus-remote-write-version").is_empty() {
            let request =
                sdk_protocols_remote_write::decompress(&self.body, MAX_BODY).map_err(|error| error.to_string())?;
            let version = match header("x-prometheus-remote-write-version") {
                "2.0.0" => Version::V2,
                _ => Version::V1,
            };
            let series = sdk_protocols_remote_write::decode_version(version, &request);
            let series = series.map_err(|error| error.to_string())?;
            let lines = series.iter().flat_map(|series| {
                let labels = || series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let samples = series.samples.iter();
                let samples = samples.map(move |one| data::show_sample(labels(), one.timestamp, one.value));
                let histograms = series.histograms.iter();
                samples.chain(histograms.map(move |one| data::show_histogram(labels(), one.timestamp, &one.value)))
            });
            return Ok(lines.map(|line| line + "\n").collect());
        }
        if path.ends_with("/push") {
            let request =
                sdk_protocols_remote_write::decompress(&self.body, MAX_BODY).map_err(|error| error.to_string())?;
            let streams = sdk_protocols_loki::parse(&request).map_err(|error| error.to_string())?;
            let lines = streams.iter().flat_map(|stream| {
                stream.entries.iter().map(move |entry| {
                    let metadata = entry.metadata.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                    data::show_entry(&stream.labels, &entry.line, entry.timestamp, metadata) + "\n"
                })
            });
            return Ok(lines.collect());
        }
        let signal = [
            ("Trace", "/traces", OtlpSignal::Traces),
            ("Logs", "/logs", OtlpSignal::Logs),
            ("Metrics", "/metrics", OtlpSignal::Metrics),
        ]
        .into_iter()
        .find(|(service, end, _)| path.ends_with(end) || path.ends_with(&format!("{service}Service/Export")));
        let message = match header("content-type") {
            "application/x-protobuf" => Some(&self.body[..]),
            "application/grpc" => self.body.get(GRPC_FRAME..),
            "application/json" => return data::pretty(&String::from_utf8_lossy(&self.body)),
            _ => None,
        };
        match (signal, message) {
            (Some((_, _, signal)), Some(message)) => {
                data::pretty(&String::from_utf8_lossy(&json::to_json(signal, message)))
            }
            _ => Ok(String::from_utf8_lossy(&self.body).into_owned()),
        }
    }
}

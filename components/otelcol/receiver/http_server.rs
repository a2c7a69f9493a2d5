//! What receivers that speak HTTP share: the arguments of the server, who may send, and bodies read within their bounds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_otel::auth::AuthHandler;
use sdk_otel::tls::TlsServer;
use sdk_protocols_compression::{Coding, ExpandError};
use sdk_protocols_grpc::{Body, Status};
use sdk_signals::{Origin, OtlpSignal, Refused};

use crate::cors::CorsPolicy;
use crate::counters::Transport;
use crate::intake::{Fault, Intake};
use crate::listener::{Protocol, Server, Service, limit};
use crate::serving::Site;

/// `max_request_body_size` when it is 0.
const BODY_LIMIT: usize = 20 << 20;

/// How an HTTP server listens, apart from where.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct HttpSettings {
    /// TLS.
    #[block]
    pub tls: Option<TlsServer>,
    /// Lets browsers send.
    #[block(optional)]
    pub cors: Cors,
    /// Who may send.
    #[attr]
    pub auth: Option<AuthHandler>,
    /// The largest body, as sent and as decompressed; 0 is 20MiB.
    #[attr(default = ByteSize(0))]
    pub max_request_body_size: ByteSize,
    /// Lets later components see the headers of requests.
    #[attr(optional)]
    pub include_metadata: bool,
    /// Codings of bodies that are understood; "" is none at all.
    #[attr(default = ["", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4"].map(str::to_owned).to_vec())]
    pub compression_algorithms: Vec<String>,
    /// Whether a connection takes more than one request.
    #[attr]
    pub keep_alives_enabled: Option<bool>,
    /// Closes a connection that had no request for so long; 0 is never.
    #[attr(default = GoDuration::from_secs(60))]
    pub idle_timeout: GoDuration,
    /// How long a request may take to arrive; 0 is forever.
    #[attr(default = GoDuration::ZERO)]
    pub read_timeout: GoDuration,
    /// How long a request may wait for the pipeline before it is refused; 0 is forever.
    #[attr(default = GoDuration::from_secs(30))]
    pub write_timeout: GoDuration,
    /// How long the head of a request may take to arrive; 0 is forever.
    #[attr(default = GoDuration::from_secs(60))]
    pub read_header_timeout: GoDuration,
}

/// Lets pages of other origins send.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Cors {
    /// Origins that may; each may hold one `*`. None switches CORS off.
    #[attr(optional)]
    pub allowed_origins: Vec<String>,
    /// Headers that they may send; `*` is any. Without a list: `X-Requested-With`.
    #[attr(optional)]
    pub allowed_headers: Vec<String>,
    /// Headers of answers that they may see.
    #[attr(optional)]
    pub exposed_headers: Vec<String>,
    /// For how many seconds a browser may remember; 0 leaves it to the browser.
    #[attr(optional)]
    pub max_age: i64,
}

/// What stands between a server's port and what answers its requests.
pub(crate) struct Front {
    intake: Intake,
    body_limit: usize,
    codings: Vec<String>,
    cors: Option<CorsPolicy>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// Answers requests whose sender may send.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(
        &self,
        front: &Front,
        head: Parts,
        body: Incoming,
        origin: Arc<Origin>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Why there is no body, and the status that says so.
pub(crate) struct BadBody {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

/// The two together.
struct Http<A> {
    front: Front,
    answers: A,
}

// === validation ===

impl Validate for HttpSettings {
    fn validate(&self) -> Result<(), Invalid> {
        check_size("max_request_body_size", self.max_request_body_size)?;
        if let Some(unknown) = self.compression_algorithms.iter().find(|name| Coding::of_http(name).is_none()) {
            let message = format!("unsupported compression algorithm {unknown:?}");
            return Err(Invalid::field("compression_algorithms", message));
        }
        Ok(())
    }
}

/// Whether an endpoint is `host:port`.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), Invalid> {
    let port = endpoint.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(()),
        _ => Err(Invalid::field("endpoint", format!("invalid endpoint {endpoint:?}: write it as host:port"))),
    }
}

/// Whether a size is one.
pub(crate) fn check_size(field: &'static str, size: ByteSize) -> Result<(), Invalid> {
    if size.0 < 0 { Err(Invalid::field(field, "must not be negative")) } else { Ok(()) }
}

// === impl HttpSettings ===

impl HttpSettings {
    /// A server on `endpoint` whose requests get their answers from `answers`; `at` is where the arguments stand.
    pub(crate) fn server(
        &self,
        at: &'static str,
        endpoint: &str,
        site: &Site,
        answers: impl Answers,
    ) -> Result<Server, Problem> {
        let auth = self.auth.as_ref().map(|auth| auth.server()).transpose().map_err(|error| Problem::at(at, error))?;
        let tls = self.tls.as_ref().map(|tls| tls.config(&[b"h2", b"http/1.1"])).transpose();
        let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limit(self.read_header_timeout))
            .keep_alive(self.keep_alives_enabled.unwrap_or(true));
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(24 << 20);
        let front = Front {
            intake: Intake { outputs: site.outputs.clone(), auth, include_metadata: self.include_metadata },
            body_limit: self.max_request_body_size.to_usize().filter(|size| *size > 0).unwrap_or(BODY_LIMIT),
            codings: self.compression_algorithms.clone(),
            cors: CorsPolicy::new(&self.cors),
            read_timeout: limit(self.read_timeout),
            write_timeout: limit(self.write_timeout),
        };
        Ok(Server {
            name: "HTTP",
            endpoint: endpoint.to_owned(),
            tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
            protocol: Protocol::Http {
                builder,
                idle: limit(self.idle_timeout),
                service: Arc::new(Http { front, answers }),
            },
        })
    }
}

// === impl BadBody ===

impl BadBody {
    /// As sent, or as expanded.
    fn too_large() -> BadBody {
        BadBody { status: StatusCode::PAYLOAD_TOO_LARGE, why: "http: request body too large".to_owned() }
    }
}

impl From<String> for BadBody {
    fn from(why: String) -> BadBody {
        BadBody { status: StatusCode::BAD_REQUEST, why }
    }
}

// === impl Http ===

impl<A: Answers> Service for Http<A> {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let Some(cors) = &self.front.cors else { return self.admit(request, peer).await };
        if let Some(answer) = cors.preflight(&request) {
            return answer;
        }
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let mut response = self.admit(request, peer).await;
        cors.decorate(origin.as_ref(), response.headers_mut());
        response
    }
}

impl<A: Answers> Http<A> {
    async fn admit(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        match self.front.intake.origin(&head.headers, peer) {
            Ok(origin) => self.answers.answer(&self.front, head, body, origin).await,
            Err(status) => unauthorized(&status),
        }
    }
}

// === impl Front ===

impl Front {
    /// The body, expanded; both forms are bounded.
    pub(crate) async fn body(&self, headers: &HeaderMap, body: Incoming) -> Result<Bytes, BadBody> {
        let name = headers.get(CONTENT_ENCODING).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
        let coding = Coding::of_http(name)
            .filter(|_| name == "identity" || self.codings.iter().any(|allowed| allowed == name))
            .ok_or_else(|| format!("unsupported Content-Encoding: {name}"))?;
        let collecting = collect(headers, body, self.body_limit);
        let body = match self.read_timeout {
            None => collecting.await?,
            Some(longest) => tokio::time::timeout(longest, collecting)
                .await
                .map_err(|_| "the body did not arrive in time".to_owned())??,
        };
        if coding == Coding::Identity {
            return Ok(body);
        }
        match coding.expand(&body, self.body_limit) {
            Ok(expanded) => Ok(expanded.into()),
            Err(ExpandError::TooLarge { .. }) => Err(BadBody::too_large()),
            Err(ExpandError::Damaged { error, .. }) => Err(format!("cannot decompress: {error}").into()),
        }
    }

    /// Hands a payload on, as long as a request may wait for that.
    pub(crate) async fn take(
        &self,
        signal: OtlpSignal,
        payload: Bytes,
        origin: Arc<Origin>,
        counters: &Transport,
    ) -> Result<(), Fault> {
        let taking = self.intake.take(signal, payload, origin, counters);
        match self.write_timeout {
            None => taking.await,
            Some(longest) => tokio::time::timeout(longest, taking).await.unwrap_or_else(|_| {
                Err(Fault::Refused(Refused::retryable("the pipeline did not take the request in time")))
            }),
        }
    }
}

/// Reads a body of at most `limit` bytes; copies only what comes in several frames, once.
async fn collect(headers: &HeaderMap, mut body: Incoming, limit: usize) -> Result<Bytes, BadBody> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BadBody::too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("cannot read the body: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(first) => {
                if rest.is_empty() {
                    rest.reserve(announced.unwrap_or(first.len() * 4));
                    rest.extend_from_slice(first);
                }
                rest.extend_from_slice(&data);
            }
        }
        if rest.len().max(first.as_ref().map_or(0, Bytes::len)) > limit {
            return Err(BadBody::too_large());
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.into() })
}

fn unauthorized(status: &Status) -> Response<Body> {
    let mut response = answer(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", status.message.clone().into());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    response
}

/// An answer of this kind.
pub(crate) fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

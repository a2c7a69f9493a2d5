//! What a request means: who may send, how much, and what becomes of it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use jiff::tz::TimeZone;
use language_eval::SecretString;
use sdk_component::BoxFuture;
use sdk_net::server::push::{Call, Handler, Route, busy, text};
use sdk_otel::output::Outputs;
use sdk_protocols_compression::{Coding, ExpandError};
use sdk_protocols_otlp::check;
use sdk_signals::{FanOut, LogBatch, Origin, OtlpBatch, OtlpSignal, Refused};

use super::cors::Cors;
use super::counters::{Counters, Exporter};
use super::lines::Writer;
use super::maps::Maps;
use super::payload::Payload;
use super::rate::RateLimit;

/// Where the key travels.
const API_KEY: &str = "x-api-key";
/// A compressed body may become so many times as large as a body may be sent.
const EXPANSION: usize = 10;

/// Takes requests.
pub(super) struct Intake {
    pub counters: Counters,
    pub traces: Outputs,
    pub local: TimeZone,
    /// Replaced as a whole by new arguments.
    pub wanted: Mutex<Arc<Wanted>>,
}

/// What requests need of the arguments.
pub(super) struct Wanted {
    pub api_key: SecretString,
    pub max_body: usize,
    pub include_metadata: bool,
    pub cors: Option<Cors>,
    pub rate: Arc<RateLimit>,
    pub writer: Writer,
    pub maps: Arc<Maps>,
    pub logs: FanOut<LogBatch>,
}

/// An answer that is no success.
type Refusal = Box<Response<Bytes>>;

const COLLECT: &str = "/collect";
const READY: &str = "/-/ready";

static ROUTES: [Route; 5] = [
    Route { method: Method::POST, path: COLLECT },
    Route { method: Method::OPTIONS, path: COLLECT },
    Route { method: Method::GET, path: READY },
    Route { method: Method::HEAD, path: READY },
    Route { method: Method::POST, path: READY },
];

// === impl Intake ===

impl Handler for Intake {
    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn answer(&self, mut call: Call) -> BoxFuture<'_, Response<Bytes>> {
        let wanted = self.wanted();
        Box::pin(async move {
            if call.route.path == READY {
                return said(StatusCode::OK, "ready");
            }
            let Some(cors) = &wanted.cors else { return self.collect(&mut call, &wanted).await };
            if let Some(answer) = cors.preflight(&call.head.method, &call.head.headers) {
                return answer;
            }
            let mut response = self.collect(&mut call, &wanted).await;
            cors.decorate(&call.head.headers, response.headers_mut());
            response
        })
    }
}

impl Intake {
    pub fn wanted(&self) -> Arc<Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn collect(&self, call: &mut Call, wanted: &Wanted) -> Response<Bytes> {
        self.take(call, wanted).await.map_or_else(|refusal| *refusal, |()| said(StatusCode::ACCEPTED, "ok"))
    }

    async fn take(&self, call: &mut Call, wanted: &Wanted) -> Result<(), Refusal> {
        if !wanted.rate.allows_request() {
            return Err(too_many());
        }
        if !wanted.knows(&call.head.headers) {
            return Err(refusal(StatusCode::UNAUTHORIZED, "API key not provided or incorrect"));
        }
        // Held until the pipeline has taken what is made of it.
        let body = call.body(wanted.max_body).await.map_err(|error| Box::new(error.response()))?;
        let expanded = expanded(&call.head.headers, &body.bytes, wanted.max_body)?;
        let payload = Payload::read(&expanded, &self.local);
        let mut payload = payload.map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))?;
        if !wanted.rate.allows_app(&payload.meta.app.name, &payload.meta.app.environment) {
            return Err(too_many());
        }
        let origin = Origin {
            peer: Some(call.peer.ip()),
            metadata: if wanted.include_metadata { metadata(&call.head.headers) } else { Vec::new() },
            auth: Vec::new(),
        };
        let traces = payload.traces.take().map(|traces| traces_of(traces, origin)).transpose()?.flatten();
        let lines = wanted.lines(&payload).await?;
        // Side by side: one that makes us wait does not keep the other from its data.
        let (lines, traces) = tokio::join!(self.hand_lines(lines, wanted), self.hand_traces(traces));
        lines.and(traces).map_err(|refused| match refused.retryable {
            true => Box::new(busy(&refused.reason)),
            false => refusal(StatusCode::INTERNAL_SERVER_ERROR, &refused.reason),
        })?;
        self.counters.taken(&payload);
        Ok(())
    }

    async fn hand_lines(&self, lines: LogBatch, wanted: &Wanted) -> Result<(), Refused> {
        if lines.is_empty() || wanted.logs.receivers().is_empty() {
            return Ok(());
        }
        match wanted.logs.consume(lines).await {
            // Browsers are answered when their data is taken.
            Ok(delivery) => delivery.detach(),
            Err(refused) => return Err(self.refused(Exporter::Logs, refused)),
        }
        Ok(())
    }

    async fn hand_traces(&self, traces: Option<OtlpBatch>) -> Result<(), Refused> {
        let Some(traces) = traces.filter(|traces| self.traces.take(traces.signal)) else { return Ok(()) };
        match self.traces.consume(traces).await {
            Ok(delivery) => delivery.detach(),
            Err(refused) => return Err(self.refused(Exporter::Traces, refused)),
        }
        Ok(())
    }

    fn refused(&self, exporter: Exporter, refused: Refused) -> Refused {
        self.counters.refused(exporter);
        refused
    }
}

// === impl Wanted ===

impl Wanted {
    /// Whether the sender shows the key, if there is one to show.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let key = self.api_key.expose();
        let shown = headers.get(API_KEY).map_or(&[][..], HeaderValue::as_bytes);
        key.is_empty() || bool::from(subtle::ConstantTimeEq::ct_eq(shown, key.as_bytes()))
    }

    async fn lines(&self, payload: &Payload) -> Result<LogBatch, Refusal> {
        if self.logs.receivers().is_empty() {
            return Ok(LogBatch::default());
        }
        let maps = self.maps.of(payload).await;
        self.writer.batch(payload, &maps).map_err(|error| refusal(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()))
    }
}

/// What was read as traces, unless there are none in it.
fn traces_of(traces: Vec<u8>, origin: Origin) -> Result<Option<OtlpBatch>, Refusal> {
    let bad = |why: String| refusal(StatusCode::BAD_REQUEST, &why);
    let items = check(OtlpSignal::Traces, &traces).map_err(|error| bad(format!("traces: {error}")))?;
    let items = u32::try_from(items).map_err(|_| bad("more spans than 32 bits can count".to_owned()))?;
    let batch =
        OtlpBatch { signal: OtlpSignal::Traces, payload: vec![traces.into()], items, origin: Some(Arc::new(origin)) };
    Ok((items > 0).then_some(batch))
}

fn expanded(headers: &HeaderMap, body: &Bytes, max_body: usize) -> Result<Bytes, Refusal> {
    if headers.get(CONTENT_ENCODING).is_none_or(|coding| coding != "gzip") {
        return Ok(body.clone());
    }
    match Coding::Gzip.expand(body, max_body.saturating_mul(EXPANSION)) {
        Ok(expanded) => Ok(expanded.into()),
        Err(error @ ExpandError::TooLarge { .. }) => Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string())),
        Err(ExpandError::Damaged { .. }) => Err(refusal(StatusCode::BAD_REQUEST, "failed to decompress gzip body")),
    }
}

fn metadata(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.keys().map(|name| (name.as_str().to_owned(), headers.get_all(name).iter().map(text).collect())).collect()
}

fn refusal(status: StatusCode, why: &str) -> Refusal {
    tracing::debug!(status = status.as_u16(), error = why, "a payload is refused");
    Box::new(text(status, why))
}

fn too_many() -> Refusal {
    refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
}

fn said(status: StatusCode, word: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(word.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

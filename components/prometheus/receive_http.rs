//! `prometheus.receive_http`: takes samples that others push, by Prometheus' remote write protocol.
//!
//! A request is read series by series from the bytes that came, and becomes one batch. It is answered when the pipeline
//! has taken the batch, and 500 when it does not: senders try again.

mod intake;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::Counter;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use language_eval::{Arguments, BodyNode, Invalid, ToValue, Validate};
use sdk_component::{BoxFuture, Component, Context, Description, Problem, Stability, Stop, Stopped, Tap, Update};
use sdk_net::server::push::{Call, Handler, Route, Settings, busy, text};
use sdk_net::server::{Push, PushServer};
use sdk_protocols_remote_write::{Malformed, Version, decompress};
use sdk_signals::MetricsReceiver;

use crate::forward::Forward;
use crate::look;
use intake::{Intake, Manner, Written};

/// The largest request, as it comes; senders' requests have some 100 KiB.
const MAX_BODY: usize = 32 << 20;
/// And once it is decompressed.
const MAX_REQUEST: usize = 128 << 20;

/// Takes metrics over HTTP, as Prometheus' remote write API does.
///
/// `POST /api/v1/metrics/write` takes version 1 of the protocol and, if it is among the accepted messages, version 2. A
/// request is answered with 204 when the pipeline has taken it; senders try again after a 500 or 503. One request may have
/// 32 MiB, and 128 MiB decompressed.
#[derive(Arguments, Clone, Debug)]
#[block(validate)]
pub struct ReceiveHttpArguments {
    /// The server.
    #[squash]
    pub server: PushServer,
    /// Where the samples go.
    #[attr]
    pub forward_to: Vec<MetricsReceiver>,
    /// Pass on what series are, as version 2 of the protocol says with each.
    #[attr(optional)]
    pub append_metadata: bool,
    /// Label each series with its type and unit, as `__type__` and `__unit__`; version 2 says them.
    #[attr(optional)]
    pub enable_type_and_unit_labels: bool,
    /// The versions of the protocol that are taken: `prometheus.WriteRequest`, `io.prometheus.write.v2.Request`.
    #[attr(default = vec![Version::V1.message().to_owned()])]
    pub accepted_remote_write_protobuf_messages: Vec<String>,
}

/// The component.
pub struct ReceiveHttp {
    context: Context,
    server: Push,
    taker: Arc<Taker>,
}

/// What requests need.
struct Taker {
    forward: Forward,
    tap: Tap,
    invalid_labels: Counter,
    wanted: Mutex<Arc<Wanted>>,
}

/// What an update may change.
struct Wanted {
    accepted: Vec<Version>,
    manner: Manner,
}

// === impl ReceiveHttp ===

impl Component for ReceiveHttp {
    const NAME: &'static str = "prometheus.receive_http";

    type Arguments = ReceiveHttpArguments;
    type Exports = ();

    fn build(context: &Context, arguments: ReceiveHttpArguments) -> Result<ReceiveHttp, Problem> {
        arguments.check_stability(context)?;
        let settings = Settings::new(&arguments.server)?;
        let metrics = context.metrics();
        metrics.counter(
            "prometheus_api_remote_write_without_metadata_appended_samples_total",
            "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
        );
        let taker = Taker {
            forward: Forward::new(metrics, arguments.forward_to.clone()),
            tap: context.tap(),
            invalid_labels: metrics.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            wanted: Mutex::new(Arc::new(arguments.wanted())),
        };
        Ok(ReceiveHttp {
            server: Push::new(context, "prometheus_receive_http", settings),
            context: context.clone(),
            taker: Arc::new(taker),
        })
    }

    fn update(&self, arguments: ReceiveHttpArguments) -> Result<Update, Problem> {
        arguments.check_stability(&self.context)?;
        let settings = Settings::new(&arguments.server)?;
        let (taker, server) = (self.taker.clone(), self.server.clone());
        Ok(Update::then(move || {
            *taker.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(arguments.wanted());
            taker.forward.replace(arguments.forward_to);
            server.set(settings);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.server.run(&self.context, self.taker.clone(), &stop).await;
        Ok(())
    }

    fn describe(&self) -> Description {
        let address = self.server.address().map_or_else(String::new, |address| address.to_string());
        let listening = BodyNode::Attribute { name: "listening_on".to_owned(), value: address.to_value() };
        Description { debug_info: vec![listening] }
    }
}

impl ReceiveHttpArguments {
    /// What only this component can check: some of it is not for everyone yet.
    fn check_stability(&self, context: &Context) -> Result<(), Problem> {
        let v2 = self.accepted_remote_write_protobuf_messages.iter().any(|message| message == Version::V2.message());
        for (is_set, argument) in [
            (self.append_metadata, "append_metadata"),
            (self.enable_type_and_unit_labels, "enable_type_and_unit_labels"),
            (v2, "accepted_remote_write_protobuf_messages"),
        ] {
            if is_set {
                context.require(Stability::Experimental, argument)?;
            }
        }
        Ok(())
    }

    fn wanted(&self) -> Wanted {
        let messages = self.accepted_remote_write_protobuf_messages.iter();
        Wanted {
            accepted: messages.filter_map(|message| Version::of_message(message)).collect(),
            manner: Manner { metadata: self.append_metadata, type_and_unit_labels: self.enable_type_and_unit_labels },
        }
    }
}

impl Validate for ReceiveHttpArguments {
    fn validate(&self) -> Result<(), Invalid> {
        const FIELD: &str = "accepted_remote_write_protobuf_messages";
        let messages = &self.accepted_remote_write_protobuf_messages;
        if messages.is_empty() {
            return Err(Invalid::field(FIELD, format!("{FIELD} must not be empty")));
        }
        if let Some(unknown) = messages.iter().find(|message| Version::of_message(message).is_none()) {
            let (v1, v2) = (Version::V1.message(), Version::V2.message());
            let message = format!("unsupported protocol version {unknown:?}: valid values are {v1:?} and {v2:?}");
            return Err(Invalid::field(FIELD, message));
        }
        Ok(())
    }
}

// === impl Taker ===

/// An answer that is no success.
type Refusal = Box<Response<Bytes>>;

static ROUTES: [Route; 1] = [Route { method: Method::POST, path: "/api/v1/metrics/write" }];

impl Handler for Taker {
    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Response<Bytes>> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { self.take(call, &wanted).await.unwrap_or_else(|refusal| *refusal) })
    }
}

impl Taker {
    async fn take(&self, mut call: Call, wanted: &Wanted) -> Result<Response<Bytes>, Refusal> {
        let version = version(&call.head.headers, &wanted.accepted).map_err(|why| unsupported(&call, &why))?;
        let encoding = call.head.headers.get(CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        if !encoding.is_empty() && encoding != b"snappy" {
            let encoding = String::from_utf8_lossy(encoding);
            let why =
                format!("{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable");
            return Err(unsupported(&call, &why));
        }
        let intake = {
            let body = call.body(MAX_BODY).await.map_err(|error| Box::new(error.response()))?;
            let request = decompress(&body.bytes, MAX_REQUEST).map_err(|error| malformed(&call, error))?;
            drop(body);
            // A request of the largest size takes a moment: others are answered meanwhile.
            Intake::read(version, &request, wanted.manner).map_err(|error| malformed(&call, error))?
        };
        self.invalid_labels.add(intake.invalid_labels);
        let written = intake.written;
        let batch = intake.batch;
        if !batch.is_empty() {
            look::at_batch(&self.tap, &batch);
            match self.forward.consume(batch).await {
                // Senders are answered when their samples are taken.
                Ok(delivery) => delivery.detach(),
                Err(refused) if refused.retryable => return Err(Box::new(busy(&refused.reason))),
                Err(refused) => return Err(Box::new(text(StatusCode::BAD_REQUEST, &refused.reason))),
            }
        }
        let mut response = match intake.faults.is_empty() {
            true => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            false => {
                tracing::warn!(peer = %call.peer, error = intake.faults, "a part of a request is refused");
                text(StatusCode::BAD_REQUEST, &intake.faults)
            }
        };
        if version == Version::V2 {
            tell(&mut response, written);
        }
        Ok(response)
    }
}

/// What was written, as version 2 has it.
fn tell(response: &mut Response<Bytes>, written: Written) {
    let headers = response.headers_mut();
    headers.insert("x-prometheus-remote-write-samples-written", HeaderValue::from(written.samples));
    headers.insert("x-prometheus-remote-write-histograms-written", HeaderValue::from(written.histograms));
    headers.insert("x-prometheus-remote-write-exemplars-written", HeaderValue::from(written.exemplars));
}

/// The version of a request, by its `Content-Type`; or why it is not taken.
fn version(headers: &HeaderMap, accepted: &[Version]) -> Result<Version, String> {
    let content_type = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or("");
    if !media_type.is_empty() && media_type != "application/x-protobuf" {
        return Err(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ));
    }
    let message = parts.find_map(|part| part.strip_prefix("proto=")).unwrap_or(Version::V1.message());
    let names = |versions: &[Version]| versions.iter().map(|version| version.message()).collect::<Vec<_>>().join(", ");
    let Some(version) = Version::of_message(message) else {
        let known = names(&[Version::V1, Version::V2]);
        return Err(format!("unknown type for remote write protobuf message {message}, supported: {known}"));
    };
    if !accepted.contains(&version) {
        let only = names(accepted);
        return Err(format!("{message} protobuf message is not accepted by this server; only accepts {only}"));
    }
    Ok(version)
}

fn unsupported(call: &Call, why: &str) -> Refusal {
    tracing::error!(peer = %call.peer, error = why, "a request is not understood");
    Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
}

fn malformed(call: &Call, error: Malformed) -> Refusal {
    tracing::error!(peer = %call.peer, %error, "a request cannot be read");
    let status = match error {
        Malformed::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Malformed::Snappy | Malformed::Protobuf => StatusCode::BAD_REQUEST,
    };
    Box::new(text(status, &error.to_string()))
}

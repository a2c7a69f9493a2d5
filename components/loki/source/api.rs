//! `loki.source.api`: takes log lines that others push, as Loki does.
//!
//! A body is expanded once; lines are slices of it. The answer is sent when the pipeline has taken the lines, and 503 when
//! it does not.

mod decode;
mod json;
mod tenant;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::Counter;
use base_stdx::ByteSize;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use language_eval::{Arguments, BodyNode, ToValue};
use sdk_component::{BoxFuture, Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_labels::{Labels, LabelsBuilder};
use sdk_net::server::push::{BodyError, Call, Handler, Route, Settings, busy, text};
use sdk_net::server::{Push, PushServer};
use sdk_protocols_loki::parse_labels;
use sdk_relabel::{NameRule, Rules};
use sdk_signals::{FanOut, LogBatch, LogEntry, LogGroup, LogsReceiver};

use decode::{Format, Pushed, StreamLabels};

/// The default of `max_send_message_size`, and the least bound of bodies to which it does not apply.
const DEFAULT_MAX_MESSAGE: usize = 100 << 20;

/// Where the tenant of an entry travels.
const TENANT: &str = "__tenant_id__";

/// Takes log lines over HTTP, as Loki's push API does.
///
/// `POST /loki/api/v1/push` and `/api/v1/push` take what Loki's clients send: protobuf in a snappy block, or JSON, plain or
/// as gzip or deflate. `POST /loki/api/v1/raw` and `/api/v1/raw` take text, one entry per line, which gets the labels
/// of `labels` only. `GET /ready` says that it listens. Lines are answered with 204 when the pipeline has taken them, and
/// with 503 when it does not: clients of Loki try again. What was answered with 204 survives a kill of the process if it is
/// sent by a `loki.write` with `wal`.
#[derive(Arguments)]
pub struct ApiArguments {
    /// The server.
    #[squash]
    pub server: PushServer,
    /// Who gets the entries.
    #[attr]
    pub forward_to: Vec<LogsReceiver>,
    /// Labels for every entry; they win over those that come with it.
    #[attr(optional)]
    pub labels: BTreeMap<String, String>,
    /// Rules for the labels of each stream that is pushed.
    #[attr(optional)]
    pub relabel_rules: Option<Rules>,
    /// Keep the time that comes with an entry; otherwise it gets the time of its arrival.
    #[attr(optional)]
    pub use_incoming_timestamp: bool,
    /// The largest protobuf request, as sent and as decompressed; 0 is 100MiB. JSON and text may always have 100MiB.
    #[attr(default = ByteSize::mib(100))]
    pub max_send_message_size: ByteSize,
}

/// The component.
pub struct Api {
    context: Context,
    server: Push,
    intake: Arc<Intake>,
}

/// What requests need; replaced as a whole by new arguments.
struct Intake {
    entries_written: Counter,
    wanted: Mutex<Arc<Wanted>>,
}

struct Wanted {
    forward_to: FanOut<LogBatch>,
    labels: Labels,
    rules: Rules,
    use_incoming_timestamp: bool,
    max_message: usize,
}

// === impl Api ===

impl Component for Api {
    const NAME: &'static str = "loki.source.api";

    type Arguments = ApiArguments;
    type Exports = ();

    fn build(context: &Context, arguments: ApiArguments) -> Result<Api, Problem> {
        let settings = Settings::new(&arguments.server)?;
        let intake = Intake {
            entries_written: context
                .metrics()
                .counter("loki_source_api_entries_written", "Total number of entries written."),
            wanted: Mutex::new(Arc::new(arguments.wanted(context))),
        };
        Ok(Api {
            server: Push::new(context, "loki_source_api", settings),
            context: context.clone(),
            intake: Arc::new(intake),
        })
    }

    fn update(&self, arguments: ApiArguments) -> Result<Update, Problem> {
        let settings = Settings::new(&arguments.server)?;
        let wanted = Arc::new(arguments.wanted(&self.context));
        let (intake, server) = (self.intake.clone(), self.server.clone());
        Ok(Update::then(move || {
            *intake.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
            server.set(settings);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.server.run(&self.context, self.intake.clone(), &stop).await;
        Ok(())
    }

    fn describe(&self) -> Description {
        let address = self.server.address().map_or_else(String::new, |address| address.to_string());
        let listening = BodyNode::Attribute { name: "listening_on".to_owned(), value: address.to_value() };
        Description { debug_info: vec![listening] }
    }
}

impl ApiArguments {
    fn wanted(self, context: &Context) -> Wanted {
        let rules = self.relabel_rules.unwrap_or_else(|| Rules::new([], NameRule::Legacy));
        Wanted {
            forward_to: FanOut::new(self.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
            labels: Labels::from_pairs(&self.labels),
            rules: rules.with_names(NameRule::Legacy),
            use_incoming_timestamp: self.use_incoming_timestamp,
            max_message: self.max_send_message_size.to_usize().filter(|size| *size > 0).unwrap_or(DEFAULT_MAX_MESSAGE),
        }
    }
}

// === impl Intake ===

/// An answer that is no success.
type Refusal = Box<Response<Bytes>>;

const PUSH: &str = "push";
const RAW: &str = "raw";

static ROUTES: [Route; 5] = [
    Route { method: Method::POST, path: "/api/v1/push" },
    Route { method: Method::POST, path: "/loki/api/v1/push" },
    Route { method: Method::POST, path: "/api/v1/raw" },
    Route { method: Method::POST, path: "/loki/api/v1/raw" },
    Route { method: Method::GET, path: "/ready" },
];

impl Handler for Intake {
    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Response<Bytes>> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let answered = match call.route.path.rsplit('/').next() {
                Some(PUSH) => self.push(call, &wanted).await,
                Some(RAW) => self.raw(call, &wanted).await,
                _ => Ok(Response::new(Bytes::from_static(b"ready"))),
            };
            answered.unwrap_or_else(|refusal| *refusal)
        })
    }
}

impl Intake {
    async fn push(&self, mut call: Call, wanted: &Wanted) -> Result<Response<Bytes>, Refusal> {
        let format = Format::of(&call.head.headers).map_err(|why| refusal(&call, &why))?;
        let limit = if format.json { wanted.max_message.max(DEFAULT_MAX_MESSAGE) } else { wanted.max_message };
        // Held until the pipeline has taken the lines: they are slices of it, mostly.
        let body = call.body(limit).await.map_err(|error| match error {
            BodyError::TooLarge { bytes, limit } if !format.json => {
                refusal(&call, &format!("message size too large than max ({bytes} vs {limit})"))
            }
            other => Box::new(other.response()),
        })?;
        let streams = decode::decode(format, &body.bytes, limit).map_err(|why| refusal(&call, &why))?;
        let tenant = tenant::of(&call.head.headers);
        let mut stamp = Stamp::new(wanted.use_incoming_timestamp);
        let mut wrong = None;
        let mut groups = Vec::with_capacity(streams.len());
        for Pushed { labels, mut entries } in streams {
            let labels = match labels {
                StreamLabels::Text(text) => parse_labels(&String::from_utf8_lossy(&text)),
                StreamLabels::Read(labels) => labels,
            };
            match labels.map(|labels| wanted.labels_of(&labels, tenant)) {
                Ok(None) => {}
                Ok(Some(labels)) => {
                    stamp.entries(&mut entries);
                    if !entries.is_empty() {
                        groups.push(LogGroup { labels, entries });
                    }
                }
                Err(error) => wrong = Some(error),
            }
        }
        self.forward(LogBatch { groups, ..LogBatch::default() }, wanted).await?;
        match wrong {
            None => Ok(no_content()),
            Some(error) => Err(refusal(&call, &error.to_string())),
        }
    }

    async fn raw(&self, mut call: Call, wanted: &Wanted) -> Result<Response<Bytes>, Refusal> {
        let limit = wanted.max_message.max(DEFAULT_MAX_MESSAGE);
        let body = call.body(limit).await.map_err(|error| Box::new(error.response()))?;
        let mut entries = decode::lines(&body.bytes).map_err(|why| refusal(&call, &why))?;
        Stamp::new(false).entries(&mut entries);
        self.forward(LogBatch::of(wanted.labels.clone(), entries), wanted).await?;
        Ok(no_content())
    }

    async fn forward(&self, batch: LogBatch, wanted: &Wanted) -> Result<(), Refusal> {
        if batch.is_empty() {
            return Ok(());
        }
        let entries = batch.len() as u64;
        match wanted.forward_to.consume(batch).await {
            Ok(delivery) => {
                // Loki's clients are answered when their lines are taken.
                delivery.detach();
                self.entries_written.add(entries);
                Ok(())
            }
            Err(refused) if refused.retryable => Err(Box::new(busy(&refused.reason))),
            Err(refused) => Err(Box::new(text(StatusCode::BAD_REQUEST, &refused.reason))),
        }
    }
}

impl Wanted {
    /// None: the rules drop the stream, or leave nothing of its labels.
    fn labels_of(&self, pushed: &Labels, tenant: Option<&str>) -> Option<Labels> {
        let mut builder = LabelsBuilder::new(pushed);
        for (name, value) in &self.labels {
            builder.set(name, value);
        }
        if !self.rules.apply(&mut builder) {
            return None;
        }
        let relabelled = builder.labels();
        if relabelled.is_empty() {
            return None;
        }
        let internal = relabelled.iter().any(|(name, _)| name.starts_with("__"));
        if !internal && tenant.is_none() {
            return Some(relabelled);
        }
        let sent = relabelled.iter().filter(|(name, _)| !name.starts_with("__"));
        Some(Labels::from_pairs(sent.chain(tenant.map(|tenant| (TENANT, tenant)))))
    }
}

/// Gives entries the time of their arrival, each a nanosecond later than the one before: Loki takes equal lines of one
/// time for one line.
struct Stamp {
    next: i64,
    keep: bool,
}

impl Stamp {
    fn new(keep: bool) -> Stamp {
        Stamp { next: base_sys::clock::now_ns(), keep }
    }

    fn entries(&mut self, entries: &mut [LogEntry]) {
        if self.keep {
            return;
        }
        for entry in entries {
            entry.timestamp = self.next;
            self.next += 1;
        }
    }
}

/// 400, as a sentence, and a line for whoever looks why lines are missing.
fn refusal(call: &Call, why: &str) -> Refusal {
    tracing::warn!(peer = %call.peer, path = call.route.path, error = why, "a push is refused");
    Box::new(text(StatusCode::BAD_REQUEST, why))
}

fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests;

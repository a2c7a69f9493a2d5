//! What every server does with a payload: check it, count it, hand it on, and say what became of it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sdk_otel::auth::ServerAuth;
use sdk_otel::output::Outputs;
use sdk_protocols_otlp::check;
use sdk_protocols_otlp::status::{Code, Status};
use sdk_signals::{Origin, OtlpBatch, OtlpSignal, Refused};

use crate::counters::Transport;

/// How a server takes requests.
pub(crate) struct Intake {
    pub(crate) outputs: Outputs,
    pub(crate) auth: Option<Arc<dyn ServerAuth>>,
    pub(crate) include_metadata: bool,
}

/// Why a payload is not handed on.
pub(crate) enum Fault {
    /// The client sent something that is not OTLP.
    Malformed(String),
    /// The pipeline refused it.
    Refused(Refused),
}

// === impl Intake ===

impl Intake {
    /// Whether the headers of a request say anything to us.
    pub(crate) fn needs_headers(&self) -> bool {
        self.auth.is_some() || self.include_metadata
    }

    /// Whether the sender may send, and what is known of it.
    pub(crate) fn origin(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Arc<Origin>, Status> {
        let auth = match &self.auth {
            None => Vec::new(),
            Some(auth) => auth.authenticate(headers).map_err(|why| Status::new(Code::Unauthenticated, why))?,
        };
        let metadata = if self.include_metadata { metadata(headers) } else { Vec::new() };
        Ok(Arc::new(Origin { peer: Some(peer), metadata, auth }))
    }

    /// Hands a payload on; an empty one is a success without troubling the pipeline.
    pub(crate) async fn take(
        &self,
        signal: OtlpSignal,
        payload: Bytes,
        origin: Arc<Origin>,
        counters: &Transport,
    ) -> Result<(), Fault> {
        let items = check(signal, &payload).map_err(|malformed| {
            counters.malformed();
            Fault::Malformed(format!("proto: {malformed}"))
        })?;
        if items == 0 {
            return Ok(());
        }
        let count =
            u32::try_from(items).map_err(|_| Fault::Malformed("more items than 32 bits can count".to_owned()))?;
        let batch = OtlpBatch { signal, payload: vec![payload], items: count, origin: Some(origin) };
        // A client that goes away while the pipeline makes it wait ends this here.
        let mut refusal = Abandoned { counters, signal, items };
        let result = self.outputs.consume(batch).await;
        refusal.items = 0;
        match result {
            Ok(delivery) => {
                // OTLP answers when the data is taken.
                delivery.detach();
                counters.accepted(signal, items);
                Ok(())
            }
            Err(refused) => {
                counters.refused(signal, items);
                Err(Fault::Refused(refused))
            }
        }
    }
}

/// What a client is told of a refusal: what the remote end said, if nothing stands between.
pub(crate) fn status(Refused { reason, retryable, retry_after, code }: Refused) -> Status {
    let ours = if retryable { Code::Unavailable } else { Code::Internal };
    let code = code.map_or(ours, |code| Code::of(code.into()));
    Status { code, message: reason, retry_delay: retry_after.filter(|_| retryable) }
}

/// Counts items whose client did not wait for the answer.
struct Abandoned<'a> {
    counters: &'a Transport,
    signal: OtlpSignal,
    items: usize,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.items > 0 {
            self.counters.failed(self.signal, self.items);
        }
    }
}

fn metadata(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.keys().map(|name| (name.as_str().to_owned(), headers.get_all(name).iter().map(text).collect())).collect()
}

//! `/graph`: how much passed the components of a module in each window.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sdk_component::host::Host;
use sdk_component::{Passed, Watcher, Watching};
use tokio::sync::mpsc;

use super::{END, parameter, streamed};
use crate::{json, text};

const DEFAULT_WINDOW: u64 = 5;

/// Streams rates of the components of `module`, every `window` seconds.
pub(crate) fn graph(host: Arc<dyn Host>, module: &str, query: &str) -> Response<Bytes> {
    let window = match parameter(query, "window").filter(|window| !window.is_empty()) {
        None => DEFAULT_WINDOW,
        Some(window) => match window.parse() {
            Ok(window @ 1..=60) => window,
            _ => {
                return text(StatusCode::BAD_REQUEST, "Invalid window: must be an integer between 1 and 60\n");
            }
        },
    };
    if host.taps(module).is_none() {
        return text(StatusCode::NOT_FOUND, "module not found\n");
    }
    let module = module.to_owned();
    streamed("graph stream", |chunks| stream(host, module, Duration::from_secs(window), chunks))
}

async fn stream(host: Arc<dyn Host>, module: String, window: Duration, chunks: mpsc::Sender<Bytes>) {
    let rates = Arc::new(Rates::default());
    let mut watching = Vec::new();
    let mut windows = tokio::time::interval_at(tokio::time::Instant::now() + window, window);
    loop {
        // A reload may have brought others.
        let Some(taps) = host.taps(&module) else { return };
        watching.retain(|one: &Watching| taps.iter().any(|tap| tap.is(one.tap())));
        for tap in taps {
            if !watching.iter().any(|one| tap.is(one.tap())) {
                watching.push(tap.watch(rates.clone()));
            }
        }
        windows.tick().await;
        let mut record = rates.take(window);
        record.push_str(END);
        if chunks.send(record.into()).await.is_err() {
            return;
        }
    }
}

/// What passed in this window, by component and signal. It has as many entries as the module has components, times the
/// signals that one may have.
#[derive(Default)]
struct Rates(Mutex<BTreeMap<(Arc<str>, &'static str), Passages>>);

struct Passages {
    count: u64,
    to: Option<Vec<Arc<str>>>,
}

impl Rates {
    /// Alloy's array of the window, which is then forgotten.
    fn take(&self, window: Duration) -> String {
        let passages = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let records: Vec<String> = passages
            .into_iter()
            .map(|((component, signal), passages)| {
                let targets = match passages.to {
                    Some(ids) => {
                        let ids: Vec<String> = ids.iter().map(|id| json::string(id)).collect();
                        format!("[{}]", ids.join(","))
                    }
                    None => "null".to_owned(),
                };
                let rate = passages.count as f64 / window.as_secs_f64();
                let component = json::string(&component);
                format!(
                    "{{\"componentID\":{component},\"targetComponentIDs\":{targets},\"type\":\"{signal}\",\"rate\":{rate}}}"
                )
            })
            .collect();
        format!("[{}]", records.join(","))
    }
}

impl Watcher for Rates {
    fn passed(&self, passed: &Passed<'_>) {
        let mut passages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        passages
            .entry((passed.component.clone(), passed.signal))
            .and_modify(|passages| passages.count += passed.count)
            .or_insert_with(|| Passages { count: passed.count, to: passed.to.map(<[_]>::to_vec) });
    }

    fn shown(&self, _: &dyn Fn() -> String) {}

    fn wants_text(&self) -> bool {
        false
    }
}

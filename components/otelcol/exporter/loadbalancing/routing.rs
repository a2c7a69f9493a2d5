//! What of a batch belongs together, and the parts of it for each backend.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;
use sdk_protocols_otlp::model::{
    AnyValue, Data, Item, LogRecord, Map, Message as _, Metric, MetricData, Resource, ResourceGroup, Scope, ScopeGroup,
    Span,
};
use sdk_signals::{OtlpBatch, OtlpSignal};

use super::arguments::RoutingKey;
use super::ring::Ring;

/// A part of a batch, for one backend.
pub(super) type Part = (String, OtlpBatch);

/// The parts of a batch for the backends of a ring; `None` when it has none.
pub(super) fn parts(key: RoutingKey, ring: &Ring, batch: &OtlpBatch) -> Option<Vec<Part>> {
    if let [only] = ring.endpoints() {
        return Some(vec![(only.clone(), batch.clone())]);
    }
    match batch.signal {
        OtlpSignal::Traces => split(ring, batch, |group, scope, span| traces(key, group, scope, span)),
        OtlpSignal::Logs => split(ring, batch, |group, _, record| logs(key, group, record)),
        OtlpSignal::Metrics => split(ring, batch, |group, scope, metric| metrics(key, group, scope, metric)),
    }
}

/// An item, or pieces of it, each with its key.
type Keyed<I> = Vec<(Bytes, I)>;

fn split<I: Item>(
    ring: &Ring,
    batch: &OtlpBatch,
    mut keys: impl FnMut(&Resource, &Scope, I) -> Keyed<I>,
) -> Option<Vec<Part>> {
    let mut parts: BTreeMap<&str, Data<I>> = BTreeMap::new();
    let data = Data::<I>::decode(&batch.clone().into_bytes());
    for group in data.resources {
        // Who has this resource already, as its last group.
        let mut open = BTreeSet::new();
        for scopes in group.scopes {
            let mut scope_open = BTreeSet::new();
            for item in scopes.items {
                for (key, item) in keys(&group.resource, &scopes.scope, item) {
                    let endpoint = ring.endpoint(&key)?;
                    let part = parts.entry(endpoint).or_default();
                    if open.insert(endpoint) {
                        part.resources.push(ResourceGroup {
                            resource: group.resource.clone(),
                            scopes: Vec::new(),
                            schema_url: group.schema_url.clone(),
                            unknown: group.unknown.clone(),
                        });
                    }
                    let resource = part.resources.last_mut().expect("just opened, or before");
                    if scope_open.insert(endpoint) {
                        resource.scopes.push(ScopeGroup {
                            scope: scopes.scope.clone(),
                            items: Vec::new(),
                            schema_url: scopes.schema_url.clone(),
                            unknown: scopes.unknown.clone(),
                        });
                    }
                    resource.scopes.last_mut().expect("just opened, or before").items.push(item);
                }
            }
        }
    }
    let part = |(endpoint, data): (&str, Data<I>)| {
        let items = u32::try_from(data.count()).unwrap_or(u32::MAX);
        let payload = vec![data.encode().into()];
        (endpoint.to_owned(), OtlpBatch { signal: batch.signal, payload, items, origin: batch.origin.clone() })
    };
    Some(parts.into_iter().map(part).collect())
}

fn traces(key: RoutingKey, resource: &Resource, scope: &Scope, span: Span) -> Keyed<Span> {
    let key = match key {
        RoutingKey::TraceId => {
            let mut id = [0; 16];
            id[..span.trace_id.len().min(16)].copy_from_slice(&span.trace_id[..span.trace_id.len().min(16)]);
            Bytes::copy_from_slice(&id)
        }
        _ => {
            let maps = [&resource.attributes, &scope.attributes, &span.attributes];
            let name = maps.into_iter().find_map(|map| map.get("service.name"));
            let text = name.map(AnyValue::to_text).unwrap_or_default();
            format!("service.name={text}|").into()
        }
    };
    vec![(key, span)]
}

fn logs(key: RoutingKey, resource: &Resource, record: LogRecord) -> Keyed<LogRecord> {
    let key = match key {
        // Records of no trace are spread.
        RoutingKey::TraceId if record.trace_id.iter().all(|byte| *byte == 0) => {
            Bytes::copy_from_slice(&RandomState::new().hash_one(0u8).to_be_bytes())
        }
        RoutingKey::TraceId => {
            let hex: String = record.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.into()
        }
        _ => service(resource),
    };
    vec![(key, record)]
}

fn metrics(key: RoutingKey, resource: &Resource, scope: &Scope, metric: Metric) -> Keyed<Metric> {
    let key = match key {
        RoutingKey::Metric => metric.name.as_bytes().clone(),
        RoutingKey::Resource => identity(&resource.attributes).into(),
        RoutingKey::StreamId => return streams(resource, scope, metric),
        RoutingKey::Service | RoutingKey::TraceId => service(resource),
    };
    vec![(key, metric)]
}

/// The name of the service, if it is text.
fn service(resource: &Resource) -> Bytes {
    let name = resource.attributes.get("service.name").and_then(AnyValue::text);
    name.map(|name| name.as_bytes().clone()).unwrap_or_default()
}

/// Attributes as bytes that do not depend on their order.
fn identity(attributes: &Map) -> Vec<u8> {
    let mut pairs: Vec<Vec<u8>> = attributes.0.iter().map(|pair| pair.encode()).collect();
    pairs.sort();
    pairs.concat()
}

/// Every point as a metric of its own, keyed by all that makes its stream.
fn streams(resource: &Resource, scope: &Scope, mut metric: Metric) -> Keyed<Metric> {
    let mut prefix = identity(&resource.attributes);
    for text in [&scope.name, &scope.version, &metric.name, &metric.unit] {
        prefix.push(0);
        prefix.extend_from_slice(text.as_bytes());
    }
    let data = std::mem::take(&mut metric.data);
    macro_rules! points {
        ($variant:ident, $data:expr) => {{
            let mut data = $data;
            let points = std::mem::take(&mut data.points);
            let keyed = points.into_iter().map(|point| {
                let key = [&prefix[..], &[0], &identity(&point.attributes)].concat();
                let mut data = data.clone();
                data.points.push(point);
                (Bytes::from(key), Metric { data: MetricData::$variant(data), ..metric.clone() })
            });
            keyed.collect()
        }};
    }
    match data {
        MetricData::None => vec![(prefix.into(), metric)],
        MetricData::Gauge(data) => points!(Gauge, data),
        MetricData::Sum(data) => points!(Sum, data),
        MetricData::Histogram(data) => points!(Histogram, data),
        MetricData::ExponentialHistogram(data) => points!(ExponentialHistogram, data),
        MetricData::Summary(data) => points!(Summary, data),
    }
}

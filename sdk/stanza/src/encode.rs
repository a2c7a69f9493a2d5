//! Records as OTLP.

use bytes::Bytes;
use sdk_protocols_otlp::model::{Data, LogRecord, Message as _, Resource, ResourceGroup, Scope, ScopeGroup};

use crate::entry::Entry;
use crate::operators::severity_name;

/// The request that holds these records, by resource and scope.
#[must_use]
pub fn encode(entries: Vec<Entry>) -> Vec<u8> {
    let mut data = Data::<LogRecord>::default();
    for mut entry in entries {
        let attributes = std::mem::take(&mut entry.resource);
        let groups = &mut data.resources;
        // Neighbours are mostly of one resource.
        let at = groups.iter().rposition(|group| group.resource.attributes == attributes).unwrap_or_else(|| {
            let resource = Resource { attributes, ..Resource::default() };
            groups.push(ResourceGroup { resource, ..ResourceGroup::default() });
            groups.len() - 1
        });
        let scopes = &mut groups[at].scopes;
        let name = std::mem::take(&mut entry.scope_name);
        let at = scopes.iter().position(|group| group.scope.name == *name).unwrap_or_else(|| {
            let scope = Scope { name: name.into(), ..Scope::default() };
            scopes.push(ScopeGroup { scope, ..ScopeGroup::default() });
            scopes.len() - 1
        });
        scopes[at].items.push(record(entry));
    }
    data.encode()
}

fn record(entry: Entry) -> LogRecord {
    let id = |bytes: Vec<u8>, length: usize| {
        let mut bytes = bytes;
        // Ids of another length are cut or filled up, as the Collector does.
        if !bytes.is_empty() {
            bytes.resize(length, 0);
        }
        if bytes.iter().all(|byte| *byte == 0) { Bytes::new() } else { Bytes::from(bytes) }
    };
    let severity_text = match entry.severity_text.as_str() {
        "" => severity_name(entry.severity),
        _ => entry.severity_text,
    };
    LogRecord {
        time_unix_nano: entry.timestamp.and_then(|at| u64::try_from(at).ok()).unwrap_or(0),
        observed_time_unix_nano: u64::try_from(entry.observed).unwrap_or(0),
        severity_number: entry.severity,
        severity_text: severity_text.into(),
        body: Some(entry.body),
        attributes: entry.attributes,
        flags: entry.trace_flags.first().map_or(0, |flags| u32::from(*flags)),
        trace_id: id(entry.trace_id, 16),
        span_id: id(entry.span_id, 8),
        ..LogRecord::default()
    }
}

//! Components as JSON, field by field in Alloy's order.

use language_eval::json::body_to_json;
use sdk_component::host::ComponentInfo;

/// Components without their bodies, as lists show them.
pub(crate) fn components(components: &[ComponentInfo]) -> String {
    let mut json = String::from("[");
    for (at, info) in components.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_component(&mut json, info);
    }
    json.push(']');
    json
}

/// One component.
pub(crate) fn component(info: &ComponentInfo) -> String {
    let mut json = String::new();
    write_component(&mut json, info);
    json
}

fn write_component(json: &mut String, info: &ComponentInfo) {
    json.push_str("{\"name\":");
    json.push_str(&string(&info.name));
    json.push_str(",\"type\":\"block\",\"localID\":");
    json.push_str(&string(&info.local_id));
    json.push_str(",\"moduleID\":");
    json.push_str(&string(&info.module_id));
    if let Some(label) = info.label.as_ref().filter(|label| !label.is_empty()) {
        json.push_str(",\"label\":");
        json.push_str(&string(label));
    }
    let mut edges: Vec<&String> = info.data_flow_edges_to.iter().map(|edge| &edge.component).collect();
    edges.sort();
    edges.dedup();
    for (name, ids) in [
        ("referencesTo", strings(&info.references_to)),
        ("referencedBy", strings(&info.referenced_by)),
        ("dataFlowEdgesTo", strings(edges)),
    ] {
        json.push_str(&format!(",\"{name}\":{ids}"));
    }
    json.push_str(",\"health\":{\"state\":");
    json.push_str(&string(info.health.state.as_str()));
    json.push_str(",\"message\":");
    json.push_str(&string(&info.health.message));
    json.push_str(",\"updatedTime\":");
    json.push_str(&string(&time(info.health.updated)));
    json.push_str("},\"original\":\"\"");
    for (name, body) in [("arguments", &info.arguments), ("exports", &info.exports), ("debugInfo", &info.debug_info)] {
        json.push_str(&format!(",\"{name}\":{}", body_to_json(body)));
    }
    if !info.created_module_ids.is_empty() {
        json.push_str(&format!(",\"createdModuleIDs\":{}", strings(&info.created_module_ids)));
    }
    json.push_str(&format!(",\"liveDebuggingEnabled\":{}}}", info.live_debugging_enabled));
}

/// The only member of a cluster of one.
pub(crate) fn peers(name: &str, address: &str) -> String {
    format!("[{{\"name\":{},\"addr\":{},\"isSelf\":true,\"state\":\"participant\"}}]", string(name), string(address))
}

/// RFC 3339, UTC, with as many decimals as are needed.
pub(crate) fn time(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

fn strings<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| string(text)).collect();
    format!("[{}]", texts.join(","))
}

/// A JSON string.
pub(crate) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

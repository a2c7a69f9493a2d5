//! `/api/v0/web/…`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use sdk_component::host::Host;

use crate::{Options, answer as respond, json, not_found, stream, text};

/// `rest` is the path behind `/api/v0/web/`.
pub(crate) fn answer(shared: Arc<dyn Host>, options: &Options, rest: &str, query: &str) -> Response<Bytes> {
    let host = &*shared;
    // Remote configuration is a graph of its own; there is none, so it is empty.
    if let Some(rest) = rest.strip_prefix("remotecfg/") {
        return match rest {
            "components" => as_json("[]".to_owned()),
            _ if rest.starts_with("modules/") && rest.ends_with("/components") => module_not_found(),
            _ => not_found(),
        };
    }
    if let Some(id) = rest.strip_prefix("components/") {
        return match host.component(id) {
            Some(info) if !id.is_empty() => as_json(json::component(&info)),
            _ => not_found(),
        };
    }
    if let Some(module) = rest.strip_prefix("modules/").and_then(|rest| rest.strip_suffix("/components")) {
        return module_components(host, module);
    }
    if let Some(id) = rest.strip_prefix("debug/") {
        return stream::debug(shared, &options.live_debugging, id, query);
    }
    match rest {
        "components" => module_components(host, ""),
        "peers" => as_json(json::peers(&node_name(options), &options.address)),
        "graph" => stream::graph(shared, "", query),
        _ => match rest.strip_prefix("graph/") {
            Some(module) => stream::graph(shared, module, query),
            None => not_found(),
        },
    }
}

fn module_components(host: &dyn Host, module: &str) -> Response<Bytes> {
    match host.components(module) {
        Some(mut components) => {
            components.sort_by(|a, b| a.local_id.cmp(&b.local_id));
            as_json(json::components(&components))
        }
        None => module_not_found(),
    }
}

fn module_not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "module not found\n")
}

fn as_json(body: String) -> Response<Bytes> {
    respond(StatusCode::OK, "application/json", body)
}

fn node_name(options: &Options) -> String {
    if !options.node_name.is_empty() {
        return options.node_name.clone();
    }
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "unknown".to_owned())
}

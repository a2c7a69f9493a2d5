//! The page at `/`: version, last load, and the health of every component. Plain, without scripts; all that comes from
//! outside is escaped.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use http::{Response, StatusCode};
use sdk_component::HealthState;
use sdk_component::host::{ComponentInfo, Host};

use crate::{answer as respond, json};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin-bottom:0}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884;vertical-align:top}\
td.id{font-family:ui-monospace,monospace;white-space:nowrap}\
td.message{overflow-wrap:anywhere}\
.healthy{color:#1a7f37}.unknown{color:#9a6700}.unhealthy,.exited{color:#cf222e;font-weight:600}\
pre{padding:1rem;border:1px solid #cf222e;overflow-x:auto}\
nav a{margin-right:1rem}";

/// The page as it is now.
pub(crate) fn answer(host: &dyn Host) -> Response<Bytes> {
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", write(host));
    response.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    response
}

fn write(host: &dyn Host) -> String {
    let components = all_components(host);
    let mut html = String::new();
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Ferroalloy</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>Ferroalloy</h1>\n<p>{} · {}</p>\n",
        escape(host.version()),
        if host.is_ready() { "ready" } else { "not ready: the first load has not succeeded yet" },
    );
    html.push_str(
        "<nav><a href=\"/metrics\">metrics</a><a href=\"/-/ready\">ready</a><a href=\"/-/healthy\">healthy</a>\
         <a href=\"api/v0/web/components\">components as JSON</a></nav>\n",
    );
    write_last_load(&mut html, host);
    write_components(&mut html, &components);
    html.push_str("</body>\n</html>\n");
    html
}

fn write_last_load(html: &mut String, host: &dyn Host) {
    html.push_str("<h2>Configuration</h2>\n");
    match host.last_load() {
        None => html.push_str("<p>Not loaded yet.</p>\n"),
        Some(report) => {
            let at = json::time(report.at);
            match report.error {
                None => {
                    let _ = writeln!(html, "<p class=\"healthy\">Loaded at {at}.</p>");
                }
                Some(error) => {
                    let _ = writeln!(
                        html,
                        "<p class=\"unhealthy\">Refused at {at}; what ran before goes on.</p>\n<pre>{}</pre>",
                        escape(&error)
                    );
                }
            }
        }
    }
}

fn write_components(html: &mut String, components: &[ComponentInfo]) {
    let _ = writeln!(html, "<h2>Components ({})</h2>", components.len());
    if components.is_empty() {
        html.push_str("<p>None.</p>\n");
        return;
    }
    html.push_str("<table>\n<tr><th>Component</th><th>Health</th><th>Message</th><th>Since</th></tr>\n");
    for info in components {
        let id = if info.module_id.is_empty() {
            info.local_id.clone()
        } else {
            format!("{}/{}", info.module_id, info.local_id)
        };
        let state = info.health.state.as_str();
        let _ = writeln!(
            html,
            "<tr><td class=\"id\"><a href=\"api/v0/web/components/{}\">{}</a></td><td class=\"{state}\">{state}</td>\
             <td class=\"message\">{}</td><td>{}</td></tr>",
            escape(&percent_encode(&id)),
            escape(&id),
            escape(&info.health.message),
            json::time(info.health.updated),
        );
    }
    html.push_str("</table>\n");
}

/// Those of all modules, the sick ones first.
fn all_components(host: &dyn Host) -> Vec<ComponentInfo> {
    let mut all = Vec::new();
    let mut modules = vec![String::new()];
    while let Some(module) = modules.pop() {
        for info in host.components(&module).unwrap_or_default() {
            modules.extend(info.created_module_ids.iter().cloned());
            all.push(info);
        }
    }
    all.sort_by(|a, b| {
        let well = |info: &ComponentInfo| matches!(info.health.state, HealthState::Healthy | HealthState::Unknown);
        (well(a), &a.module_id, &a.local_id).cmp(&(well(b), &b.module_id, &b.local_id))
    });
    all
}

/// Text as it may stand in an element or between quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An id as part of a path. Slashes stay: ids of modules hold them.
fn percent_encode(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

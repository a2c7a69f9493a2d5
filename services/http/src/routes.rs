//! Which path is answered by whom, and in which words: Alloy's, byte for byte, as probes and scripts read them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use sdk_component::host::Host;
use sdk_component::{HealthState, HttpHandler};

use crate::compress::compress;
use crate::support::{Bundler, Support};

/// Somebody else's pages on this server: the web API.
pub struct Mount {
    /// Where they live, with a slash at both ends: `/` or `/alloy/`. The handler sees the path behind it, with one slash.
    pub prefix: String,
    /// Makes the handler once the running graph is there.
    pub handler: Box<dyn Fn(Arc<dyn Host>) -> HttpHandler + Send + Sync>,
}

/// All routes, on one running graph.
pub(crate) struct Router {
    host: Arc<dyn Host>,
    /// Longest prefix first.
    mounts: Vec<(String, HttpHandler)>,
    /// None with `--server.http.disable-support-bundle`.
    bundler: Option<Bundler>,
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Browsers are not to guess that an error's text is a page.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// The answer to a path that nobody serves.
pub fn page_not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// `/-/ready`.
pub(crate) fn readiness(ready: bool) -> Response<Bytes> {
    if ready {
        text(StatusCode::OK, "Alloy is ready.\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "Alloy is not ready.\n")
    }
}

const COMPONENT_PREFIX: &str = "/api/v0/component/";

impl Router {
    pub fn new(host: Arc<dyn Host>, mounts: &[Mount], support: Option<Support>) -> Router {
        let mut mounts: Vec<(String, HttpHandler)> =
            mounts.iter().map(|mount| (mount.prefix.clone(), (mount.handler)(host.clone()))).collect();
        mounts.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        let since = tokio::time::Instant::now();
        let bundler = support.map(|support| Bundler { support, since, turn: Default::default() });
        Router { host, mounts, bundler }
    }

    /// The running graph.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// What somebody else's pages say to a path behind their prefix.
    pub async fn mounted(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let (_, handler) = self.mounts.first()?;
        Some(handler(request).await)
    }

    /// Answers one request, compressed if the client takes it.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let headers = request.headers().clone();
        compress(&headers, self.route(request).await)
    }

    async fn route(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        match path {
            "/-/ready" => return readiness(self.host.is_ready()),
            "/-/healthy" => return self.health(),
            "/-/reload" => return self.reload(request.method()).await,
            "/-/support" => {
                let query = request.uri().query().unwrap_or_default().to_owned();
                return self.support(&query).await;
            }
            "/metrics" => return self.metrics(),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix(COMPONENT_PREFIX) {
            let rest = rest.to_owned();
            return self.component(&rest, request).await;
        }
        if path.starts_with("/api/v1/ckit/transport/") {
            return text(StatusCode::NOT_FOUND, "clustering is disabled\n");
        }
        for (prefix, handler) in &self.mounts {
            if let Some(rest) = path.strip_prefix(prefix.as_str()) {
                let rest = format!("/{rest}");
                return handler(with_path(request, &rest)).await;
            }
            if prefix.strip_suffix('/') == Some(path) && !path.is_empty() {
                return found(prefix);
            }
        }
        page_not_found()
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut response = text(StatusCode::OK, self.host.metrics().text());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(base_metrics::CONTENT_TYPE));
        response
    }

    /// Names the types of all components that are unhealthy or dead, those inside of modules too.
    fn health(&self) -> Response<Bytes> {
        let mut sick = Vec::new();
        let mut modules = vec![String::new()];
        while let Some(module) = modules.pop() {
            for component in self.host.components(&module).unwrap_or_default() {
                if matches!(component.health.state, HealthState::Unhealthy | HealthState::Exited) {
                    sick.push(component.name);
                }
                modules.extend(component.created_module_ids);
            }
        }
        if sick.is_empty() {
            return text(StatusCode::OK, "All Alloy components are healthy.\n");
        }
        let body = format!("unhealthy components: {}\n", sick.join(", "));
        text(StatusCode::INTERNAL_SERVER_ERROR, body)
    }

    async fn reload(&self, method: &Method) -> Response<Bytes> {
        if method != Method::GET && method != Method::POST {
            return page_not_found();
        }
        tracing::info!(service = "http", "reload requested via /-/reload endpoint");
        match self.host.reload().await {
            Ok(()) => text(StatusCode::OK, "config reloaded\n"),
            Err(error) => {
                tracing::error!(service = "http", err = %error, "failed to reload config");
                // Alloy's one line, and then all that is wrong, with what to write instead.
                let all = self.host.last_load().and_then(|report| report.error);
                let all = all.filter(|all| !error.ends_with(all.as_str())).map(|all| format!("\n{all}\n"));
                text(StatusCode::BAD_REQUEST, format!("{error}\n{}", all.unwrap_or_default()))
            }
        }
    }

    async fn support(&self, query: &str) -> Response<Bytes> {
        if let Some(bundler) = &self.bundler {
            return bundler.answer(self, query).await;
        }
        text(
            StatusCode::FORBIDDEN,
            "support bundle generation is disabled; it can be re-enabled by removing the \
             --server.http.disable-support-bundle flag",
        )
    }

    /// `rest` is an id, which may hold slashes itself, and the component's own path.
    async fn component(&self, rest: &str, request: Request<Bytes>) -> Response<Bytes> {
        let ends = rest.match_indices('/').map(|(at, _)| at).chain([rest.len()]);
        // The longest beginning that is a component's id. Ids have a dot in their last part.
        let mut looks_like_one = false;
        let mut found = None;
        for end in ends {
            let id = &rest[..end];
            if !id.rsplit('/').next().is_some_and(|last| last.contains('.')) {
                continue;
            }
            looks_like_one = true;
            if let Some(handler) = self.host.http_handler(id) {
                found = Some((handler, end));
            }
        }
        if !looks_like_one {
            let body = format!("failed to parse URL path {:?}: invalid path\n", request.uri().path());
            return text(StatusCode::BAD_REQUEST, body);
        }
        let Some((handler, end)) = found else { return empty(StatusCode::NOT_FOUND) };
        let path = if end == rest.len() { "/" } else { &rest[end..] };
        handler(with_path(request, path)).await
    }
}

fn with_path(request: Request<Bytes>, path: &str) -> Request<Bytes> {
    let (mut parts, body) = request.into_parts();
    let path_and_query = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // Pieces of a valid URI are one; the fallback keeps a handler from ever seeing the outer path.
    parts.uri = path_and_query.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    Request::from_parts(parts, body)
}

fn found(location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("<a href=\"{location}\">Found</a>.\n\n")));
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
pub(crate) mod tests;

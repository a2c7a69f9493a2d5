//! The recorded answers of the real Alloy, and those that are better on purpose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use base_metrics::Registry;
use sdk_component::host::{ComponentInfo, LoadReport};
use sdk_component::{BoxFuture, Health};

use super::*;

/// A graph of components that only have a name and a health.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub modules: BTreeMap<String, Vec<ComponentInfo>>,
    pub not_ready: AtomicBool,
    pub reload_error: Option<String>,
    /// What the last load's report says.
    pub report: Option<String>,
    pub metrics: Metrics,
}

pub(crate) struct Metrics(Arc<Registry>, #[allow(dead_code)] base_metrics::Scope); // the scope keeps its gauge on the page

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        scope.gauge("alloy_config_last_load_successful", "Config loaded successfully.").set(1.0);
        Metrics(Arc::new(registry), scope)
    }
}

impl FakeHost {
    /// A root module of these components; what is behind `=` is the module it made.
    pub fn with(components: &[(&str, HealthState)]) -> FakeHost {
        let mut host = FakeHost::default();
        for (id, state) in components {
            let (id, child) = id.split_once('=').unwrap_or((id, ""));
            let (module, local_id) = id.rsplit_once('/').unwrap_or(("", id));
            let (name, label) = local_id.rsplit_once('.').unwrap();
            host.modules.entry(module.to_owned()).or_default().push(ComponentInfo {
                name: name.to_owned(),
                local_id: local_id.to_owned(),
                module_id: module.to_owned(),
                label: Some(label.to_owned()),
                references_to: Vec::new(),
                referenced_by: Vec::new(),
                data_flow_edges_to: Vec::new(),
                health: Health { state: *state, message: "m".to_owned(), updated: UNIX_EPOCH },
                arguments: Vec::new(),
                exports: Vec::new(),
                debug_info: Vec::new(),
                created_module_ids: [child].into_iter().filter(|id| !id.is_empty()).map(str::to_owned).collect(),
                live_debugging_enabled: false,
            });
        }
        host
    }
}

impl Host for FakeHost {
    fn is_ready(&self) -> bool {
        !self.not_ready.load(Ordering::Relaxed)
    }

    fn components(&self, module: &str) -> Option<Vec<ComponentInfo>> {
        self.modules.get(module).cloned()
    }

    fn component(&self, id: &str) -> Option<ComponentInfo> {
        let (module, local_id) = id.rsplit_once('/').unwrap_or(("", id));
        self.modules.get(module)?.iter().find(|component| component.local_id == local_id).cloned()
    }

    /// Exporters tell which path they see.
    fn http_handler(&self, id: &str) -> Option<HttpHandler> {
        self.component(id).filter(|component| component.name.contains("exporter"))?;
        Some(Arc::new(|request| {
            Box::pin(async move { text(StatusCode::OK, format!("{} {}", request.method(), request.uri())) })
        }))
    }

    fn reload(&self) -> BoxFuture<'static, Result<(), String>> {
        let outcome = self.reload_error.clone().map_or(Ok(()), Err);
        Box::pin(async move { outcome })
    }

    fn last_load(&self) -> Option<LoadReport> {
        let error = self.report.clone()?;
        Some(LoadReport { at: UNIX_EPOCH, error: Some(error) })
    }

    fn metrics(&self) -> Arc<Registry> {
        self.metrics.0.clone()
    }

    fn version(&self) -> &str {
        "v0.0.0"
    }
}

/// `METHOD path` → `status body`.
async fn ask(host: FakeHost, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    let mount = Mount {
        prefix: "/alloy/".to_owned(),
        handler: Box::new(|_| {
            Arc::new(|request| Box::pin(async move { text(StatusCode::OK, format!("mounted {}", request.uri())) }))
        }),
    };
    let router = Router::new(Arc::new(host), &[mount], Some(Support::default()));
    let request = Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
    let response = router.answer(request).await;
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    format!("{} {body}", response.status().as_u16())
}

fn host() -> FakeHost {
    FakeHost::with(&[
        ("loki.echo.e", HealthState::Healthy),
        ("pair.one=pair.one", HealthState::Healthy),
        ("pair.one/prometheus.exporter.self.inner", HealthState::Healthy),
        ("prometheus.exporter.unix.u", HealthState::Unknown),
    ])
}

#[tokio::test]
async fn the_recorded_answers() {
    for (request, expected) in [
        ("GET /-/ready", "200 Alloy is ready.\n"),
        ("POST /-/ready", "200 Alloy is ready.\n"),
        ("GET /-/ready/", "404 404 page not found\n"),
        ("GET /-/nope", "404 404 page not found\n"),
        ("GET /ready", "404 404 page not found\n"),
        ("GET /-/healthy", "200 All Alloy components are healthy.\n"),
        ("GET /-/reload", "200 config reloaded\n"),
        ("POST /-/reload", "200 config reloaded\n"),
        ("PUT /-/reload", "404 404 page not found\n"),
        ("GET /api/v0/nope", "404 404 page not found\n"),
        ("GET /api/v0/component/loki.echo.e/x", "404 "),
        ("GET /api/v0/component/nope/x", "400 failed to parse URL path \"/api/v0/component/nope/x\": invalid path\n"),
        ("GET /api/v0/component/prometheus.exporter.unix.u/metrics?a=b", "200 GET /metrics?a=b"),
        ("GET /api/v0/component/prometheus.exporter.unix.u", "200 GET /"),
        ("GET /api/v0/component/pair.one/prometheus.exporter.self.inner/metrics", "200 GET /metrics"),
        ("GET /api/v0/component/pair.one/discovery.relabel.inner/x", "404 "),
        ("GET /api/v1/ckit/transport/stream", "404 clustering is disabled\n"),
        ("GET /debug/pprof/cmdline", "404 404 page not found\n"),
        ("GET /", "404 404 page not found\n"),
        ("GET /alloy", "302 <a href=\"/alloy/\">Found</a>.\n\n"),
        ("GET /alloy/", "200 mounted /"),
        ("GET /alloy/api/v0/web/peers?x=1", "200 mounted /api/v0/web/peers?x=1"),
    ] {
        assert_eq!(ask(host(), request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn not_ready_until_the_first_load_has_succeeded() {
    let host = host();
    host.not_ready.store(true, Ordering::Relaxed);
    assert_eq!(ask(host, "GET /-/ready").await, "503 Alloy is not ready.\n");
}

#[tokio::test]
async fn a_dead_component_is_not_healthy_wherever_it_is() {
    let host = FakeHost::with(&[
        ("loki.source.api.a", HealthState::Unhealthy),
        ("otelcol.receiver.otlp.b", HealthState::Exited),
        ("pair.one=pair.one", HealthState::Healthy),
        ("pair.one/local.file.inner", HealthState::Unhealthy),
    ]);
    let expected = "500 unhealthy components: loki.source.api, otelcol.receiver.otlp, local.file\n";
    assert_eq!(ask(host, "GET /-/healthy").await, expected);
}

#[tokio::test]
async fn a_refused_reload_says_why() {
    let error = Some("error during the initial load: -: cycle: a, b".to_owned());
    let host_with = |report: &str| FakeHost { reload_error: error.clone(), report: Some(report.to_owned()), ..host() };
    let line = "400 error during the initial load: -: cycle: a, b\n";
    assert_eq!(ask(host_with("-: cycle: a, b"), "POST /-/reload").await, line);
    let report = "-: cycle: a, b (a needs b)\nc.alloy:1:1: another";
    assert_eq!(ask(host_with(report), "POST /-/reload").await, format!("{line}\n{report}\n"));
}

#[tokio::test]
async fn metrics_are_one_page_of_the_text_format() {
    let router = Router::new(Arc::new(host()), &[], Some(Support::default()));
    let response = router.answer(Request::get("/metrics").body(Bytes::new()).unwrap()).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    let body = std::str::from_utf8(response.body()).unwrap();
    assert!(body.starts_with(
        "# HELP alloy_config_last_load_successful Config loaded successfully.\n\
         # TYPE alloy_config_last_load_successful gauge\nalloy_config_last_load_successful 1\n"
    ));
}

#[tokio::test(start_paused = true)]
async fn a_support_bundle_is_an_archive() {
    let router = Router::new(Arc::new(host()), &[], Some(Support::default()));
    let response = router.answer(Request::get("/-/support?duration=2").body(Bytes::new()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/zip");
    let body = response.body();
    assert!(body.starts_with(b"PK\x03\x04"));
    let held = |name: &[u8]| body.windows(name.len()).filter(|window| *window == name).count();
    assert_eq!(
        held(b"alloy-support-bundle/alloy-metrics-sample-end.txt"),
        2,
        "once with the file, once in the directory"
    );
    assert_eq!(held(b"PK\x05\x06"), 1);
}

//! `prometheus.exporter.blackbox`: probes hosts from outside, over HTTP, TCP, ICMP, DNS and gRPC.

mod certificate;
mod chain;
mod dns;
mod grpc;
mod http;
mod icmp;
mod modules;
mod probe;
mod resolve;
mod stream;
mod target;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, Uri};
use base_stdx::duration::GoDuration;
use base_stdx::quote::quote;
use base_sys::fs;
use bytes::Bytes;
use language_eval::{Arguments, Block, Invalid, OptionalSecret, Validate};
use sdk_component::{Component, Context, HttpHandler, Problem, Stop, Stopped, Update};
use tokio::time::Instant;

use crate::serve::{TEXT, answer, not_found};
use crate::targets::{ExporterExports, labels};
use modules::Modules;
use probe::{DURATION, Probe, SUCCESS};

/// Probes hosts from outside: whether they answer over HTTP, TCP, ICMP, DNS or gRPC, how fast, and how long their
/// certificates are good, under the names that blackbox_exporter gave it.
///
/// A scrape of an exported target makes one probe. How to probe say modules, in the form of blackbox_exporter's
/// configuration.
#[derive(Arguments)]
#[block(validate)]
pub struct BlackboxArguments {
    /// A file with modules.
    #[attr(optional)]
    config_file: String,
    /// Modules, as YAML.
    #[attr(optional)]
    config: OptionalSecret,
    /// What to probe.
    #[block]
    target: Vec<TargetBlock>,
    /// How much earlier than a scrape a probe must end.
    #[attr(default = GoDuration::from_millis(500))]
    probe_timeout_offset: GoDuration,
    /// What to probe, by labels: `name`, `address` (or `__address__`) and `module`; further ones go onto the exported target.
    #[attr(optional)]
    targets: Vec<BTreeMap<String, String>>,
}

/// One host, URL or address to probe.
#[derive(Block, Clone, Debug)]
pub struct TargetBlock {
    /// How to call it: its job is `integrations/blackbox/` and this.
    #[attr]
    name: String,
    /// Where it is.
    #[attr]
    address: String,
    /// The module to probe it by; without one it is `http_2xx`.
    #[attr(optional)]
    module: String,
    /// Labels for the exported target.
    #[attr(optional)]
    labels: BTreeMap<String, String>,
}

/// The component.
pub struct Blackbox {
    context: Context,
    current: Arc<Mutex<Arc<Prober>>>,
}

/// What a probe works with.
struct Prober {
    modules: Modules,
    offset: f64,
    /// Modules by which no probe can be made here, as the log says.
    lame: Mutex<BTreeSet<String>>,
}

/// The largest file of modules.
const MOST_CONFIG_BYTES: usize = 4 << 20;

/// The module of targets that name none.
const USUAL_MODULE: &str = "http_2xx";

/// The longest scrape, if the scraper does not say.
const LONGEST: f64 = 120.0;

impl Component for Blackbox {
    const NAME: &'static str = "prometheus.exporter.blackbox";

    type Arguments = BlackboxArguments;
    type Exports = ExporterExports;

    fn build(context: &Context, arguments: BlackboxArguments) -> Result<Blackbox, Problem> {
        let (prober, exports) = arguments.prepared(context)?;
        context.publish(&exports);
        Ok(Blackbox { context: context.clone(), current: Arc::new(Mutex::new(prober)) })
    }

    fn update(&self, arguments: BlackboxArguments) -> Result<Update, Problem> {
        let (prober, exports) = arguments.prepared(&self.context)?;
        let current = self.current.clone();
        let replace = move || *current.lock().unwrap_or_else(PoisonError::into_inner) = prober;
        Ok(Update::exporting(&exports, replace))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }

    fn http(&self) -> Option<HttpHandler> {
        let current = self.current.clone();
        Some(Arc::new(move |request| {
            let prober = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::pin(async move {
                if request.uri().path() != "/metrics" {
                    return not_found();
                }
                prober.answer(request.uri(), request.headers()).await
            })
        }))
    }
}

// === impl BlackboxArguments ===

impl Validate for BlackboxArguments {
    fn validate(&self) -> Result<(), Invalid> {
        let config = self.config.expose();
        if !self.config_file.is_empty() && !config.is_empty() {
            return Err(Invalid::block("config and config_file are mutually exclusive"));
        }
        if self.config_file.is_empty() && config.is_empty() {
            return Err(Invalid::block("config or config_file must be set"));
        }
        modules::parse(&config)
            .map_err(|error| Invalid::block(format!("invalid blackbox_exporter config: {error}")))?;
        if !self.target.is_empty() && !self.targets.is_empty() {
            return Err(Invalid::block("the block `target` and the attribute `targets` are mutually exclusive"));
        }
        for target in &self.targets {
            if !target.contains_key("name") {
                return Err(Invalid::block("all targets must have a `name`"));
            }
            if address(target).is_none() {
                return Err(Invalid::block("all targets must have an `address` or an `__address__` label"));
            }
        }
        Ok(())
    }
}

fn address(target: &BTreeMap<String, String>) -> Option<&String> {
    target.get("address").or_else(|| target.get("__address__"))
}

impl BlackboxArguments {
    fn prepared(self, context: &Context) -> Result<(Arc<Prober>, ExporterExports), Problem> {
        let modules = match self.config_file.as_str() {
            "" => modules::parse(&self.config.expose()),
            file => fs::read_text_bounded(Path::new(file), MOST_CONFIG_BYTES)
                .map_err(|error| format!("error reading config file: {error}"))
                .and_then(|text| modules::parse(&text).map_err(|error| format!("error parsing config file: {error}")))
                .map_err(|error| format!("failed to load blackbox config from file {file}: {error}")),
        };
        let modules = modules.map_err(Problem::new)?;
        let targets: Vec<TargetBlock> = match self.target.is_empty() {
            true => self.targets.into_iter().map(TargetBlock::of).collect(),
            false => self.target,
        };
        if targets.iter().any(|target| target.name.is_empty() || target.address.is_empty()) {
            return Err(Problem::new("failed to load blackbox_targets; the `name` and `address` fields are mandatory"));
        }
        let base = labels(context, Blackbox::NAME, "integrations/blackbox", context.id().to_owned());
        let targets = targets.into_iter().map(|target| target.exported(&base).into_iter().collect()).collect();
        let prober = Prober { modules, offset: self.probe_timeout_offset.as_secs_f64(), lame: Mutex::default() };
        Ok((Arc::new(prober), ExporterExports { targets }))
    }
}

// === impl TargetBlock ===

impl TargetBlock {
    /// Checked before: it has a name and an address.
    fn of(mut labels: BTreeMap<String, String>) -> TargetBlock {
        let address = address(&labels).cloned().unwrap_or_default();
        let mut take = |name: &str| labels.remove(name).unwrap_or_default();
        let (name, module) = (take("name"), take("module"));
        take("address");
        take("__address__");
        TargetBlock { name, address, module, labels }
    }

    fn exported(self, base: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut labels = self.labels;
        labels.extend(base.clone());
        labels.insert("job".to_owned(), format!("integrations/blackbox/{}", self.name));
        labels.insert("__param_target".to_owned(), self.address);
        if !self.module.is_empty() {
            labels.insert("__param_module".to_owned(), self.module);
        }
        labels
    }
}

// === impl Prober ===

impl Prober {
    async fn answer(&self, uri: &Uri, headers: &HeaderMap) -> ::http::Response<Bytes> {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let given = |name: &str| {
            let value = query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
            value.filter(|value| !value.is_empty())
        };
        let refused = |status, why: String| answer(status, TEXT, why + "\n");
        let name = given("module").unwrap_or(USUAL_MODULE);
        let Some(module) = self.modules.get(name) else {
            return refused(StatusCode::BAD_REQUEST, format!("Unknown module {}", quote(name.as_bytes())));
        };
        let allowed = headers.get("x-prometheus-scrape-timeout-seconds").map(|value| value.to_str().unwrap_or("?"));
        let Ok(allowed) = allowed.filter(|allowed| !allowed.is_empty()).unwrap_or("0").parse::<f64>() else {
            let why = "Failed to parse timeout from Prometheus header: it is not a number";
            return refused(StatusCode::INTERNAL_SERVER_ERROR, why.to_owned());
        };
        let Some(target) = given("target") else {
            return refused(StatusCode::BAD_REQUEST, "Target parameter is missing".to_owned());
        };
        let hostname = given("hostname");
        if let (Some(hostname), "http") = (hostname, module.prober.as_str()) {
            let configured = module.http.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            if let Some((_, value)) = configured.filter(|(_, value)| *value != hostname) {
                let why = format!(
                    "host header defined both in module configuration ({value}) and with URL-parameter 'hostname' ({hostname})"
                );
                return refused(StatusCode::BAD_REQUEST, why);
            }
        }
        let start = Instant::now();
        let mut probe = Probe::until(start + timeout(allowed, module.timeout.as_secs_f64(), self.offset));
        let success = match module.prober.as_str() {
            "http" => http::probe(&mut probe, target, &module.http, hostname).await,
            "tcp" => tcp::probe(&mut probe, target, &module.tcp, hostname).await,
            "icmp" => icmp::probe(&mut probe, target, &module.icmp).await,
            "grpc" => grpc::probe(&mut probe, target, &module.grpc).await,
            "dns" => dns::probe(&mut probe, target, &module.dns.clone().unwrap_or_default()).await,
            other => return refused(StatusCode::BAD_REQUEST, format!("Unknown prober {}", quote(other.as_bytes()))),
        };
        if let Some(why) = self.news_of(name, &probe) {
            tracing::warn!(module = name, err = why, "no probe can be made by this module");
        }
        probe.set(&SUCCESS, if success { 1.0 } else { 0.0 });
        probe.set(&DURATION, start.elapsed().as_secs_f64());
        match given("debug") {
            Some("true") => answer(StatusCode::OK, TEXT, probe.told()),
            _ => answer(StatusCode::OK, base_metrics::CONTENT_TYPE, probe.page()),
        }
    }

    /// Why no target can be probed by a module, once until one can: the targets look as if they were down.
    fn news_of<'p>(&self, module: &str, probe: &'p Probe) -> Option<&'p str> {
        let mut lame = self.lame.lock().unwrap_or_else(PoisonError::into_inner);
        match probe.equipped()? {
            Ok(()) => {
                lame.remove(module);
                None
            }
            Err(why) => lame.insert(module.to_owned()).then_some(why),
        }
    }
}

/// How long a probe may take, in seconds: what the scraper allows without the offset, or less if the module says so.
fn timeout(allowed: f64, module: f64, offset: f64) -> Duration {
    let most = if allowed > 0.0 { allowed } else { LONGEST } - offset;
    let chosen = if (module > 0.0 && module < most) || most < 0.0 { module } else { most };
    Duration::try_from_secs_f64(chosen.min(f64::from(u32::MAX))).unwrap_or_default()
}

#[cfg(test)]
mod tests;

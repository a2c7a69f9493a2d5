//! The runtime's own metrics, under Alloy's names (spec §7.1).

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use base_metrics::{Counter, Gauge, GaugeVec, HistogramVec, Kind, Registry, Scope};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::host::flows;
use crate::marks::Marks;
use crate::node::Node;
use crate::sources::Texts;

const SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// An evaluation that takes longer counts as slow.
const SLOW: Duration = Duration::from_secs(60);

/// Handles of all metrics; they live as long as the runtime.
pub(crate) struct Measures {
    scope: Scope,
    evaluation: HistogramVec,
    wait: HistogramVec,
    evaluating: GaugeVec,
    config_hash: GaugeVec,
    load_successful: Gauge,
    load_time: Gauge,
    load_failures: Counter,
    engine: Arc<RwLock<Weak<Engine>>>,
}

/// How Alloy names a module in metrics and logs: the path around it, and its own id.
pub(crate) fn controller(module: &str) -> (String, &str) {
    match module.rsplit_once('/') {
        Some((path, id)) => (format!("/{path}"), id),
        None => ("/".to_owned(), module),
    }
}

impl Measures {
    pub fn new(registry: &Registry, marks: &Arc<Marks>) -> Measures {
        let scope = registry.scope(&[]);
        let labels = &["controller_path", "controller_id"];
        let measures = Measures {
            evaluation: scope.histogram_vec(
                "alloy_component_evaluation_seconds",
                "Time spent performing component evaluation",
                SECONDS,
                labels,
            ),
            wait: scope.histogram_vec(
                "alloy_component_dependencies_wait_seconds",
                "Time spent by components waiting to be evaluated after their dependency is updated.",
                SECONDS,
                labels,
            ),
            evaluating: scope.gauge_vec(
                "alloy_component_controller_evaluating",
                "Tracks if the controller is currently in the middle of a graph evaluation",
                labels,
            ),
            config_hash: scope.gauge_vec(
                "alloy_config_hash",
                "Hash of the currently active config file.",
                &["sha256", "cluster_name"],
            ),
            load_successful: scope.gauge("alloy_config_last_load_successful", "Config loaded successfully."),
            load_time: scope.gauge(
                "alloy_config_last_load_success_timestamp_seconds",
                "Timestamp of the last successful configuration load.",
            ),
            load_failures: scope.counter("alloy_config_load_failures_total", "Configuration load failures."),
            engine: Arc::default(),
            scope,
        };
        // Dashboards take rates of these: they must not begin with the first value.
        let _ = (measures.evaluation.with(&["/", ""]), measures.wait.with(&["/", ""]));
        measures.evaluating.with(&["/", ""]).set(0.0);
        measures.collect(Arc::downgrade(marks));
        measures
    }

    /// What is counted when somebody looks.
    fn collect(&self, marks: Weak<Marks>) {
        let engine = self.engine.clone();
        self.scope.collect(Box::new(move |writer| {
            let engine = engine.read().unwrap_or_else(|poisoned| poisoned.into_inner()).upgrade();
            let (Some(engine), Some(marks)) = (engine, marks.upgrade()) else { return };
            let modules = engine.modules();
            let mut running = writer.family(
                "alloy_component_controller_running_components",
                "Total number of running components.",
                Kind::Gauge,
            );
            for module in &modules {
                let (path, id) = controller(&module.id);
                let mut states: BTreeMap<&str, u64> = BTreeMap::new();
                for node in module.nodes.iter().filter(|node| node.counts_as_running()) {
                    *states.entry(node.health().state.as_str()).or_default() += 1;
                }
                for (state, count) in states {
                    let labels = [("controller_path", &*path), ("controller_id", id), ("health_type", state)];
                    running.sample(&labels, count as f64);
                }
            }
            let mut connections = writer.family(
                "alloy_component_graph_connection",
                "Directed data-flow edges between components: value is 1 for each edge of the running graph.",
                Kind::Gauge,
            );
            for module in &modules {
                let (path, id) = controller(&module.id);
                let dependants = module.plan.dependants();
                for (index, node) in module.nodes.iter().enumerate() {
                    let edges = flows(module, index, &dependants);
                    let mut targets: Vec<String> = edges.into_iter().map(|edge| edge.component).collect();
                    targets.sort();
                    targets.dedup();
                    for to in targets {
                        let labels =
                            [("controller_path", &*path), ("controller_id", id), ("from", &*node.id), ("to", &*to)];
                        connections.sample(&labels, 1.0);
                    }
                }
            }
            let mut queue = writer.family(
                "alloy_component_evaluation_queue_size",
                "Tracks the number of components waiting to be evaluated",
                Kind::Gauge,
            );
            queue.sample(&[("controller_path", "/"), ("controller_id", "")], marks.len() as f64);
        }));
    }

    /// Lets the page see the modules.
    pub fn watch(&self, engine: &Arc<Engine>) {
        *self.engine.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::downgrade(engine);
    }

    pub fn evaluated(&self, timings: &[(Arc<Node>, Duration)]) {
        for (node, took) in timings {
            let (path, id) = controller(&node.module);
            self.evaluation.with(&[&path, id]).observe(took.as_secs_f64());
            if *took > SLOW {
                let slow = self.scope.counter_vec(
                    "alloy_component_evaluation_slow_seconds",
                    "Number of seconds spent evaluating components that take longer than 1 minute to evaluate",
                    &["controller_path", "controller_id", "component_id"],
                );
                slow.with(&[&path, id, &node.id]).add_f64(took.as_secs_f64());
            }
        }
    }

    pub fn waited(&self, module: &str, waited: Duration) {
        let (path, id) = controller(module);
        self.wait.with(&[&path, id]).observe(waited.as_secs_f64());
    }

    pub fn evaluating(&self, evaluating: bool) {
        self.evaluating.with(&["/", ""]).set(f64::from(u8::from(evaluating)));
    }

    /// A load has ended. The hash is that of what was read, whether or not it could be used; zeros when nothing could
    /// be read.
    pub fn loaded(&self, texts: Option<&Texts>, successful: bool) {
        self.load_successful.set(f64::from(u8::from(successful)));
        if successful {
            self.load_time.set(base_sys::clock::now_ns() as f64 / 1e9);
        } else {
            self.load_failures.inc();
        }
        let hash = match texts {
            Some(texts) => {
                let mut hasher = Sha256::new();
                texts.files.iter().for_each(|file| hasher.update(file.bytes()));
                hex(&hasher.finalize())
            }
            None => "0".repeat(64),
        };
        self.config_hash.clear();
        self.config_hash.with(&[&hash, ""]).set(1.0);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

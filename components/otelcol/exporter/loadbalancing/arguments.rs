//! What the block holds.

use std::sync::Arc;

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate, Word};
use sdk_component::Problem;
use sdk_otel::client::GrpcSettings;
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::exporter::Settings;
use sdk_otel::queue::{SendingQueue, Sizer};
use sdk_otel::retry::RetryOnFailure;
use sdk_signals::OtlpSignal;

use super::backends::Routed;
use crate::otlp::Grpc;

/// Sends what belongs together to one of several backends, always the same one.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How backends are spoken to.
    #[block(required)]
    pub protocol: Protocol,
    /// Where they are.
    #[block(required)]
    pub resolver: Resolver,
    /// What belongs together.
    #[attr(default = RoutingKey::TraceId)]
    pub routing_key: RoutingKey,
    /// How long handing a batch to the queues of the backends may take; 0 is forever.
    #[attr(default = GoDuration::ZERO)]
    pub timeout: GoDuration,
    /// What happens to batches that the backends' queues refuse. Without this block they are refused to the sender.
    #[block(default = no_retry())]
    pub retry_on_failure: RetryOnFailure,
    /// A queue in front of the backends' queues, which have the block `queue` of the protocol. Without this block there is
    /// none.
    #[block(default = no_queue())]
    pub sending_queue: SendingQueue,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// How backends are spoken to.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Protocol {
    /// OTLP over gRPC.
    #[block(required)]
    pub otlp: Otlp,
}

/// How one backend is sent to.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Otlp {
    /// How long one try may take; 0 is forever.
    #[attr(default = GoDuration::from_secs(5))]
    pub timeout: GoDuration,
    /// What waits in front of each backend.
    #[block(optional)]
    pub queue: SendingQueue,
    /// What happens to requests that fail.
    #[block(optional)]
    pub retry: RetryOnFailure,
    /// The connection.
    #[block(required)]
    pub client: GrpcSettings,
}

/// Where the backends are: one of these.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Resolver {
    /// A list.
    #[block]
    pub r#static: Option<Static>,
    /// The addresses of a name.
    #[block]
    pub dns: Option<Dns>,
    /// The endpoints of a service, as the cluster tells of them.
    #[block]
    pub kubernetes: Option<Kubernetes>,
    /// The instances of a service in AWS Cloud Map. Who asks is found as AWS' tools find it: in the environment, shared files,
    /// at the container's agent or the metadata of the instance.
    #[block]
    pub aws_cloud_map: Option<AwsCloudMap>,
}

/// A list of backends.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Static {
    /// Each `host:port`; the port is 4317 if there is none.
    #[attr]
    pub hostnames: Vec<String>,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Dns {
    /// The name.
    #[attr]
    pub hostname: String,
    /// The port of all of them.
    #[attr(default = "4317".to_owned())]
    pub port: String,
    /// How often the name is asked for; 0 is 5s.
    #[attr(default = GoDuration::from_secs(5))]
    pub interval: GoDuration,
    /// How long that may take; 0 is 1s.
    #[attr(default = GoDuration::from_secs(1))]
    pub timeout: GoDuration,
}

/// The endpoints of a service of Kubernetes.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Kubernetes {
    /// `name`, `name.namespace` or `name.namespace.svc.cluster.local`. Without a namespace it is that of our own pod, or else
    /// `default`.
    #[attr]
    pub service: String,
    /// Their ports; each address has all of them.
    #[attr(default = vec![4317])]
    pub ports: Vec<i64>,
    /// How long a watch lasts before it is begun again; 0 is 1m.
    #[attr(default = GoDuration::from_secs(60))]
    pub timeout: GoDuration,
    /// Names instead of addresses, as pods of a stateful set have them.
    #[attr(optional)]
    pub return_hostnames: bool,
}

/// The instances of a service in AWS Cloud Map.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct AwsCloudMap {
    /// Its namespace.
    #[attr]
    pub namespace: String,
    /// Its name.
    #[attr]
    pub service_name: String,
    /// Which of them.
    #[attr(default = "HEALTHY".to_owned())]
    pub health_status: String,
    /// How often they are asked for.
    #[attr(default = GoDuration::from_secs(30))]
    pub interval: GoDuration,
    /// How long that may take.
    #[attr(default = GoDuration::from_secs(5))]
    pub timeout: GoDuration,
    /// The port of all of them.
    #[attr]
    pub port: Option<u16>,
    /// The account of the namespace.
    #[attr(optional)]
    pub owner_account: String,
}

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum RoutingKey {
    /// Spans and logs of one trace.
    #[word(name = "traceID")]
    TraceId,
    /// What one service sends.
    #[word(name = "service")]
    Service,
    /// Metrics of one resource.
    #[word(name = "resource")]
    Resource,
    /// Metrics of one name.
    #[word(name = "metric")]
    Metric,
    /// The points of one stream.
    #[word(name = "streamID")]
    StreamId,
}

// === defaults and validation ===

/// Which instances Cloud Map tells of.
const HEALTH: [&str; 4] = ["ALL", "HEALTHY", "UNHEALTHY", "HEALTHY_OR_ELSE_ALL"];

/// Without the block nothing is tried again.
fn no_retry() -> RetryOnFailure {
    RetryOnFailure {
        enabled: false,
        initial_interval: GoDuration::ZERO,
        randomization_factor: 0.0,
        multiplier: 0.0,
        max_interval: GoDuration::ZERO,
        max_elapsed_time: GoDuration::ZERO,
    }
}

/// Without the block there is no queue.
fn no_queue() -> SendingQueue {
    SendingQueue {
        enabled: false,
        num_consumers: 0,
        queue_size: 0,
        block_on_overflow: false,
        sizer: Sizer::Requests,
        wait_for_result: false,
        batch: None,
        storage: None,
    }
}

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.timeout.0 < 0 {
            return Err(Invalid::field("timeout", "must not be negative"));
        }
        Ok(())
    }
}

impl Validate for Resolver {
    fn validate(&self) -> Result<(), Invalid> {
        let given =
            [self.r#static.is_some(), self.dns.is_some(), self.kubernetes.is_some(), self.aws_cloud_map.is_some()];
        match given.iter().filter(|given| **given).count() {
            0 => return Err(Invalid::block("no resolvers specified for the exporter")),
            1 => {}
            _ => return Err(Invalid::block("only one resolver should be specified")),
        }
        if let Some(list) = &self.r#static
            && list.hostnames.is_empty()
        {
            return Err(Invalid::field("static", "no endpoints specified for the static resolver"));
        }
        if let Some(dns) = &self.dns {
            if dns.hostname.is_empty() {
                return Err(Invalid::field("dns", "no hostname specified to resolve the backends"));
            }
            if !dns.port.is_empty() && dns.port.parse::<u16>().is_err() {
                return Err(Invalid::field("dns", format!("invalid port {:?}", dns.port)));
            }
        }
        if let Some(kubernetes) = &self.kubernetes {
            kubernetes.service().map_err(|why| Invalid::field("kubernetes", why))?;
            if let Some(port) = kubernetes.ports.iter().find(|port| u16::try_from(**port).is_err()) {
                return Err(Invalid::field("kubernetes", format!("invalid port {port}")));
            }
        }
        if let Some(cloud_map) = &self.aws_cloud_map {
            let wrong = match cloud_map {
                AwsCloudMap { namespace, .. } if namespace.is_empty() => {
                    "no Cloud Map namespace specified to resolve the backends".to_owned()
                }
                AwsCloudMap { service_name, .. } if service_name.is_empty() => {
                    "no Cloud Map service_name specified to resolve the backends".to_owned()
                }
                AwsCloudMap { health_status, .. } if !HEALTH.contains(&&health_status[..]) => {
                    format!("invalid health status {health_status:?}")
                }
                _ => return Ok(()),
            };
            return Err(Invalid::field("aws_cloud_map", wrong));
        }
        Ok(())
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// The name of the service, and its namespace where it is given.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn service(&self) -> Result<(&str, Option<&str>), String> {
        let mut labels = self.service.split('.');
        let name =
            labels.next().filter(|name| !name.is_empty()).ok_or("no service specified to resolve the backends")?;
        let namespace = labels.next();
        match (namespace, labels.next(), labels.next()) {
            (Some(""), Some(_), _) => Err(format!("the namespace is missing in {:?}", self.service)),
            (_, Some("svc"), Some(_)) | (_, None, _) => Ok((name, namespace.filter(|namespace| !namespace.is_empty()))),
            (_, Some("svc"), None) => Err(format!("the domain of the cluster is missing in {:?}", self.service)),
            (_, Some(_), _) => Err(format!("the third part of {:?} should be \"svc\"", self.service)),
        }
    }
}

// === impl Otlp ===

impl Otlp {
    /// The connection to an endpoint.
    pub(super) fn grpc(&self, endpoint: &str) -> Result<Arc<Grpc>, Problem> {
        Grpc::new(&self.client, endpoint, self.timeout).map(Arc::new)
    }

    /// How its exporter sends.
    pub(super) fn settings(&self, transport: Routed) -> Settings {
        Settings { transport: Box::new(transport), queue: self.queue.clone(), retry: self.retry.clone() }
    }
}

// === impl RoutingKey ===

impl RoutingKey {
    /// Whether it makes sense for a signal. Metrics are experimental.
    pub(super) fn routes(self, signal: OtlpSignal, experimental: bool) -> bool {
        match signal {
            OtlpSignal::Metrics => experimental && self != RoutingKey::TraceId,
            OtlpSignal::Traces | OtlpSignal::Logs => matches!(self, RoutingKey::TraceId | RoutingKey::Service),
        }
    }
}

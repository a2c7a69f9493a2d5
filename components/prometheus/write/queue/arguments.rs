//! What a `prometheus.write.queue` block says, and what that means for the sender.

use std::collections::BTreeMap;

use base_stdx::GoDuration;
use language_eval::{Arguments, Block, Invalid, SecretString, Validate};
use sdk_component::Problem;
use sdk_labels::Labels;
use sdk_net::client::{BasicAuth as ClientBasicAuth, ProxyConfig};
use sdk_net::{ClientConfig, TlsConfig as ClientTls};
use sdk_protocols_remote_write::Version;

use crate::remote_write::arguments::{Client, Endpoint, QueueConfig, Wal};
use crate::remote_write::{Plan, Setup};

/// Sends metrics by Prometheus' remote write protocol.
///
/// Alloy had this component until 1.17, as an experiment. Its arguments work on the queue of `prometheus.remote_write`, which
/// new configurations should name instead: it writes down what it takes at once, and sends it after a restart.
#[derive(Arguments, Clone, Debug)]
#[block(validate)]
pub struct QueueArguments {
    /// Samples older than this are not sent.
    #[attr(default = GoDuration::from_secs(2 * 60 * 60))]
    pub ttl: GoDuration,
    /// When samples are written down. Of no effect: they are as soon as they come.
    #[block(default = Persistence::default())]
    pub persistence: Persistence,
    /// Where to send.
    #[block]
    pub endpoint: Vec<QueueEndpoint>,
}

/// When samples are written down. Of no effect: they are as soon as they come.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct Persistence {
    /// Of no effect.
    #[attr(default = 10_000)]
    pub max_signals_to_batch: i64,
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(5))]
    pub batch_interval: GoDuration,
}

/// Where to send.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct QueueEndpoint {
    /// Its name in metrics and logs.
    #[label]
    pub name: String,
    /// Address of the remote write API.
    #[attr]
    pub url: String,
    /// Username and password.
    #[block]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token.
    #[attr(optional)]
    pub bearer_token: SecretString,
    /// How long one request may take.
    #[attr(default = GoDuration::from_secs(30))]
    pub write_timeout: GoDuration,
    /// Wait before a retry.
    #[attr(default = GoDuration::from_secs(1))]
    pub retry_backoff: GoDuration,
    /// After so many retries a request is dropped; 0 tries for ever.
    #[attr(default = 0)]
    pub max_retry_attempts: u64,
    /// Samples in a request.
    #[attr(default = 1000)]
    pub batch_count: i64,
    /// How long a sample waits for its request to fill.
    #[attr(default = GoDuration::from_secs(1))]
    pub flush_interval: GoDuration,
    /// How many requests there are at a time.
    #[block(default = Parallelism::default())]
    pub parallelism: Parallelism,
    /// Labels for each series that does not have them.
    #[attr(optional)]
    pub external_labels: BTreeMap<String, String>,
    /// Certificates to show and to trust.
    #[block]
    pub tls_config: Option<TlsConfig>,
    /// Choose among the addresses of the endpoint's name at random for each connection.
    #[attr(optional)]
    pub enable_round_robin: bool,
    /// Headers for each request.
    #[attr(optional)]
    pub headers: BTreeMap<String, SecretString>,
    /// `http://`, `https://` or `socks5://` address of a proxy.
    #[attr(optional)]
    pub proxy_url: String,
    /// Take the proxy from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    #[attr(optional)]
    pub proxy_from_environment: bool,
    /// Headers for the proxy itself.
    #[attr(optional)]
    pub proxy_connect_headers: BTreeMap<String, SecretString>,
    /// The version of the protocol.
    #[attr(default = Version::V1.message().to_owned())]
    pub protobuf_message: String,
    /// Of no effect: each series says what it is, as often as it is sent.
    #[attr(optional)]
    pub metadata_cache_enabled: bool,
    /// Of no effect.
    #[attr(default = 1000)]
    pub metadata_cache_size: i64,
}

/// Username and password.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct BasicAuth {
    /// The username.
    #[attr(optional)]
    pub username: String,
    /// The password.
    #[attr(optional)]
    pub password: SecretString,
}

/// Certificates to show and to trust.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct TlsConfig {
    /// Certificates of the authorities to trust instead of the system's.
    #[attr(optional)]
    pub ca_pem: String,
    /// Our certificate.
    #[attr(optional)]
    pub cert_pem: String,
    /// The key of our certificate.
    #[attr(optional)]
    pub key_pem: SecretString,
    /// Trust any certificate.
    #[attr(optional)]
    pub insecure_skip_verify: bool,
}

/// How many requests there are at a time. The number grows while requests pile up although they are taken, and falls when
/// none wait; so only its bounds have an effect.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct Parallelism {
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(60))]
    pub drift_scale_up: GoDuration,
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(30))]
    pub drift_scale_down: GoDuration,
    /// The most requests at a time.
    #[attr(default = 50)]
    pub max_connections: u64,
    /// The least.
    #[attr(default = 2)]
    pub min_connections: u64,
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(60))]
    pub network_flush_interval: GoDuration,
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(5 * 60))]
    pub desired_connections_lookback: GoDuration,
    /// Of no effect.
    #[attr(default = GoDuration::from_secs(5))]
    pub desired_check_interval: GoDuration,
    /// Of no effect.
    #[attr(default = 0.5)]
    pub allowed_network_error_fraction: f64,
}

// === impl QueueArguments ===

impl Validate for QueueArguments {
    fn validate(&self) -> Result<(), Invalid> {
        for endpoint in &self.endpoint {
            let second = GoDuration::from_secs(1);
            let parallelism = &endpoint.parallelism;
            let wrong = if endpoint.batch_count <= 0 {
                "batch_count must be greater than 0"
            } else if endpoint.flush_interval < second {
                "flush_interval must be greater or equal to 1s, the internal timers resolution is 1s"
            } else if parallelism.max_connections < parallelism.min_connections {
                "max_connections less than min_connections"
            } else if parallelism.min_connections == 0 {
                "min_connections must be greater than 0"
            } else if parallelism.drift_scale_up <= parallelism.drift_scale_down {
                "drift_scale_up_seconds less than or equal drift_scale_down_seconds"
            } else if parallelism.desired_check_interval < second {
                "desired_check_interval must be greater than or equal to 1 second"
            } else if !(0.0..=1.0).contains(&parallelism.allowed_network_error_fraction) {
                "allowed_network_error_percent must be between 0.00 and 1.00"
            } else if Version::of_message(&endpoint.protobuf_message).is_none() {
                let message = format!("unknown remote write proto message: {}", endpoint.protobuf_message);
                return Err(Invalid::block(message));
            } else if endpoint.protobuf_message == Version::V2.message() && endpoint.metadata_cache_size <= 0 {
                "metadata_cache_size must be greater than 0 when using Remote Write V2"
            } else {
                continue;
            };
            return Err(Invalid::block(wrong));
        }
        Ok(())
    }
}

impl QueueArguments {
    /// What the sender shall do.
    pub(super) fn plan(&self) -> Result<Plan, Problem> {
        // How long series are active is not said; as in `prometheus.remote_write`.
        let wal = Wal { max_keepalive_time: self.ttl, ..Wal::default() };
        let setups = self.endpoint.iter().map(|endpoint| {
            let labels = Labels::from_pairs(&endpoint.external_labels);
            let mut setup = Setup::new(&endpoint.as_remote_write(self.ttl)?, &labels, &wal)?;
            setup.max_retries = endpoint.max_retry_attempts;
            setup.watched = Some(super::metrics::watched);
            Ok(setup)
        });
        Plan::of(setups, &wal)
    }
}

impl QueueEndpoint {
    fn as_remote_write(&self, ttl: GoDuration) -> Result<Endpoint, Problem> {
        let several = |headers: &BTreeMap<String, SecretString>| {
            headers.iter().map(|(name, value)| (name.clone(), vec![value.clone()])).collect()
        };
        let tls = self.tls_config.as_ref();
        let client = ClientConfig {
            basic_auth: self.basic_auth.as_ref().map(|basic| ClientBasicAuth {
                username: basic.username.clone(),
                password: basic.password.clone(),
                ..ClientBasicAuth::default()
            }),
            bearer_token: self.bearer_token.clone(),
            proxy: ProxyConfig {
                proxy_url: self.proxy_url.clone(),
                proxy_from_environment: self.proxy_from_environment,
                proxy_connect_header: several(&self.proxy_connect_headers),
                ..ProxyConfig::default()
            },
            tls_config: tls.map_or_else(ClientTls::default, |tls| ClientTls {
                ca_pem: tls.ca_pem.clone(),
                cert_pem: tls.cert_pem.clone(),
                key_pem: tls.key_pem.clone(),
                insecure_skip_verify: tls.insecure_skip_verify,
                ..ClientTls::default()
            }),
            enable_http2: false,
            ..ClientConfig::default()
        };
        let queue = QueueConfig {
            max_samples_per_send: self.batch_count,
            batch_send_deadline: self.flush_interval,
            min_shards: i64::try_from(self.parallelism.min_connections).unwrap_or(i64::MAX),
            max_shards: i64::try_from(self.parallelism.max_connections).unwrap_or(i64::MAX),
            min_backoff: self.retry_backoff,
            max_backoff: self.retry_backoff,
            sample_age_limit: ttl,
            ..QueueConfig::default()
        };
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_string())).collect();
        let endpoint = Endpoint {
            name: self.name.clone(),
            url: self.url.clone(),
            remote_timeout: self.write_timeout,
            headers,
            send_exemplars: true,
            send_native_histograms: true,
            protobuf_message: self.protobuf_message.clone(),
            client: Client(client),
            queue_config: Some(queue),
            metadata_config: None,
            write_relabel_config: Vec::new(),
            sigv4: None,
            azuread: None,
            google_iam: None,
            round_robin_dns: self.enable_round_robin,
        };
        let checked = endpoint.client.0.validate().and_then(|()| endpoint.validate());
        checked.map_err(|invalid| Problem::at("endpoint", invalid.message))?;
        Ok(endpoint)
    }
}

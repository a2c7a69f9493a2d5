//! What a `prometheus.remote_write` block says.

use std::collections::BTreeMap;

use base_stdx::GoDuration;
use base_stdx::quote::quote;
use language_eval::block::{BodyDecoder, Failed};
use language_eval::schema::FieldKind;
use language_eval::{Arguments, Block, BlockSchema, BodyNode, Invalid, SecretString, Validate, Value};
use sdk_component::Problem;
use sdk_net::{ClientConfig, address_doubt, check_address};
use sdk_relabel::Rule;

/// Sends metrics by Prometheus' remote write protocol.
///
/// Samples wait in a queue for each endpoint: in memory first, on the disk when the endpoint is slow or down. What was
/// taken and not sent, also by a process that was killed, is sent after a restart. Where the directory of `--storage.path`
/// cannot be written to, samples wait in memory alone, and are lost with the process; it is tried again every five seconds, and
/// they move there as soon as it can be.
#[derive(Arguments, Clone, Debug)]
pub struct RemoteWriteArguments {
    /// Labels for each series that does not have them.
    #[attr(optional)]
    pub external_labels: BTreeMap<String, String>,
    /// Where to send.
    #[block]
    pub endpoint: Vec<Endpoint>,
    /// How long unsent data is kept.
    #[block(default = Wal::default())]
    pub wal: Wal,
}

/// Where to send.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct Endpoint {
    /// Its name in metrics and logs; made from the rest when left out.
    #[attr(optional)]
    pub name: String,
    /// Address of the remote write API.
    #[attr]
    pub url: String,
    /// How long one request may take.
    #[attr(default = GoDuration::from_secs(30))]
    pub remote_timeout: GoDuration,
    /// Headers for each request; they win over those of the protocol.
    #[attr(optional)]
    pub headers: BTreeMap<String, String>,
    /// Send exemplars.
    #[attr(default = true)]
    pub send_exemplars: bool,
    /// Send native histograms.
    #[attr(optional)]
    pub send_native_histograms: bool,
    /// The version of the protocol. An endpoint that answers 415 gets the other one, and is asked again when it comes back after an
    /// outage, and each hour: it may have been upgraded.
    #[attr(default = PROTOBUF_V1.to_owned())]
    pub protobuf_message: String,
    /// How to reach the endpoint and who to be there.
    #[squash]
    pub client: Client,
    /// How samples wait and are sent.
    #[block]
    pub queue_config: Option<QueueConfig>,
    /// When metadata is sent; version 1 of the protocol sends none, and version 2 sends it with each series.
    #[block]
    pub metadata_config: Option<MetadataConfig>,
    /// What to do with each series before it is sent.
    #[block]
    pub write_relabel_config: Vec<Rule>,
    /// Sign with AWS Signature Version 4.
    #[block]
    pub sigv4: Option<SigV4>,
    /// Show tokens of Azure AD.
    #[block]
    pub azuread: Option<AzureAd>,
    /// Show tokens of Google's IAM.
    #[block]
    pub google_iam: Option<GoogleIam>,
    /// Choose among the addresses of the endpoint's name at random for each connection.
    #[attr(optional)]
    pub round_robin_dns: bool,
}

const PROTOBUF_V1: &str = "prometheus.WriteRequest";
const PROTOBUF_V2: &str = "io.prometheus.write.v2.Request";

/// The shared HTTP client arguments; alone of all components remote write does not offer HTTP/2 by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Client(pub ClientConfig);

/// How samples wait and are sent.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct QueueConfig {
    /// Samples that a shard holds in memory.
    #[attr(default = 10_000)]
    pub capacity: i64,
    /// The most requests at a time.
    #[attr(default = 50)]
    pub max_shards: i64,
    /// The least number of shards.
    #[attr(default = 1)]
    pub min_shards: i64,
    /// Samples in a request.
    #[attr(default = 2000)]
    pub max_samples_per_send: i64,
    /// How long a sample waits for its request to fill.
    #[attr(default = GoDuration::from_secs(5))]
    pub batch_send_deadline: GoDuration,
    /// Wait before the first retry; doubles from there.
    #[attr(default = GoDuration::from_millis(30))]
    pub min_backoff: GoDuration,
    /// The longest wait before a retry.
    #[attr(default = GoDuration::from_secs(5))]
    pub max_backoff: GoDuration,
    /// Try again when the endpoint answers 429.
    #[attr(default = true)]
    pub retry_on_http_429: bool,
    /// Samples older than this are not sent; 0 sends all.
    #[attr(default = GoDuration::ZERO)]
    pub sample_age_limit: GoDuration,
}

/// When metadata is sent. Of no effect, as in Alloy: version 1 of the protocol sends none, and version 2 sends what
/// `honor_metadata` of a scrape passes on, with each series.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct MetadataConfig {
    /// Send metadata.
    #[attr(default = true)]
    pub send: bool,
    /// How often.
    #[attr(default = GoDuration::from_secs(60))]
    pub send_interval: GoDuration,
    /// Families in a request.
    #[attr(default = 2000)]
    pub max_samples_per_send: i64,
}

/// How long unsent data is kept. What is taken is written down at once, and leaves the disk when it was sent.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct Wal {
    /// Series that have not been heard from for so long are no longer counted as active. Space is given back as data is sent.
    #[attr(default = GoDuration::from_secs(2 * 60 * 60))]
    pub truncate_frequency: GoDuration,
    /// Of no effect: the queue keeps what is not sent.
    #[attr(default = GoDuration::from_secs(5 * 60))]
    pub min_keepalive_time: GoDuration,
    /// Data that could not be sent for so long is dropped.
    #[attr(default = GoDuration::from_secs(8 * 60 * 60))]
    pub max_keepalive_time: GoDuration,
}

/// Signs requests with AWS Signature Version 4. Keys that are not given come from where AWS' tools look for them: the
/// environment (also the token of a workload in Kubernetes), and shared files.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct SigV4 {
    /// The region; from the environment or the shared configuration file when left out.
    #[attr(optional)]
    pub region: String,
    /// The key's name.
    #[attr(optional)]
    pub access_key: String,
    /// The key.
    #[attr(optional)]
    pub secret_key: SecretString,
    /// The profile of the shared files.
    #[attr(optional)]
    pub profile: String,
    /// A role to take.
    #[attr(optional)]
    pub role_arn: String,
    /// What the owner of the role wants to be told.
    #[attr(optional)]
    pub external_id: String,
    /// Ask for the role where FIPS 140 is kept to.
    #[attr(optional)]
    pub use_fips_sts_endpoint: bool,
    /// The service that is signed for; `aps` when left out.
    #[attr(optional)]
    pub service_name: String,
}

/// Shows tokens of Azure AD (Microsoft Entra). Exactly one identity has to be given.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct AzureAd {
    /// The identity of the virtual machine.
    #[block]
    pub managed_identity: Option<AzureManagedIdentity>,
    /// The identity of a workload in Kubernetes.
    #[block]
    pub workload_identity: Option<AzureWorkloadIdentity>,
    /// The identity of an application.
    #[block]
    pub oauth: Option<AzureOauth>,
    /// Whatever identity Microsoft's libraries find; not supported yet.
    #[block]
    pub sdk: Option<AzureSdk>,
    /// `AzurePublic`, `AzureChina` or `AzureGovernment`.
    #[attr(default = "AzurePublic")]
    pub cloud: String,
    /// What the tokens are for; the cloud's Azure Monitor when left out.
    #[attr(optional)]
    pub scope: String,
}

/// The identity of a virtual machine, by its metadata service.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct AzureManagedIdentity {
    /// Which, where there are several; the machine's own when empty.
    #[attr]
    pub client_id: String,
}

/// The identity of a workload.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct AzureWorkloadIdentity {
    /// Of the application or identity.
    #[attr]
    pub client_id: String,
    /// Where it is registered.
    #[attr]
    pub tenant_id: String,
    /// The token that Kubernetes gives; where Azure's webhook has it put when left out.
    #[attr(optional)]
    pub token_file_path: String,
}

/// The identity of an application with a secret.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct AzureOauth {
    /// Of the application.
    #[attr]
    pub client_id: String,
    /// Its secret.
    #[attr]
    pub client_secret: SecretString,
    /// Where it is registered.
    #[attr]
    pub tenant_id: String,
}

/// Whatever identity Microsoft's libraries find; not supported yet.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct AzureSdk {
    /// Where it is registered.
    #[attr]
    pub tenant_id: String,
}

/// Shows tokens of Google's IAM that may write to Cloud Monitoring.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct GoogleIam {
    /// A file with the key of a service account. When left out, credentials come from where Google's tools look for them:
    /// `GOOGLE_APPLICATION_CREDENTIALS`, the file of `gcloud`, the metadata service of the machine.
    #[attr(optional)]
    pub credentials_file: String,
}

// === impl Client ===

/// The argument whose default differs.
const ENABLE_HTTP2: &str = "enable_http2";

impl Block for Client {
    fn decode(body: &mut BodyDecoder<'_>) -> Result<Client, Failed> {
        let enable_http2 = body.attribute_or(ENABLE_HTTP2, || false);
        let mut config = ClientConfig::decode(body)?;
        config.enable_http2 = enable_http2.unwrap_or(false);
        Ok(Client(config))
    }

    fn schema() -> BlockSchema {
        let mut schema = ClientConfig::schema();
        for field in &mut schema.fields {
            if let (ENABLE_HTTP2, FieldKind::Attribute { default, .. }) = (field.name, &mut field.kind) {
                *default = Some(Value::Bool(false));
            }
        }
        schema
    }

    fn encode(&self) -> Vec<BodyNode> {
        let mut body = self.0.encode();
        body.retain(|node| !matches!(node, BodyNode::Attribute { name, .. } if name == ENABLE_HTTP2));
        if self.0.enable_http2 {
            body.push(BodyNode::Attribute { name: ENABLE_HTTP2.to_owned(), value: Value::Bool(true) });
        }
        body
    }
}

// === impl Validate ===

impl Endpoint {
    /// What Alloy starts with as well, and nothing can be sent with.
    pub fn doubts(&self, place: &str) -> Vec<Problem> {
        let address = address_doubt(&self.url, place, "http://mimir:9009/api/v1/push");
        self.client.0.doubts(place).into_iter().chain(address).collect()
    }
}

impl Validate for Endpoint {
    fn validate(&self) -> Result<(), Invalid> {
        check_address(&self.url)?;
        let client = &self.client.0;
        let has_client_auth = client.basic_auth.is_some()
            || client.oauth2.is_some()
            || client.authorization.is_some()
            || !client.bearer_token.is_empty()
            || !client.bearer_token_file.is_empty();
        let ways = [has_client_auth, self.sigv4.is_some(), self.azuread.is_some(), self.google_iam.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(Invalid::block(
                "at most one of sigv4, azuread, google_iam, basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            ));
        }
        match self.protobuf_message.as_str() {
            PROTOBUF_V1 | PROTOBUF_V2 => {}
            other => {
                let message = format!(
                    "invalid protobuf_message {} for endpoint {}: unknown type for remote write protobuf message",
                    quote(other.as_bytes()),
                    quote(self.name.as_bytes())
                );
                let hint = format!("use {PROTOBUF_V1:?} or {PROTOBUF_V2:?}");
                return Err(Invalid::field("protobuf_message", message).with_hint(hint));
            }
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                return Err(Invalid::field("headers", format!("{name:?} is not the name of a header")));
            }
            if http::HeaderValue::try_from(value.as_str()).is_err() {
                return Err(Invalid::field("headers", format!("the value of header {name:?} cannot be sent")));
            }
        }
        Ok(())
    }
}

fn not_yet(field: &'static str, what: &str) -> Invalid {
    Invalid::field(field, format!("{what} is not supported yet by this version of Ferroalloy"))
        .with_hint("remove it, or run this component in Alloy until it is")
}

impl Validate for SigV4 {
    fn validate(&self) -> Result<(), Invalid> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err(Invalid::block(
                "must provide an AWS SigV4 access key and secret key if credentials are specified in the SigV4 config",
            ));
        }
        if !self.external_id.is_empty() && self.role_arn.is_empty() {
            return Err(Invalid::field("external_id", "external_id can only be used with role_arn"));
        }
        Ok(())
    }
}

impl Validate for AzureAd {
    fn validate(&self) -> Result<(), Invalid> {
        if !matches!(self.cloud.as_str(), "AzurePublic" | "AzureChina" | "AzureGovernment") {
            return Err(Invalid::field("cloud", "must provide a cloud in the Azure AD config"));
        }
        let (managed, workload, oauth) = (&self.managed_identity, &self.workload_identity, &self.oauth);
        let given = [managed.is_some(), workload.is_some(), oauth.is_some(), self.sdk.is_some()];
        match given.into_iter().filter(|given| *given).count() {
            1 => {}
            0 => {
                return Err(Invalid::block(
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth or Azure SDK in the Azure AD config",
                ));
            }
            _ => return Err(Invalid::block("cannot provide multiple authentication methods in the Azure AD config")),
        }
        if self.sdk.is_some() {
            return Err(not_yet("sdk", "looking for an identity as Microsoft's libraries do (sdk)"));
        }
        let managed = managed.as_ref().map(|managed| ("Managed Identity client_id", &managed.client_id));
        if let Some((what, id)) = managed
            && !id.is_empty()
            && !is_uuid(id)
        {
            return Err(Invalid::block(format!("the provided Azure {what} is invalid")));
        }
        let workload = workload.iter().flat_map(|workload| {
            [("Workload Identity client_id", &workload.client_id), ("Workload Identity tenant_id", &workload.tenant_id)]
        });
        let oauth_id = oauth.iter().map(|oauth| ("OAuth client_id", &oauth.client_id));
        for (what, id) in workload.chain(oauth_id) {
            if id.is_empty() {
                return Err(Invalid::block(format!("must provide an Azure {what} in the Azure AD config")));
            }
            if !is_uuid(id) {
                return Err(Invalid::block(format!("the provided Azure {what} is invalid")));
            }
        }
        if let Some(oauth) = oauth {
            for (what, is_empty) in
                [("client_secret", oauth.client_secret.is_empty()), ("tenant_id", oauth.tenant_id.is_empty())]
            {
                if is_empty {
                    return Err(Invalid::block(format!("must provide an Azure OAuth {what} in the Azure AD config")));
                }
            }
        }
        let is_scope = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || "_:/.-".contains(c);
        if !self.scope.chars().all(is_scope) {
            return Err(Invalid::field("scope", "the provided scope contains invalid characters"));
        }
        Ok(())
    }
}

/// `01234567-89ab-cdef-0123-456789abcdef`
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Validate for QueueConfig {
    fn validate(&self) -> Result<(), Invalid> {
        for (name, number) in [
            ("capacity", self.capacity),
            ("max_shards", self.max_shards),
            ("min_shards", self.min_shards),
            ("max_samples_per_send", self.max_samples_per_send),
        ] {
            if number < 1 {
                return Err(Invalid::field(name, format!("{name} must be at least 1; got {number}")));
            }
        }
        for (name, duration) in [
            ("batch_send_deadline", self.batch_send_deadline),
            ("min_backoff", self.min_backoff),
            ("max_backoff", self.max_backoff),
            ("sample_age_limit", self.sample_age_limit),
        ] {
            if duration < GoDuration::ZERO {
                return Err(Invalid::field(name, format!("{name} must not be negative; got {duration}")));
            }
        }
        Ok(())
    }
}

impl Validate for Wal {
    fn validate(&self) -> Result<(), Invalid> {
        if self.truncate_frequency == GoDuration::ZERO {
            return Err(Invalid::field("truncate_frequency", "truncate_frequency must not be 0"));
        }
        if self.max_keepalive_time <= self.min_keepalive_time {
            return Err(Invalid::field(
                "min_keepalive_time",
                "min_keepalive_time must be smaller than max_keepalive_time",
            ));
        }
        Ok(())
    }
}

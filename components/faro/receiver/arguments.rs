//! The arguments.

use std::collections::BTreeMap;

use base_stdx::ByteSize;
use base_stdx::duration::GoDuration;
use language_eval::{Arguments, Block, Invalid, SecretString, Validate, Word};
use sdk_net::server::PushServer;
use sdk_otel::output::Output;
use sdk_signals::{LogsReceiver, OtelConsumer};

/// How long requests under way may go on when the server stops or moves.
const SHUTDOWN: GoDuration = GoDuration::from_secs(5);

/// Takes what Grafana's Faro SDK sends from browsers: logs, exceptions, measurements, events and traces.
///
/// `POST /collect` takes one payload of JSON, plain or as gzip, and is answered with 202 when the pipeline has taken it, with
/// 503 when it does not: it may be sent again. Logs, exceptions, measurements and events become lines of logfmt or JSON;
/// traces are handed on as OTLP. Stack traces of minified code are translated by source maps, which are read from the disk
/// or downloaded. `GET /-/ready` says that it listens.
#[derive(Arguments)]
pub struct ReceiverArguments {
    /// Labels for the lines. An empty value means the value of the field of that name in the line, such as `kind`
    /// or `app_name`; a line without it goes without the label.
    #[attr(optional)]
    pub extra_log_labels: BTreeMap<String, String>,
    /// How lines are written.
    #[attr(default = LogFormat::Logfmt)]
    pub log_format: LogFormat,
    /// The server.
    #[block(optional)]
    pub server: ServerBlock,
    /// How stack traces of minified code are translated.
    #[block(optional)]
    pub sourcemaps: SourceMapsBlock,
    /// Where the data goes.
    #[block(required)]
    pub output: OutputBlock,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum LogFormat {
    /// `kind=log message="page opened"`, in the order of the payload's parts.
    #[word(name = "logfmt", alias = "")]
    Logfmt,
    /// `{"kind":"log","message":"page opened"}`, in the order of the names.
    #[word(name = "json")]
    Json,
}

/// The server that browsers send to.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct ServerBlock {
    /// The address to listen on.
    #[attr(default = "127.0.0.1".to_owned())]
    pub listen_address: String,
    /// The port to listen on; 0 takes a free one.
    #[attr(default = 12347)]
    pub listen_port: i64,
    /// Origins whose pages may send, each with at most one `*`. Without any, browsers send from pages of the same origin only.
    #[attr(optional)]
    pub cors_allowed_origins: Vec<String>,
    /// What requests have to show in the header `X-API-Key`; empty asks for nothing.
    #[attr(optional)]
    pub api_key: SecretString,
    /// The largest body, as it is sent; a compressed one may become ten times as large. 0 is 100MiB.
    #[attr(default = ByteSize::mib(5))]
    pub max_allowed_payload_size: ByteSize,
    /// How many requests are taken.
    #[block(optional)]
    pub rate_limiting: RateLimitingBlock,
    /// Hands the headers of a request on with its traces.
    #[attr(optional)]
    pub include_metadata: bool,
}

/// A bucket of tokens: a request takes one, and is answered with 429 when there is none.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct RateLimitingBlock {
    /// Limits requests.
    #[attr(default = true)]
    pub enabled: bool,
    /// One bucket for all, or one for each application and environment.
    #[attr(default = Strategy::Global)]
    pub strategy: Strategy,
    /// Tokens that come back in a second.
    #[attr(default = 50.0)]
    pub rate: f64,
    /// The most tokens of a bucket.
    #[attr(default = 100.0)]
    pub burst_size: f64,
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Strategy {
    /// All requests.
    #[word(name = "global", alias = "")]
    Global,
    /// Those of one application and environment, as the payload names them.
    #[word(name = "per_app")]
    PerApp,
}

/// Where source maps come from.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct SourceMapsBlock {
    /// Downloads scripts that stack traces name, and the source maps that the scripts name.
    #[attr(default = true)]
    pub download: bool,
    /// The beginnings of the URLs of which scripts are downloaded; `*` stands for any letters and `?` for one.
    #[attr(default = vec!["*".to_owned()])]
    pub download_from_origins: Vec<String>,
    /// The longest time for one download; 0s is five minutes.
    #[attr(default = GoDuration::from_secs(1))]
    pub download_timeout: GoDuration,
    /// How long source maps are kept.
    #[block(optional)]
    pub cache: CacheBlock,
    /// Where source maps lie; looked at before anything is downloaded.
    #[block]
    pub location: Vec<LocationBlock>,
}

/// How long source maps are kept. At most 10,000 are, of 256 MiB in all; the one that was used longest ago goes first.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct CacheBlock {
    /// How long after its last use.
    #[attr(default = GoDuration(i64::MAX))]
    pub ttl: GoDuration,
    /// When source maps that could not be had are forgotten, so that they are tried again; 0s is never.
    #[attr(default = GoDuration::from_secs(3600))]
    pub error_cleanup_interval: GoDuration,
    /// How often to look for those that were not used; 0s is never.
    #[attr(default = GoDuration::from_secs(30))]
    pub cleanup_check_interval: GoDuration,
}

/// Where source maps lie: the path of the script, without the prefix, under `path`, with `.map` behind it.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LocationBlock {
    /// A folder, or a URL that begins with `http://` or `https://`; `{{ .Release }}` stands for the release of the application.
    #[attr]
    pub path: String,
    /// The beginning of the URLs of the scripts whose source maps lie there.
    #[attr]
    pub minified_path_prefix: String,
}

/// Where the data goes.
#[derive(Block)]
pub struct OutputBlock {
    /// Who gets the lines.
    #[attr(optional)]
    pub logs: Vec<LogsReceiver>,
    /// Who gets the traces.
    #[attr(optional)]
    pub traces: Vec<OtelConsumer>,
}

// === impl ServerBlock ===

impl Validate for ServerBlock {
    fn validate(&self) -> Result<(), Invalid> {
        match u16::try_from(self.listen_port) {
            Ok(_) => Ok(()),
            Err(_) => Err(Invalid::field("listen_port", "must be a port number, 0 to 65535")),
        }
    }
}

impl ServerBlock {
    /// As the server of all push receivers is told.
    pub fn push(&self) -> PushServer {
        let mut server = PushServer { graceful_shutdown_timeout: SHUTDOWN, ..PushServer::default() };
        server.http.listen_address.clone_from(&self.listen_address);
        server.http.listen_port = self.listen_port;
        server
    }
}

// === impl OutputBlock ===

impl OutputBlock {
    /// The consumers of traces.
    pub fn otel(&self) -> Output {
        Output { traces: self.traces.clone(), ..Output::default() }
    }
}

//! What the block holds.

use std::collections::BTreeMap;
use std::time::Duration;

use base_stdx::{ByteSize, GoDuration};
use language_eval::{Arguments, Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_net::{Client, ClientConfig, Options, SendError, address_doubt, check_address};
use sha2::{Digest, Sha256};

/// Sends log entries to Loki, or whatever speaks its push API.
///
/// Each endpoint has a queue of its own: in memory at first, on the disk when the endpoint is slow or down, and what is not
/// sent at a stop is sent after the next start. An entry counts as delivered, and a source may forget it, when the
/// endpoint has answered or when it is on the disk.
///
/// A kill or a crash of the process costs nothing of what a source can read again: files, containers, pods, the journal. Of what
/// clients push (`loki.source.api`, `loki.source.syslog`, `faro.receiver`, `otelcol.exporter.loki`) it costs what is in memory
/// alone, which is what came within `batch_wait` and, while the endpoint does not answer, some 2 s more. With `wal` it costs
/// nothing of that either.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct WriteArguments {
    /// Where to send; every endpoint gets every entry.
    #[block]
    pub endpoint: Vec<Endpoint>,
    /// Labels for every entry that does not have them.
    #[attr(optional)]
    pub external_labels: BTreeMap<String, String>,
    /// Streams in one request at most; entries of further ones are dropped and counted. 0 means no limit.
    #[attr(optional)]
    pub max_streams: i64,
    /// Keep entries on the disk until they are sent: each request that the endpoint has not acknowledged 0.1 s after it was made.
    /// Sources that save how far they have read save it once a request is acknowledged or on the disk. What comes from others is
    /// written to a file before it counts as taken, and a client has its answer: no kill of the process takes it away. That file
    /// is not synced: a power cut takes what came within `batch_wait` and 0.1 s. Entries that a stage of `loki.process` holds back
    /// (`stage.multiline`, `stage.cri`) have not come here yet.
    #[block]
    pub wal: Option<Wal>,
}

/// One receiver of everything.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct Endpoint {
    /// A name of its own, for metrics and for its queue's directory.
    #[attr(optional)]
    pub name: String,
    /// Full address of the push API: `http://loki:3100/loki/api/v1/push`.
    #[attr]
    pub url: String,
    /// A request is sent when its oldest entry has waited this long.
    #[attr(default = GoDuration::from_secs(1))]
    pub batch_wait: GoDuration,
    /// A request is sent when its lines have this size together.
    #[attr(default = ByteSize::mib(1))]
    pub batch_size: ByteSize,
    /// How long one request may take.
    #[attr(default = GoDuration::from_secs(10))]
    pub remote_timeout: GoDuration,
    /// Headers for every request.
    #[attr(optional)]
    pub headers: BTreeMap<String, String>,
    /// The wait before the first retry; each next one doubles it.
    #[attr(default = GoDuration::from_millis(500))]
    pub min_backoff_period: GoDuration,
    /// The longest wait before a retry.
    #[attr(default = GoDuration::from_secs(300))]
    pub max_backoff_period: GoDuration,
    /// Attempts for one request before it is dropped and counted; 0 means any number. With the default an endpoint that
    /// cannot be reached, or answers 429, 502, 503 or 504, is tried for as long as the queue has room, so that an outage
    /// of some hours loses nothing. A negative number means one attempt.
    #[attr(default = DEFAULT_RETRIES)]
    pub max_backoff_retries: i64,
    /// The tenant of entries that name none.
    #[attr(optional)]
    pub tenant_id: String,
    /// Try again when the endpoint answers 429 (too many requests).
    #[attr(default = true)]
    pub retry_on_http_429: bool,
    /// How to get there and who to be.
    #[squash]
    pub client: ClientConfig,
    /// How much may wait, and what happens then.
    #[block(default = QueueConfig::default())]
    pub queue_config: QueueConfig,
}

/// The default of `max_backoff_retries`.
const DEFAULT_RETRIES: i64 = 10;

/// How much may wait.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct QueueConfig {
    /// What waits in memory; beyond it the disk is used.
    #[attr(default = ByteSize::mib(10))]
    pub capacity: ByteSize,
    /// Requests at the same time; entries of one stream always take the same way.
    #[attr(default = 1)]
    pub min_shards: i64,
    /// How long the queue may empty itself at a stop; what is left then is kept on the disk.
    #[attr(default = GoDuration::from_secs(15))]
    pub drain_timeout: GoDuration,
    /// When memory and disk are full, make the sources wait; otherwise new entries are dropped and counted.
    #[attr(default = true)]
    pub block_on_overflow: bool,
}

/// Keep every entry on the disk until it is sent.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default, validate)]
pub struct Wal {
    /// Do so.
    #[attr(optional)]
    pub enabled: bool,
    /// In Alloy, unsent entries older than this are deleted. Here they are kept until they are sent, bounded by size.
    #[attr(default = GoDuration::from_secs(3600))]
    pub max_segment_age: GoDuration,
    /// How often Alloy polls its own log at least; nothing is polled here.
    #[attr(default = GoDuration::from_millis(250))]
    pub min_read_frequency: GoDuration,
    /// How often Alloy polls its own log at most; nothing is polled here.
    #[attr(default = GoDuration::from_secs(1))]
    pub max_read_frequency: GoDuration,
    /// How long the queue may empty itself at a stop.
    #[attr(default = GoDuration::from_secs(15))]
    pub drain_timeout: GoDuration,
}

// === impl WriteArguments ===

impl WriteArguments {
    /// Whether entries that do not arrive at once are written down.
    pub fn has_wal(&self) -> bool {
        self.wal.as_ref().is_some_and(|wal| wal.enabled)
    }
}

impl Validate for WriteArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_streams < 0 {
            return Err(Invalid::field("max_streams", "must not be negative; 0 means no limit"));
        }
        Ok(())
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Tells endpoints apart: the name, or as much of the configuration's hash as Alloy takes.
    pub fn identity(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let digest = Sha256::digest(format!("{self:?}").as_bytes());
        digest[..3].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The directory of its queue within the component's: the same after a change of password or time-out, so that
    /// what is on the disk is sent with the new ones.
    pub fn directory(&self) -> String {
        let name = if self.name.is_empty() { format!("{}\n{}", self.url, self.tenant_id) } else { self.name.clone() };
        let digest = Sha256::digest(name.as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The host as the metrics name it.
    pub fn host(&self) -> String {
        let parsed = url::Url::parse(&self.url).ok();
        let host = parsed.as_ref().and_then(|url| Some((url.host_str()?.to_owned(), url.port())));
        match host {
            Some((host, Some(port))) => format!("{host}:{port}"),
            Some((host, None)) => host,
            None => String::new(),
        }
    }

    /// What Alloy starts with as well, and nothing can be sent with.
    pub fn doubts(&self, place: &str) -> Vec<Problem> {
        let address = address_doubt(&self.url, place, "http://loki:3100/loki/api/v1/push");
        self.client.doubts(place).into_iter().chain(address).collect()
    }

    /// The client for its requests.
    pub fn client(&self) -> Result<Client, SendError> {
        let timeout = duration(self.remote_timeout);
        let options = Options { timeout, connect_timeout: timeout, often: true, ..Options::default() };
        Client::new(self.client.clone(), options)
    }

    /// Attempts before a request is dropped, whatever the failure was.
    pub fn attempts(&self) -> Option<u32> {
        match self.max_backoff_retries {
            0 | DEFAULT_RETRIES => None,
            attempts => Some(at_least_one(attempts)),
        }
    }

    /// Attempts before a request is dropped that the endpoint itself fails on.
    pub fn attempts_on_refusal(&self) -> Option<u32> {
        match self.max_backoff_retries {
            0 => None,
            attempts => Some(at_least_one(attempts)),
        }
    }
}

/// A negative number of retries is none, as in Alloy: each request is sent once.
fn at_least_one(attempts: i64) -> u32 {
    u32::try_from(attempts.max(1)).unwrap_or(u32::MAX)
}

/// A duration that validation has found not to be negative.
pub fn duration(duration: GoDuration) -> Duration {
    duration.to_std().unwrap_or_default()
}

impl Validate for Endpoint {
    fn validate(&self) -> Result<(), Invalid> {
        check_address(&self.url)?;
        for (field, value) in [
            ("batch_wait", self.batch_wait),
            ("remote_timeout", self.remote_timeout),
            ("min_backoff_period", self.min_backoff_period),
            ("max_backoff_period", self.max_backoff_period),
        ] {
            if value.as_nanos() < 0 {
                return Err(Invalid::field(field, "must not be negative"));
            }
        }
        if self.batch_size.to_usize().is_none() {
            return Err(Invalid::field("batch_size", "must not be negative"));
        }
        if self.queue_config.min_shards < 1 {
            return Err(Invalid::field("queue_config", "min_shards must be greater than 0"));
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                return Err(Invalid::field("headers", format!("{name:?} is not the name of a header")));
            }
            if http::HeaderValue::try_from(value.as_str()).is_err() {
                return Err(Invalid::field("headers", format!("the value of {name:?} cannot stand in a header")));
            }
        }
        Ok(())
    }
}

// === impl Wal ===

impl Validate for Wal {
    fn validate(&self) -> Result<(), Invalid> {
        if self.min_read_frequency >= self.max_read_frequency {
            return Err(Invalid::block("max_read_frequency must be greater than min_read_frequency")
                .with_hint("neither has an effect here: nothing is polled"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sdk_testing::component::Alone;

    use crate::write::Write;

    #[tokio::test]
    async fn a_negative_number_of_retries_is_one_attempt() {
        for (retries, attempts, on_refusal) in [
            (-1, Some(1), Some(1)),
            (0, None, None),
            (1, Some(1), Some(1)),
            (10, None, Some(10)),
            (11, Some(11), Some(11)),
        ] {
            let body = format!("endpoint {{\nurl = \"http://a/\"\nmax_backoff_retries = {retries}\n}}");
            let alone = Alone::<Write>::build(&body, &language_eval::Scope::new()).expect("loads");
            let arguments = alone.component.arguments.borrow();
            let endpoint = &arguments.endpoint[0];
            assert_eq!((endpoint.attempts(), endpoint.attempts_on_refusal()), (attempts, on_refusal), "{retries}");
        }
    }

    #[tokio::test]
    async fn a_component_that_could_only_drop_is_refused() {
        let scope = language_eval::Scope::new();
        let error = Alone::<Write>::build("external_labels = {a = \"b\"}", &scope).err().expect("no endpoint");
        assert!(error.to_string().contains("at least one endpoint config must be provided"), "{error}");
    }
}

//! `discovery.http`: targets that a server lists.

use std::sync::Arc;
use std::time::Duration;

use base_stdx::duration::GoDuration;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use language_eval::Arguments;
use sdk_component::metrics::Counter;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_net::client::Options;
use sdk_net::{Client, ClientConfig};
use url::Url;

use crate::groups;
use crate::rounds::{Ask, DiscoveryExports, Found, Rounds, interval};

/// Name of the label that tells where a target was listed.
const URL_LABEL: &str = "__meta_url";

/// Asks a server for targets.
///
/// The server answers with a JSON list of groups, each with `targets` (addresses) and the `labels` that they share, as
/// Prometheus's HTTP service discovery has them, and with the content type `application/json`. Each target gets the label
/// `__meta_url`. What was found last stays while the server cannot be asked or answers something else.
#[derive(Arguments)]
pub struct HttpArguments {
    #[squash]
    client: ClientConfig,
    /// How often the server is asked; also how long an answer may take.
    #[attr(default = GoDuration::from_secs(60))]
    refresh_interval: GoDuration,
    /// Where the list is.
    #[attr]
    url: String,
}

/// The component.
pub struct Http {
    failures: Counter,
    rounds: Rounds<Wanted>,
}

/// Checked arguments.
struct Wanted {
    client: Client,
    /// Without credentials.
    url: Url,
    /// As it was written.
    shown: String,
    headers: HeaderMap,
    interval: Duration,
    failures: Counter,
}

impl Component for Http {
    const NAME: &'static str = "discovery.http";

    type Arguments = HttpArguments;
    type Exports = DiscoveryExports;

    fn build(context: &Context, arguments: HttpArguments) -> Result<Http, Problem> {
        let help = "Number of HTTP service discovery refresh failures.";
        let failures = context.metrics().counter("prometheus_sd_http_failures_total", help);
        let wanted = check(arguments, failures.clone())?;
        Ok(Http { failures, rounds: Rounds::new(context, "http", wanted) })
    }

    fn update(&self, arguments: HttpArguments) -> Result<Update, Problem> {
        Ok(self.rounds.update(check(arguments, self.failures.clone())?))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.rounds.run(stop).await;
        Ok(())
    }
}

// === impl Wanted ===

impl Ask for Wanted {
    type Memory = ();

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn ask(&self, (): &mut ()) -> Result<Found, String> {
        let listed = self.list().await.inspect_err(|_| self.failures.inc())?;
        Ok(Found { targets: listed, problem: None })
    }
}

impl Wanted {
    async fn list(&self) -> Result<Vec<language_eval::Target>, String> {
        let mut request = Request::get(self.url.as_str()).body(Bytes::new()).map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("server returned HTTP status {}", answer.status));
        }
        let content_type = answer.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let content_type = content_type.unwrap_or_default();
        if !is_json(content_type) {
            return Err(format!("unsupported content type {content_type:?}"));
        }
        groups::from_json(&answer.body, (URL_LABEL, &self.shown))
    }
}

/// `application/json`, alone or with the only character set that JSON has.
fn is_json(content_type: &str) -> bool {
    let content_type = content_type.trim().to_ascii_lowercase();
    let Some(rest) = content_type.strip_prefix("application/json") else { return false };
    let charset = rest.strip_prefix(';').map(str::trim_start);
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
}

fn check(arguments: HttpArguments, failures: Counter) -> Result<Wanted, Problem> {
    let interval = interval(arguments.refresh_interval)?;
    let shown = arguments.url;
    let mut url = Url::parse(&shown).map_err(|error| Problem::at("url", format!("cannot read url: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Problem::at("url", "the scheme of url must be http or https"));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let seconds =
        HeaderValue::try_from(interval.as_secs_f64().to_string()).map_err(|error| Problem::new(error.to_string()))?;
    headers.insert("x-prometheus-refresh-interval-seconds", seconds);
    if let Some(credentials) = credentials(&url) {
        headers.insert(header::AUTHORIZATION, credentials);
        // Both only fail for URLs without a host, which these schemes have not.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
    }
    let options = Options {
        timeout: interval,
        connect_timeout: interval,
        max_response_bytes: groups::MAX_TEXT,
        max_idle_connections: 1,
        ..Options::default()
    };
    let client = Client::new(arguments.client, options).map_err(|error| Problem::new(error.to_string()))?;
    Ok(Wanted { client, url, shown, headers, interval, failures })
}

/// Those in the URL itself.
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decoded(text);
    let pair = [decoded(url.username()), b":".to_vec(), decoded(url.password().unwrap_or_default())].concat();
    let mut value =
        HeaderValue::try_from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `%40` → `@`
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

#[cfg(test)]
mod tests;

//! What to scrape: a target of discovery, once its labels are looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use base_stdx::{GoDuration, PrometheusDuration};
use language_eval::Target as Discovered;
use sdk_component::Problem;
use sdk_labels::{Labels, LabelsBuilder};

use super::arguments::ScrapeArguments;
use super::listed::Wanted;

/// Targets whose turns fall into one such step are scraped together: the collector wakes up once for all of them, and what
/// the first has brought into the processor's caches serves the others. Short enough that they still are few.
const STEP: Duration = Duration::from_millis(50);

/// A page to scrape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// What its samples are labelled with.
    pub(crate) labels: Labels,
    /// `host:port`
    pub(crate) address: String,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// What is read out of its pages: as the block says, but for what its own labels say.
    pub(crate) wanted: Wanted,
    /// Of its address and all labels, hidden ones too: two targets with the same are one.
    pub(crate) hash: u64,
}

/// What whoever wrote this target should know: why it will not be scraped, and what to write.
pub(crate) fn doubt(found: &Discovered, arguments: &ScrapeArguments) -> Option<Problem> {
    let error = Target::new(found, arguments, "").err()?;
    let written: BTreeMap<&str, &str> = found.iter().collect();
    let address = written.get("__address__").copied().unwrap_or_default();
    let hint = match (address, written.first_key_value()) {
        ("", Some((name, value))) if written.len() == 1 => {
            format!("the address has this name: {{ \"__address__\" = {value:?} }}, and not {name:?}")
        }
        ("", _) => "say where it is: { \"__address__\" = \"host:port\", … }".to_owned(),
        (address, _) => {
            let (scheme, rest) = address.split_once("://").unwrap_or((&arguments.scheme, address));
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = if path.is_empty() { "metrics" } else { path };
            format!(
                "an address is host and port alone: {{ \"__address__\" = {host:?}, \"__scheme__\" = {scheme:?}, \"__metrics_path__\" = \"/{path}\" }}"
            )
        }
    };
    let is_address = address.is_empty() || address.contains('/');
    let problem = Problem::at("targets", format!("a target cannot be scraped: {error}"));
    Some(if is_address { problem.with_hint(hint) } else { problem })
}

impl Target {
    /// The target, or why it cannot be scraped.
    pub(crate) fn new(found: &Discovered, arguments: &ScrapeArguments, job: &str) -> Result<Target, String> {
        let mut labels = LabelsBuilder::new(&Labels::from_pairs(found.iter()));
        let text = |duration: GoDuration| PrometheusDuration(duration.as_nanos() / 1_000_000).to_string();
        let (interval, timeout) = (text(arguments.scrape_interval), text(arguments.scrape_timeout));
        for (name, value) in [
            ("job", job),
            ("__scrape_interval__", &interval),
            ("__scrape_timeout__", &timeout),
            ("__metrics_path__", &arguments.metrics_path),
            ("__scheme__", &arguments.scheme),
        ] {
            if labels.get(name).is_empty() {
                labels.set(name, value);
            }
        }
        for (name, values) in &arguments.params {
            let name = format!("__param_{name}");
            if labels.get(&name).is_empty() {
                labels.set(&name, values.first().map_or("", String::as_str));
            }
        }

        let address = labels.get("__address__").to_owned();
        if address.is_empty() {
            return Err("no address".to_owned());
        }
        if address.contains('/') {
            return Err(format!("{address:?} is not a valid hostname"));
        }
        let interval = duration(labels.get("__scrape_interval__"), "interval")?;
        let timeout = duration(labels.get("__scrape_timeout__"), "timeout")?;
        if timeout > interval {
            return Err(format!("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"));
        }
        let mut wanted = arguments.wanted();
        for (name, wanted) in [
            ("__scrape_native_histograms__", &mut wanted.native),
            ("__always_scrape_classic_histograms__", &mut wanted.keep_classic),
            ("__convert_classic_histograms_to_nhcb__", &mut wanted.convert_classic),
        ] {
            // The words that Go takes for a truth value.
            match labels.get(name) {
                "" => {}
                "true" | "1" | "t" | "T" | "True" | "TRUE" => *wanted = true,
                "false" | "0" | "f" | "F" | "False" | "FALSE" => *wanted = false,
                value => return Err(format!("label {name}={value:?} is neither true nor false")),
            }
        }

        let meta: Vec<String> =
            labels.iter().map(|(name, _)| name).filter(|name| name.starts_with("__meta_")).map(str::to_owned).collect();
        for name in meta {
            labels.remove(&name);
        }
        if labels.get("instance").is_empty() {
            labels.set("instance", &address);
        }
        let all = labels.labels();
        let url = url(&all, &arguments.params);
        let public = all.iter().filter(|(name, _)| !name.starts_with("__"));
        Ok(Target {
            labels: Labels::from_pairs(public),
            hash: fnv64a(format!("{:016}", all.hash()).bytes().chain(url.bytes())),
            address,
            url,
            interval,
            timeout,
            wanted,
        })
    }

    /// How long after now the first scrape comes. Times of day at which a target is scraped stay the same however often
    /// we are restarted, and are spread over the interval, in steps of [`STEP`].
    pub(crate) fn offset(&self, now_ns: i64, seed: u64) -> Duration {
        let interval = self.interval.as_nanos().max(1) as u64;
        let base = interval - now_ns.max(0) as u64 % interval;
        let place = (self.hash ^ seed) % interval;
        let next = base + place - place % STEP.as_nanos() as u64;
        Duration::from_nanos(if next > interval { next - interval } else { next })
    }
}

fn duration(text: &str, what: &str) -> Result<Duration, String> {
    let parsed: PrometheusDuration = text.parse().map_err(|error| format!("error parsing scrape {what}: {error}"))?;
    match Duration::from_millis(parsed.0.max(0) as u64) {
        Duration::ZERO => Err(format!("scrape {what} cannot be 0")),
        duration => Ok(duration),
    }
}

/// `scheme://address/path?query`, the query by name; a `__param_` label gives the first value of its name.
fn url(labels: &Labels, params: &BTreeMap<String, Vec<String>>) -> String {
    let mut params = params.clone();
    for (name, value) in labels {
        let Some(name) = name.strip_prefix("__param_") else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => *first = value.to_owned(),
            None => values.push(value.to_owned()),
        }
    }
    let label = |name: &str| labels.get(name).unwrap_or("");
    let path = label("__metrics_path__");
    let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
    let mut url = format!("{}://{}{slash}", label("__scheme__"), label("__address__"));
    escape(path, b"/$&+,:;=@-_.~!*'()", false, &mut url);
    let mut separator = '?';
    for (name, value) in params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value))) {
        url.push(separator);
        separator = '&';
        escape(name, b"-_.~", true, &mut url);
        url.push('=');
        escape(value, b"-_.~", true, &mut url);
    }
    url
}

fn escape(text: &str, kept: &[u8], query: bool, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' if query => to.push('+'),
            byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => to.push(char::from(byte)),
            byte => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn fnv64a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use language_eval::Scope;
    use sdk_testing::component::decode;

    use super::*;

    fn target(labels: &[(&str, &str)], more: &str) -> Result<Target, String> {
        let arguments: ScrapeArguments = decode(&format!("targets = []\nforward_to = []\n{more}"), &Scope::new())?;
        Target::new(&labels.iter().copied().collect(), &arguments, "prometheus.scrape.test")
    }

    #[test]
    fn hidden_labels_say_where_and_how() {
        let labels = [
            ("__address__", "h:1"),
            ("__metrics_path__", "/a b"),
            ("__scheme__", "https"),
            ("__param_x", "9"),
            ("__meta_m", "1"),
            ("__scrape_interval__", "5s"),
            ("__scrape_timeout__", "2s"),
            ("env", "test"),
        ];
        let target = target(&labels, "params = { x = [\"1\", \"2 3\"], a = [\"ü\"] }").expect("a good target");
        assert_eq!(target.url, "https://h:1/a%20b?a=%C3%BC&x=9&x=2+3");
        assert_eq!(target.labels.to_string(), r#"{env="test", instance="h:1", job="prometheus.scrape.test"}"#);
        assert_eq!((target.interval, target.timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    }

    #[test]
    fn who_writes_a_target_that_cannot_be_scraped_is_told_what_to_write() {
        let arguments: ScrapeArguments = decode("targets = []\nforward_to = []", &Scope::new()).expect("it decodes");
        for (labels, message, hint) in [
            (vec![("address", "h:1")], "no address", Some(r#"{ "__address__" = "h:1" }, and not "address""#)),
            (vec![("host", "h"), ("port", "1")], "no address", Some(r#"{ "__address__" = "host:port", … }"#)),
            (
                vec![("__address__", "https://h:1/m/x")],
                "is not a valid hostname",
                Some(r#"{ "__address__" = "h:1", "__scheme__" = "https", "__metrics_path__" = "/m/x" }"#),
            ),
            (
                vec![("__address__", "h:1/")],
                "is not a valid hostname",
                Some(r#"{ "__address__" = "h:1", "__scheme__" = "http", "__metrics_path__" = "/metrics" }"#),
            ),
            (vec![("__address__", "h"), ("__scrape_timeout__", "2m")], "cannot be greater than scrape interval", None),
        ] {
            let found: Discovered = labels.iter().copied().collect();
            let doubt = doubt(&found, &arguments).expect("it is doubted");
            assert!(doubt.message.contains(message), "{doubt:?}");
            assert_eq!(
                doubt.hint.as_deref().map(|said| said.contains(hint.unwrap_or("?"))),
                hint.map(|_| true),
                "{doubt:?}"
            );
        }
        let found: Discovered = [("__address__", "h:1")].into_iter().collect();
        assert!(doubt(&found, &arguments).is_none());
    }

    #[test]
    fn a_target_that_cannot_be_scraped_says_why() {
        for (labels, expect) in [
            (vec![("a", "b")], "no address"),
            (vec![("__address__", "h/x")], "is not a valid hostname"),
            (vec![("__address__", "h"), ("__scrape_interval__", "x")], "error parsing scrape interval"),
            (vec![("__address__", "h"), ("__scrape_interval__", "0s")], "scrape interval cannot be 0"),
            (vec![("__address__", "h"), ("__scrape_timeout__", "2m")], "cannot be greater than scrape interval"),
        ] {
            let error = target(&labels, "").expect_err(expect);
            assert!(error.contains(expect), "{labels:?}: {error}");
        }
    }

    #[test]
    fn scrapes_are_spread_and_stay_where_they_are() {
        let one = target(&[("__address__", "a:1")], "").expect("a good target");
        let other = target(&[("__address__", "b:1")], "").expect("a good target");
        let minute = 60_000_000_000;
        let at = |target: &Target, now: i64| (now + target.offset(now, 7).as_nanos() as i64) % minute;
        assert_eq!(at(&one, 1_000), at(&one, 987_654_321_012));
        assert_ne!(at(&one, 0), at(&other, 0));
        assert!(one.offset(5, 7) <= one.interval);
    }
}

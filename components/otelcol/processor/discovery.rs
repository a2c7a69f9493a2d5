//! `otelcol.processor.discovery`: labels of targets on the spans that come from them.

use std::collections::HashMap;
use std::net::IpAddr;

use language_eval::{Block, Target, Word};
use sdk_component::{Context, Problem};
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit::{self, Attributes, any};
use sdk_protocols_otlp::walk::Any;
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::processing::{Processing, Processor};

/// Adds the labels of discovered targets to the resources of spans that come from the same address. Labels that begin with
/// two underscores are not added.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// The targets; the host in `__address__` is what spans are compared with.
    #[attr]
    pub targets: Vec<Target>,
    /// What is done: adds attributes that are not there (`insert`), replaces those that are (`update`), or both (`upsert`).
    #[attr(default = Operation::Upsert)]
    pub operation_type: Operation,
    /// Where the address of a span's pod is looked for; the first that is there counts.
    #[attr(default = Association::ALL.to_vec())]
    pub pod_associations: Vec<Association>,
    /// Where to send the spans.
    #[block(required)]
    pub output: Output,
}

/// What is done with a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Operation {
    /// Adds it.
    Insert,
    /// Replaces it.
    Update,
    /// Adds or replaces it.
    Upsert,
}

/// Where an address is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Association {
    /// The attribute `ip`.
    #[word(name = "ip")]
    Ip,
    /// The attribute `net.host.ip`.
    #[word(name = "net.host.ip")]
    HostIp,
    /// The attribute `k8s.pod.ip`.
    #[word(name = "k8s.pod.ip")]
    PodIp,
    /// The attribute `host.name`, if it is an address.
    #[word(name = "hostname")]
    Hostname,
    /// Whoever sent the spans.
    #[word(name = "connection")]
    Connection,
}

/// The labels, ready to be added.
pub struct Discovery {
    /// By host, names and encoded values.
    labels: HashMap<String, Vec<(String, Vec<u8>)>>,
    operation: Operation,
    associations: Vec<Association>,
}

/// `otelcol.processor.discovery`.
pub type Component = Processing<Discovery>;

// === impl Association ===

impl Association {
    const ALL: [Association; 5] =
        [Association::Ip, Association::HostIp, Association::PodIp, Association::Hostname, Association::Connection];

    fn address(self, attributes: &Attributes<'_>, peer: Option<IpAddr>) -> Option<String> {
        let text = |name: &str| match attributes.get(name.as_bytes())?.get() {
            Any::Text(text) if !text.is_empty() => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        match self {
            Association::Ip => text("ip"),
            Association::HostIp => text("net.host.ip"),
            Association::PodIp => text("k8s.pod.ip"),
            Association::Hostname => text("host.name").filter(|host| host.parse::<IpAddr>().is_ok()),
            Association::Connection => peer.map(|peer| peer.to_canonical().to_string()),
        }
    }
}

// === impl Discovery ===

impl Processor for Discovery {
    const NAME: &'static str = "otelcol.processor.discovery";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces];
    type Arguments = Arguments;

    fn new(_: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        if !arguments.output.of(OtlpSignal::Logs).is_empty() || !arguments.output.of(OtlpSignal::Metrics).is_empty() {
            tracing::warn!("this component takes traces only; nothing goes to the other outputs");
        }
        let mut labels = HashMap::new();
        for target in &arguments.targets {
            let Some(host) = target.get("__address__").and_then(host) else {
                tracing::warn!(address = target.get("__address__"), "ignoring a target without a usable address");
                continue;
            };
            let kept = target.iter().filter(|(name, _)| !name.starts_with("__"));
            let kept = kept.map(|(name, value)| (name.to_owned(), any::text(value.as_bytes())));
            labels.insert(host.to_owned(), kept.collect());
        }
        let associations = arguments.pod_associations.clone();
        Ok(Discovery { labels, operation: arguments.operation_type, associations })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let peer = batch.origin.as_ref().and_then(|origin| origin.peer);
        for payload in &mut batch.payload {
            if let Some(told) = edit::resources(payload, |_, attributes| self.tell(attributes, peer)) {
                *payload = told.into();
            }
        }
        Ok(batch)
    }
}

impl Discovery {
    fn tell(&self, attributes: &mut Attributes<'_>, peer: Option<IpAddr>) {
        let address = self.associations.iter().find_map(|association| association.address(attributes, peer));
        let Some(labels) = address.and_then(|address| self.labels.get(&address)) else { return };
        for (name, value) in labels {
            match self.operation {
                Operation::Insert => attributes.insert(name.as_bytes(), value),
                Operation::Update => attributes.update(name.as_bytes(), value),
                Operation::Upsert => attributes.upsert(name.as_bytes(), value),
            }
        }
    }
}

/// An address without its port: `host`, `host:port`, `[::1]:port`.
fn host(address: &str) -> Option<&str> {
    if !address.contains(':') {
        return Some(address);
    }
    let (host, _) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']'),
        None => (!host.contains(':')).then_some(host),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sdk_signals::Origin;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::Bench;

    const TARGETS: &str = r#"targets = [
        {"__address__" = "1.2.2.2:80", "__meta_x" = "no", "job" = "web", "zone" = "a"},
        {"__address__" = "[::1]:80", "job" = "six"},
        {"job" = "nowhere"},
    ]"#;

    async fn told(more: &str, attributes: &[(&str, &str)], peer: Option<IpAddr>) -> Vec<(String, String)> {
        let config = format!("{TARGETS}\n{more}\noutput {{\n traces = [next]\n}}\n");
        let mut bench = Bench::<Component>::start(&config).unwrap();
        let attributes: Vec<Json> =
            attributes.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect();
        let payload = json!({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [{"name": "s"}]}]}]});
        bench.send_from(&payload, Origin { peer, ..Origin::default() }).await.unwrap().detach();
        bench.alone.stop().await.unwrap();
        let out = bench.out();
        let pairs = out[0]["resourceSpans"][0]["resource"]["attributes"].as_array().cloned().unwrap_or_default();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        pairs.iter().map(|pair| (text(&pair["key"]), text(&pair["value"]["stringValue"]))).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn each_operation_does_its_own() {
        let sent = [("ip", "1.2.2.2"), ("job", "mine")];
        for (operation, expected) in [
            ("insert", &[("ip", "1.2.2.2"), ("job", "mine"), ("zone", "a")][..]),
            ("update", &[("ip", "1.2.2.2"), ("job", "web")]),
            ("upsert", &[("ip", "1.2.2.2"), ("job", "web"), ("zone", "a")]),
        ] {
            assert_eq!(
                told(&format!("operation_type = {operation:?}"), &sent, None).await,
                pairs(expected),
                "{operation}"
            );
        }
    }

    #[tokio::test]
    async fn the_first_address_counts() {
        let peer = Some(IpAddr::V4(Ipv4Addr::new(1, 2, 2, 2)));
        assert_eq!(told("", &[], peer).await, pairs(&[("job", "web"), ("zone", "a")]));
        assert_eq!(told("", &[("net.host.ip", "::1")], peer).await, pairs(&[("net.host.ip", "::1"), ("job", "six")]));
        assert_eq!(told("", &[("host.name", "::1")], peer).await, pairs(&[("host.name", "::1"), ("job", "six")]));
        assert_eq!(told("", &[("ip", "9.9.9.9")], peer).await, pairs(&[("ip", "9.9.9.9")]));
        let named = [("host.name", "web-0")];
        assert_eq!(told("", &named, peer).await, pairs(&[("host.name", "web-0"), ("job", "web"), ("zone", "a")]));
        assert_eq!(told("pod_associations = [\"hostname\"]", &named, peer).await, pairs(&named));
    }

    #[tokio::test]
    async fn only_spans_are_taken_and_unknown_words_are_refused() {
        let bench = Bench::<Component>::start(&format!("{TARGETS}\noutput {{\n traces = [next]\n logs = [next]\n}}\n"))
            .unwrap();
        let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]});
        assert!(!bench.send(&logs).await.unwrap_err().retryable);
        for (more, word) in [("operation_type = \"delete\"", "delete"), ("pod_associations = [\"mac\"]", "mac")] {
            let error =
                Bench::<Component>::start(&format!("{TARGETS}\n{more}\noutput {{ }}\n")).err().unwrap_or_default();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn hosts_are_found_in_addresses() {
        for (address, expected) in [
            ("web", Some("web")),
            ("web:80", Some("web")),
            ("1.2.3.4:80", Some("1.2.3.4")),
            ("[::1]:80", Some("::1")),
            ("::1", None),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}

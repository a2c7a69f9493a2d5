//! Our own metrics beside Alloy's: names, types and labels, as dashboards ask for them.

use std::collections::{BTreeMap, BTreeSet};

use language_eval::{Scope, Value};
use sdk_testing::component::Alone;
use sdk_testing::oracle;
use serde_json::Value as Json;

use crate::relabel::Relabel;
use crate::remote_write::RemoteWrite;
use crate::scrape::Scrape;
use crate::testing::{Answer, Peer};

/// Name → type and label names.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

#[tokio::test]
async fn metrics_have_alloys_names_types_and_labels() {
    let Some(text) = oracle::text("pipelines/prometheus_metrics/component_metrics.json") else { return };
    let recorded: Json = serde_json::from_str(&text).expect("JSON");

    let target = Peer::start(vec![Answer::page("text/plain", "a 1\n")]).await;
    let receiver = Peer::start(vec![Answer::status(204)]).await;
    let write = format!(
        "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}",
        receiver.address
    );
    let mut write = Alone::<RemoteWrite>::start(&write, &Scope::new()).expect("it starts");
    let mut names = Scope::new();
    names.set("write", Value::Object(write.context.exports())).expect("a free name");
    let mut relabel = Alone::<Relabel>::start("forward_to = [write.receiver]", &names).expect("it starts");
    names.set("relabel", Value::Object(relabel.context.exports())).expect("a free name");
    let scrape = format!(
        "targets = [{{ __address__ = \"{}\" }}]\nforward_to = [relabel.receiver]\nscrape_interval = \"500ms\"\nscrape_timeout = \"400ms\"",
        target.address
    );
    let mut scrape = Alone::<Scrape>::start(&scrape, &names).expect("it starts");
    target.wait_for(2).await;
    receiver.wait_for(1).await;

    let mut group = oracle::Group::new("prometheus_metrics");
    for (component, page) in [
        ("prometheus.scrape", scrape.metrics()),
        ("prometheus.relabel", relabel.metrics()),
        ("prometheus.remote_write", write.metrics()),
    ] {
        let ours = families(&page);
        for (name, theirs) in recorded[component].as_object().expect("families") {
            group.case(&format!("{component} {name}"), difference(ours.get(name), theirs));
        }
    }
    for stopped in [scrape.stop().await, relabel.stop().await, write.stop().await] {
        stopped.expect("it stops");
    }
    group.finish();
}

fn difference(ours: Option<&(String, BTreeSet<String>)>, theirs: &Json) -> Option<String> {
    let labels: BTreeSet<String> =
        theirs["labels"].as_array()?.iter().filter_map(|one| one.as_str()).map(str::to_owned).collect();
    let theirs = (theirs["type"].as_str()?.to_owned(), labels);
    match ours {
        None => Some("it is not there".to_owned()),
        Some(ours) if *ours == theirs => None,
        Some(ours) => Some(format!("ours {ours:?}, Alloy's {theirs:?}")),
    }
}

fn families(page: &str) -> Families {
    let mut families = Families::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let (false, Some((_, rest))) = (line.starts_with('#'), line.split_once('{')) {
            let labels = rest.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
            // What stands behind the last value is no label.
            let labels: Vec<_> = labels.take(rest.matches("=\"").count()).filter(|label| *label != "le").collect();
            if let Some((_, all)) = families.get_mut(&current) {
                all.extend(labels.into_iter().map(str::to_owned));
            }
        }
    }
    families
}

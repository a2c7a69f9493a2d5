//! A connector between spans in JSON going in and JSON coming out, for tests.

use base_sys::clock;
use sdk_component::Component;
use sdk_testing::oracle::{Group, cases};
use serde_json::{Value as Json, json};

pub use sdk_testing::otlp::{as_sets, comparable, inside};
pub use sdk_testing::pipeline::Bench;

/// Where the clock stands in recorded cases: what Alloy wrote as the time of processing.
pub const NOW: i64 = 1_790_000_000_000_000_000;

/// Seconds of the paused clock until what was recorded must have come.
const PATIENCE: usize = 10;

/// Plays the recorded cases of a connector. Its group in the list of differences is `otelcol_<name>`.
///
/// What was recorded must be among what is sent, as counters are told again and again and Alloy's were not all recorded. A
/// payload with nothing in it is none.
pub async fn recorded<C: Component>(name: &str) {
    let Some(rows) = cases::<Json>(&format!("pipelines/otelcol/{name}.jsonl")) else { return };
    let mut group = Group::new(&format!("otelcol_{name}"));
    let _clock = clock::hold(NOW);
    for row in rows {
        group.case(row["id"].as_str().unwrap(), play::<C>(&row).await.err());
    }
    group.finish();
}

async fn play<C: Component>(row: &Json) -> Result<(), String> {
    let started = Bench::<C>::start(&inside(row["config"].as_str().unwrap()));
    if row.get("load_error").or(row.get("unhealthy")).is_some() {
        return started.map_or(Ok(()), |_| Err(format!("loads; alloy: {} {}", row["load_error"], row["unhealthy"])));
    }
    let bench = started?;
    for payload in row["input"].as_array().unwrap() {
        match payload.get("sleep").and_then(Json::as_f64) {
            Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await,
            None => bench.send(payload).await.unwrap().detach(),
        }
    }
    let full = |payload: &&Json| payload.as_object().is_some_and(|p| p.values().any(|list| list != &json!([])));
    let alloy: Vec<&Json> = row["expected"].as_array().unwrap().iter().map(|e| &e["payload"]).filter(full).collect();
    let alloy = json!(alloy).to_string().replace("\"now\"", &format!("\"{NOW}\""));
    let mut alloy = comparable(&serde_json::from_str(&alloy).unwrap());
    let sets = row.get("order").is_some();
    if sets {
        as_sets(&mut alloy);
    }
    let many = alloy.as_array().unwrap().len();
    let mut ours = Vec::new();
    for _ in 0..PATIENCE {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let out = bench.out();
        ours = out.iter().filter(full).map(comparable).collect();
        if sets {
            ours.iter_mut().for_each(as_sets);
        }
        if ours.windows(many).any(|some| json!(some) == alloy) {
            return Ok(());
        }
    }
    Err(format!("alloy: {alloy}\nours:  {}", json!(ours)))
}

//! From exec to ready.

use super::Row;
use crate::agent::Candidate;

/// exec to ready: the smallest useful configuration, and 1,000 components. The item is one start of the latter.
pub async fn run(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let small = "prometheus.exporter.unix \"host\" { }\n\
                 prometheus.scrape \"host\" {\n\ttargets = prometheus.exporter.unix.host.targets\n\tforward_to = [prometheus.remote_write.x.receiver]\n}\n\
                 prometheus.remote_write \"x\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/api/v1/write\"\n\t}\n}\n";
    let mut large =
        String::from("loki.write \"w\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/loki/api/v1/push\"\n\t}\n}\n");
    large += "prometheus.remote_write \"w\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/api/v1/write\"\n\t}\n}\n";
    for n in 0..400 {
        large += &format!(
            "discovery.relabel \"r{n}\" {{\n\ttargets = [{{\"__address__\" = \"127.0.0.1:9\", \"n\" = \"{n}\"}}]\n\trule {{\n\t\tsource_labels = [\"n\"]\n\t\ttarget_label = \"m\"\n\t}}\n}}\n"
        );
        large += &format!(
            "prometheus.scrape \"s{n}\" {{\n\ttargets = discovery.relabel.r{n}.output\n\tscrape_interval = \"1h\"\n\tforward_to = [prometheus.remote_write.w.receiver]\n}}\n"
        );
    }
    for n in 0..198 {
        large += &format!(
            "loki.process \"p{n}\" {{\n\tstage.json {{\n\t\texpressions = {{level = \"\"}}\n\t}}\n\tforward_to = [loki.write.w.receiver]\n}}\n"
        );
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut last = None;
    for _ in 0..5 {
        for (config, times) in [small, &large].into_iter().zip(&mut times) {
            let folder = tempfile::tempdir()?;
            let agent = candidate.start(folder.path(), config, "").await?;
            times.push(agent.ready().await?);
            last = Some((agent.cpu()?, agent.memory()?));
            agent.stop().await?;
        }
    }
    let [small, large] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (cpu, memory) = last.expect("five runs");
    Ok(Some(Row {
        kind: candidate.kind,
        micros_per_item: cpu.as_secs_f64() * 1e6,
        unit: "start",
        anonymous_mib: memory.anonymous as f64 / 1024.0,
        file_mib: memory.file as f64 / 1024.0,
        wire_bytes_per_item: 0.0,
        note: format!("ready after {small:.1?} (3 components), {large:.1?} (1,000 components); medians of 5"),
    }))
}

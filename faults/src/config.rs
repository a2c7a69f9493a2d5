//! The configurations under test: a file is tailed into Loki, in the few lines that most users write; what is pushed is passed
//! on.

use std::path::Path;

use crate::pushes::Kind;

/// What differs between scenarios.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Ports of the endpoints of one `loki.write`.
    pub endpoints: Vec<u16>,
    /// `wal { enabled = true }`.
    pub wal: bool,
    /// Ports of further `loki.write` components beside it.
    pub beside: Vec<u16>,
}

impl Config {
    /// One endpoint.
    pub fn to(port: u16, wal: bool) -> Config {
        Config { endpoints: vec![port], wal, beside: Vec::new() }
    }

    /// As text. Back-off is short, so that a scenario does not wait for minutes, and requests are tried for ever.
    pub fn text(&self, log: &Path) -> String {
        let mut text = String::new();
        let mut receivers = Vec::new();
        let writes = [self.endpoints.clone()].into_iter().chain(self.beside.iter().map(|port| vec![*port]));
        for (number, ports) in writes.enumerate() {
            receivers.push(format!("loki.write.w{number}.receiver"));
            text += &format!("loki.write \"w{number}\" {{\n");
            for (index, port) in ports.iter().enumerate() {
                text += &format!(
                    "\tendpoint {{\n\t\tname = \"e{index}\"\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t\tbatch_wait = \"100ms\"\n\
                     \t\tmin_backoff_period = \"50ms\"\n\t\tmax_backoff_period = \"500ms\"\n\t\tmax_backoff_retries = 0\n\t}}\n"
                );
            }
            if self.wal {
                text += "\twal {\n\t\tenabled = true\n\t}\n";
            }
            text += "}\n";
        }
        format!(
            "local.file_match \"a\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\"}}]\n}}\n\
             loki.source.file \"a\" {{\n\ttargets = local.file_match.a.targets\n\tforward_to = [{}]\n}}\n{text}",
            log.display(),
            receivers.join(", "),
        )
    }
}

/// How spans are kept until the backend has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In memory, as by default; samples are on their way at once.
    Memory,
    /// The same, and a batch processor in front; samples wait for their request to fill, as by default.
    Batches,
    /// In a durable queue.
    Storage,
}

/// What is pushed is passed on to this port.
pub fn relay(kind: Kind, keeping: Keeping, port: u16) -> String {
    match kind {
        Kind::Spans => {
            let next =
                if keeping == Keeping::Batches { "otelcol.processor.batch.a" } else { "otelcol.exporter.otlphttp.a" };
            let storage =
                if keeping == Keeping::Storage { "\t\tstorage = otelcol.storage.file.a.handler\n" } else { "" };
            format!(
                "otelcol.receiver.otlp \"a\" {{\n\thttp {{\n\t\tendpoint = \"127.0.0.1:0\"\n\t}}\n\toutput {{\n\t\ttraces = [{next}.input]\n\t}}\n}}\n\
                 otelcol.processor.batch \"a\" {{\n\toutput {{\n\t\ttraces = [otelcol.exporter.otlphttp.a.input]\n\t}}\n}}\n\
                 otelcol.storage.file \"a\" {{ }}\n\
                 otelcol.exporter.otlphttp \"a\" {{\n\tclient {{\n\t\tendpoint = \"http://127.0.0.1:{port}\"\n\t\tcompression = \"none\"\n\t}}\n\
                 \tretry_on_failure {{\n\t\tinitial_interval = \"50ms\"\n\t\tmax_interval = \"500ms\"\n\t\tmax_elapsed_time = \"0s\"\n\t}}\n\
                 \tsending_queue {{\n{storage}\t}}\n}}\n"
            )
        }
        Kind::Samples => {
            let deadline = match keeping {
                Keeping::Batches => "",
                Keeping::Memory | Keeping::Storage => "\t\t\tbatch_send_deadline = \"100ms\"\n",
            };
            format!(
                "prometheus.receive_http \"a\" {{\n\thttp {{\n\t\tlisten_address = \"127.0.0.1\"\n\t\tlisten_port = 0\n\t}}\n\
             \tforward_to = [prometheus.remote_write.a.receiver]\n}}\n\
             prometheus.remote_write \"a\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/api/v1/write\"\n\
             \t\tqueue_config {{\n\t\t\tmin_backoff = \"30ms\"\n\t\t\tmax_backoff = \"500ms\"\n{deadline}\t\t}}\n\t}}\n}}\n"
            )
        }
    }
}

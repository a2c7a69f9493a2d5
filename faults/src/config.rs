//! The configurations under test: a file is tailed into Loki, in the few lines that most users write; what is pushed is passed
//! on.

use std::path::Path;
use std::time::Duration;

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
    /// Requests fill for a second, as by default.
    pub fills: bool,
}

impl Config {
    /// One endpoint.
    pub fn to(port: u16, wal: bool) -> Config {
        Config { endpoints: vec![port], wal, ..Config::default() }
    }

    /// As text.
    pub fn text(&self, log: &Path) -> String {
        let (receivers, text) = self.writes();
        format!(
            "local.file_match \"a\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\"}}]\n}}\n\
             loki.source.file \"a\" {{\n\ttargets = local.file_match.a.targets\n\tforward_to = [{}]\n}}\n{text}",
            log.display(),
            receivers.join(", "),
        )
    }

    /// The receivers, and their components. Back-off is short, so that a scenario does not wait for minutes, and requests are
    /// tried for ever.
    fn writes(&self) -> (Vec<String>, String) {
        let mut text = String::new();
        let mut receivers = Vec::new();
        let batch_wait = if self.fills { "" } else { "\t\tbatch_wait = \"100ms\"\n" };
        let writes = [self.endpoints.clone()].into_iter().chain(self.beside.iter().map(|port| vec![*port]));
        for (number, ports) in writes.enumerate() {
            receivers.push(format!("loki.write.w{number}.receiver"));
            text += &format!("loki.write \"w{number}\" {{\n");
            for (index, port) in ports.iter().enumerate() {
                text += &format!(
                    "\tendpoint {{\n\t\tname = \"e{index}\"\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n{batch_wait}\
                     \t\tmin_backoff_period = \"50ms\"\n\t\tmax_backoff_period = \"500ms\"\n\t\tmax_backoff_retries = 0\n\t}}\n"
                );
            }
            if self.wal {
                text += "\twal {\n\t\tenabled = true\n\t}\n";
            }
            text += "}\n";
        }
        (receivers, text)
    }
}

/// How spans are kept until the backend has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In memory, as by default; samples are on their way at once.
    Memory,
    /// The same, and a batch processor in front; samples wait for their request to fill, as by default.
    Batches,
    /// In a durable queue; lines with `wal`.
    Storage,
}

/// How OTLP is passed on.
#[derive(Clone, Debug, Default)]
pub struct Otlp {
    /// A batch processor in front of the exporter; the inside of its block.
    pub batch: Option<&'static str>,
    /// The inside of `sending_queue`.
    pub queue: String,
    /// By gRPC; by HTTP otherwise.
    pub grpc: bool,
    /// How long a try of the exporter may take.
    pub timeout: Option<&'static str>,
}

impl Otlp {
    /// To this port. What comes by HTTP is taken by a receiver `a`, what comes by gRPC by another one, `b`.
    pub fn text(&self, port: u16) -> String {
        let Otlp { batch, queue, grpc, timeout } = self;
        let outputs = |next: &str| {
            let outputs = ["traces", "metrics", "logs"].map(|signal| format!("\t\t{signal} = [{next}.input]\n"));
            format!("\toutput {{\n{}\t}}\n", outputs.concat())
        };
        let (exporter, client, own) = match (grpc, timeout) {
            (true, timeout) => (
                "otelcol.exporter.otlp.a",
                format!("\t\tendpoint = \"127.0.0.1:{port}\"\n\t\ttls {{\n\t\t\tinsecure = true\n\t\t}}\n"),
                timeout.map(|timeout| format!("\ttimeout = \"{timeout}\"\n")),
            ),
            (false, timeout) => {
                let timeout = timeout.map(|timeout| format!("\t\ttimeout = \"{timeout}\"\n"));
                let client = format!("\t\tendpoint = \"http://127.0.0.1:{port}\"\n{}", timeout.unwrap_or_default());
                ("otelcol.exporter.otlphttp.a", client, None)
            }
        };
        let own = own.unwrap_or_default();
        let first = if batch.is_some() { "otelcol.processor.batch.a" } else { exporter };
        let receive = outputs(first);
        let batch = batch.map(|inside| format!("otelcol.processor.batch \"a\" {{\n{inside}{}}}\n", outputs(exporter)));
        let component = exporter.trim_end_matches(".a");
        format!(
            "otelcol.receiver.otlp \"a\" {{\n\thttp {{\n\t\tendpoint = \"127.0.0.1:0\"\n\t}}\n{receive}}}\n\
             otelcol.receiver.otlp \"b\" {{\n\tgrpc {{\n\t\tendpoint = \"127.0.0.1:0\"\n\t}}\n{receive}}}\n{}\
             otelcol.storage.file \"a\" {{ }}\n\
             {component} \"a\" {{\n{own}\tclient {{\n{client}\t\tcompression = \"none\"\n\t}}\n\
             \tretry_on_failure {{\n\t\tinitial_interval = \"50ms\"\n\t\tmax_interval = \"500ms\"\n\t\tmax_elapsed_time = \"0s\"\n\t}}\n\
             \tsending_queue {{\n{queue}\t}}\n}}\n",
            batch.unwrap_or_default()
        )
    }
}

/// What is pushed is passed on to this port.
pub fn relay(kind: Kind, keeping: Keeping, port: u16) -> String {
    match kind {
        Kind::Spans | Kind::Records | Kind::Points => {
            let queue = if keeping == Keeping::Storage { "\t\tstorage = otelcol.storage.file.a.handler\n" } else { "" };
            let batch = (keeping == Keeping::Batches).then_some("");
            Otlp { batch, queue: queue.to_owned(), ..Otlp::default() }.text(port)
        }
        Kind::Samples => samples(keeping, &[port], ""),
        Kind::Lines => {
            let wal = keeping == Keeping::Storage;
            let write = Config { endpoints: vec![port], wal, fills: true, ..Config::default() }.writes().1;
            format!(
                "loki.source.api \"a\" {{\n\thttp {{\n\t\tlisten_address = \"127.0.0.1\"\n\t\tlisten_port = 0\n\t}}\n\
                 \tlabels = {{job = \"pushed\"}}\n\tforward_to = [loki.write.w0.receiver]\n}}\n{write}"
            )
        }
    }
}

/// Samples that are pushed are passed on to these ports; `version` is an argument of each endpoint.
pub fn samples(keeping: Keeping, ports: &[u16], version: &str) -> String {
    let write = remote_write(keeping, ports, version);
    format!(
        "prometheus.receive_http \"a\" {{\n\thttp {{\n\t\tlisten_address = \"127.0.0.1\"\n\t\tlisten_port = 0\n\t}}\n\
         \tforward_to = [prometheus.remote_write.a.receiver]\n}}\n{write}"
    )
}

fn remote_write(keeping: Keeping, ports: &[u16], more: &str) -> String {
    let deadline = match keeping {
        Keeping::Batches => "",
        Keeping::Memory | Keeping::Storage => "\t\t\tbatch_send_deadline = \"100ms\"\n",
    };
    let endpoint = |port: &u16| {
        format!(
            "\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/api/v1/write\"\n{more}\
             \t\tqueue_config {{\n\t\t\tmin_backoff = \"30ms\"\n\t\t\tmax_backoff = \"500ms\"\n{deadline}\t\t}}\n\t}}\n"
        )
    };
    let endpoints: String = ports.iter().map(endpoint).collect();
    format!("prometheus.remote_write \"a\" {{\n{endpoints}}}\n")
}

/// The pages of this target, and of some others, go to `port`, but for what is said about each scrape.
pub fn scrape(target: u16, others: &[u16], interval: Duration, more: &str, port: u16) -> String {
    let keep = "\t\twrite_relabel_config {\n\t\t\tsource_labels = [\"__name__\", \"instance\"]\n\
                \t\t\tregex = \"page;target\"\n\t\t\taction = \"keep\"\n\t\t}\n";
    let others: String = others.iter().map(|port| format!("{{\"__address__\" = \"127.0.0.1:{port}\"}}, ")).collect();
    format!(
        "prometheus.scrape \"a\" {{\n\ttargets = [{others}{{\"__address__\" = \"127.0.0.1:{target}\", \"instance\" = \"target\"}}]\n\
         \tscrape_interval = \"{0}s\"\n\tscrape_timeout = \"{0}s\"\n\
         \tforward_to = [prometheus.remote_write.a.receiver]\n}}\n{more}{1}",
        interval.as_secs(),
        remote_write(Keeping::Memory, &[port], keep),
    )
}

/// A component that scrapes these targets so often, with all the time that is between, and as by default but for that.
pub fn hostile(ports: &[u16], interval: Duration) -> String {
    let targets: String = ports.iter().map(|port| format!("{{\"__address__\" = \"127.0.0.1:{port}\"}}, ")).collect();
    format!(
        "prometheus.scrape \"hostile\" {{\n\ttargets = [{targets}]\n\tscrape_interval = \"{0}s\"\n\tscrape_timeout = \"{0}s\"\n\
         \tforward_to = [prometheus.remote_write.a.receiver]\n}}\n",
        interval.as_secs()
    )
}

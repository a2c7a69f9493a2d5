//! What clients of a whole pipeline are told: every cell of the table in docs/retries.md.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdk_protocols_grpc::{Channel, ChannelConfig, Code, Connect, Stream};
use sdk_testing::sink::{self, Answer, Protocol};
use sdk_testing::{push, table};

use crate::process::{PATIENCE, Running, Started, run};

/// Between the receivers and a backend.
struct Pipeline {
    /// The first component, and all of them.
    first: &'static str,
    components: String,
    mood: Answer,
}

impl Pipeline {
    fn of(row: &str, backend: u16) -> Pipeline {
        let exporter = |queue: &str| {
            format!(
                "otelcol.exporter.otlphttp \"a\" {{\n\tclient {{\n\t\tendpoint = \"http://127.0.0.1:{backend}\"\n\t}}\n\
                 \tretry_on_failure {{\n\t\tenabled = false\n\t}}\n\tsending_queue {{\n{queue}\t}}\n}}\n"
            )
        };
        let direct = |mood| Pipeline {
            first: "otelcol.exporter.otlphttp.a",
            components: exporter("\t\tenabled = false\n"),
            mood,
        };
        let waited = |mood| Pipeline { components: exporter("\t\twait_for_result = true\n"), ..direct(mood) };
        match row {
            "a sending queue that is full" => Pipeline {
                components: exporter("\t\tqueue_size = 1\n\t\tnum_consumers = 1\n"),
                ..direct(Answer::Silent)
            },
            "a memory limiter over its limit" => Pipeline {
                first: "otelcol.processor.memory_limiter.a",
                components: exporter("")
                    + "otelcol.processor.memory_limiter \"a\" {\n\tcheck_interval = \"10ms\"\n\tlimit = \"1MiB\"\n\toutput {\n\
                       \t\ttraces = [otelcol.exporter.otlphttp.a.input]\n\t}\n}\n",
                mood: Answer::Well,
            },
            "a backend that refuses for good with 400, no queue" => direct(Answer::Status(400)),
            "a backend that refuses for good with 400, `wait_for_result`" => waited(Answer::Status(400)),
            "a backend that asks for 3 s, `wait_for_result`, no retries" => waited(Answer::Later(503, 3)),
            "a backend that refuses for now, no queue, no retries" => direct(Answer::Status(503)),
            "a backend that asks for 3 s, no queue, no retries" => direct(Answer::Later(503, 3)),
            other => panic!("unknown row {other:?}"),
        }
    }

    fn text(&self) -> String {
        let receiver = |label: &str| {
            format!(
                "otelcol.receiver.otlp \"{label}\" {{\n\t{label} {{\n\t\tendpoint = \"127.0.0.1:0\"\n\t}}\n\toutput {{\n\
                 \t\ttraces = [{}.input]\n\t}}\n}}\n",
                self.first
            )
        };
        receiver("http") + &receiver("grpc") + &self.components
    }
}

/// Where a receiver listens, once it does.
pub fn port_of(running: &mut Running, receiver: &str) -> u16 {
    let until = Instant::now() + PATIENCE;
    loop {
        let log = running.read_log();
        let line = log.iter().find(|line| line.contains("msg=listening") && line.contains(receiver));
        if let Some(port) = line.and_then(|line| line.rsplit("127.0.0.1:").next()) {
            return port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
        }
        assert!(Instant::now() < until, "{receiver} does not listen:\n{}", log.join("\n"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `None` when it was taken.
fn by_http(port: u16) -> Option<String> {
    let body = push::spans(0..1);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\n";
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let status = answer.split(' ').nth(1).unwrap();
    let delay = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let delay = delay.map(|delay| format!(", Retry-After {delay}")).unwrap_or_default();
    (status != "200").then(|| format!("{status}{delay}"))
}

struct To(u16);

impl Connect for To {
    fn connect(&self) -> Pin<Box<dyn Future<Output = std::io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.0)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// The same.
async fn by_grpc(port: u16) -> Option<String> {
    let config = ChannelConfig {
        authority: format!("http://127.0.0.1:{port}").parse().unwrap(),
        headers: Default::default(),
        coding: sdk_protocols_compression::Coding::Identity,
        level: None,
        ping_interval: None,
        ping_timeout: Duration::from_secs(20),
        ping_when_idle: false,
    };
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let message = vec![push::spans(0..1).into()];
    let status = Channel::new(config, Arc::new(To(port))).unary(path, message, Default::default()).await.err()?;
    let delay = status.retry_delay.map(|delay| format!(", RetryInfo {} s", delay.as_secs_f64())).unwrap_or_default();
    let code = match status.code {
        Code::InvalidArgument => "INVALID_ARGUMENT".to_owned(),
        Code::Unavailable => "UNAVAILABLE".to_owned(),
        other => format!("{other:?}"),
    };
    Some(code + &delay)
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_refuse_as_the_page_says() {
    for row in table::table(env!("CARGO_MANIFEST_DIR"), "retries.md", "pipeline").rows {
        let [name, grpc, http] = &row[..] else { panic!("{row:?}") };
        let (backend, tally) = sink::http(Protocol::Otlp).await.unwrap();
        let pipeline = Pipeline::of(name, backend);
        tally.mood.set(pipeline.mood);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.alloy"), pipeline.text()).unwrap();
        let path = folder.path().to_owned();
        let mut running = match tokio::task::spawn_blocking(move || run(&path, &[], "config.alloy")).await.unwrap() {
            Started::Running(running) => running,
            Started::Refused(code, lines) => panic!("{name}: it ended with {code:?}: {}", lines.join("\n")),
        };
        let (by, with) = (port_of(&mut running, "otlp.http"), port_of(&mut running, "otlp.grpc"));
        // A queue has to fill first, and a limiter to look.
        let until = Instant::now() + PATIENCE;
        let refused = loop {
            if let Some(refused) = tokio::task::spawn_blocking(move || by_http(by)).await.unwrap() {
                break refused;
            }
            assert!(Instant::now() < until, "{name}: everything is taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!((by_grpc(with).await.as_ref(), &refused), (Some(grpc), http), "{name}");
    }
}

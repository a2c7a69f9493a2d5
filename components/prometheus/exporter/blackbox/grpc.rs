//! The gRPC probe: asks the health service of a server (grpc.health.v1).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use base_stdx::protobuf;
use bytes::Bytes;
use http::HeaderMap;
use sdk_protocols_grpc::{Channel, ChannelConfig, Code, Connect, Stream};
use tokio::time::Instant;

use super::modules::Grpc;
use super::probe::{Family, Probe};
use super::resolve::{at_port, resolve};
use super::stream::{Shown, TlsManner, dial, no_certificate, secure};
use super::target::split_host_port;

const PHASES: Family = Family { name: "probe_grpc_duration_seconds", help: "Duration of gRPC request by phase" };
const SSL: Family = Family { name: "probe_grpc_ssl", help: "Indicates if SSL was used for the connection" };
const STATUS_CODE: Family = Family { name: "probe_grpc_status_code", help: "Response gRPC status code" };
const RESPONSE: Family = Family { name: "probe_grpc_healthcheck_response", help: "Response HealthCheck response" };

/// What a server may say of a service, by number.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: usize = 1;

/// The way to the server.
struct Way {
    to: SocketAddr,
    host: String,
    tls: Option<TlsManner>,
    shown: Mutex<Option<Shown>>,
}

impl Connect for Way {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async move {
            let stream = dial(self.to, None).await.map_err(io::Error::other)?;
            let Some(tls) = &self.tls else { return Ok(Box::new(stream) as Box<dyn Stream>) };
            let (stream, shown) = secure(stream, tls, &self.host, &[b"h2"]).await.map_err(io::Error::other)?;
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Probes a server.
pub(super) async fn probe(probe: &mut Probe, target: &str, module: &Grpc) -> bool {
    for family in [&SSL, &STATUS_CODE] {
        probe.set(family, 0.0);
    }
    no_certificate(probe);
    probe.add_phase(&PHASES, "resolve", 0.0);
    let bare = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")).unwrap_or(target);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = if module.tls { 443 } else { 80 };
    let (host, port) = split_host_port(bare).unwrap_or_else(|_| (bare.to_owned(), default_port));
    let (address, seconds) = resolve(probe, module.family(), &host).await;
    let Ok(address) = address else { return false };
    probe.add_phase(&PHASES, "resolve", seconds);
    let start = Instant::now();
    let scheme = if module.tls { "https" } else { "http" };
    let authority = match format!("{scheme}://{bare}").parse() {
        Ok(authority) => authority,
        Err(error) => return probe.fail(format!("{bare:?} is not the address of a server: {error}")),
    };
    let way = Arc::new(Way {
        to: at_port(address, port),
        host,
        tls: module.tls.then(|| module.tls()),
        shown: Mutex::new(None),
    });
    let answer = ask(probe, way.clone(), authority, &module.service).await;
    probe.add_phase(&PHASES, "check", start.elapsed().as_secs_f64());
    for state in STATES {
        probe.set_of(&RESPONSE, &[("serving_status", state)], 0.0);
    }
    let state = match answer {
        Ok(state) => state,
        Err((code, message)) => {
            probe.set(&STATUS_CODE, f64::from(code));
            return probe.fail(format!("cannot ask the grpc server: {message}"));
        }
    };
    if let Some(name) = STATES.get(state) {
        probe.set_of(&RESPONSE, &[("serving_status", name)], 1.0);
    }
    let shown = way.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(shown) = shown {
        probe.set(&SSL, 1.0);
        shown.gauge_without_chain(probe);
    }
    state == SERVING || probe.fail("the service does not serve")
}

/// The number of the state that the server tells, or the code and the words of its status.
async fn ask(probe: &Probe, way: Arc<Way>, authority: http::Uri, service: &str) -> Result<usize, (i32, String)> {
    let config = ChannelConfig::plain(authority);
    let mut message = Vec::new();
    if !service.is_empty() {
        protobuf::push_tag(&mut message, 1 << 3 | 2);
        protobuf::push_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let channel = Channel::new(config, way);
    let call =
        async { Ok(channel.unary("/grpc.health.v1.Health/Check", vec![Bytes::from(message)], HeaderMap::new()).await) };
    let reply = probe.in_time(call).await.map_err(|error| (Code::DeadlineExceeded as i32, error))?;
    let reply = reply.map_err(|status| (status.code as i32, status.message))?;
    let mut rest = &reply.message[..];
    let mut state = 0;
    while let Some((field, value)) = protobuf::take_field(&mut rest) {
        if let (1, protobuf::Value::Varint(number)) = (field, value) {
            state = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    Ok(state)
}

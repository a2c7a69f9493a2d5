//! The TCP probe: a connection, and a conversation in lines if the module has one.

use base_re2::Slots;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::modules::{QueryResponse, Tcp};
use super::probe::{FAILED_DUE_TO_REGEX, Probe};
use super::resolve::{at_port, resolve};
use super::stream::{Stream, TlsManner, dial, secure};
use super::target::split_host_port;

/// The longest line that is read.
const LONGEST_LINE: usize = 64 << 10;

/// Lines of a connection.
struct Lines {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// Probes `host:port`. `hostname` is whom the certificate must name.
pub(super) async fn probe(probe: &mut Probe, target: &str, module: &Tcp, hostname: Option<&str>) -> bool {
    probe.set(&FAILED_DUE_TO_REGEX, 0.0);
    let (host, port) = match split_host_port(target) {
        Ok(both) => both,
        Err(error) => return probe.fail(format!("error splitting target address and port: {error}")),
    };
    let mut tls = module.tls();
    if tls.config.server_name.is_empty() {
        tls.config.server_name = hostname.unwrap_or(&host).to_owned();
    }
    let (address, _) = resolve(probe, module.family(), &host).await;
    let Ok(address) = address else { return false };
    let stream = match probe.in_time(dial(at_port(address, port), module.source_ip_address)).await {
        Ok(stream) => stream,
        Err(error) => return probe.fail(format!("error dialing TCP: {error}")),
    };
    let mut lines = Lines { stream: Box::new(stream), read: Vec::new() };
    if module.tls
        && let Err(error) = lines.secure(probe, &tls).await
    {
        return probe.fail(format!("error dialing TCP: {error}"));
    }
    probe.say("successfully dialed");
    for step in &module.query_response {
        if let Err(error) = lines.talk(probe, step, &tls).await {
            return probe.fail(error);
        }
    }
    true
}

// === impl Lines ===

impl Lines {
    async fn talk(&mut self, probe: &mut Probe, step: &QueryResponse, tls: &TlsManner) -> Result<(), String> {
        let mut send = step.send.clone();
        if let Some(expected) = &step.expect {
            let mut slots = Slots::default();
            loop {
                let Some(line) = probe.in_time(self.next()).await? else {
                    probe.set(&FAILED_DUE_TO_REGEX, 1.0);
                    return Err(format!("no line matched {}", expected.0.as_str()));
                };
                if expected.0.captures(&line, &mut slots) {
                    send = String::new();
                    expected.0.expand(&step.send, &line, &slots, &mut send);
                    break;
                }
            }
            probe.set(&FAILED_DUE_TO_REGEX, 0.0);
        }
        if !send.is_empty() {
            send.push('\n');
            let sent = async { self.stream.write_all(send.as_bytes()).await.map_err(|error| error.to_string()) };
            probe.in_time(sent).await.map_err(|error| format!("failed to send: {error}"))?;
        }
        if step.starttls {
            self.secure(probe, tls).await?;
        }
        Ok(())
    }

    /// Speaks TLS from here on.
    async fn secure(&mut self, probe: &mut Probe, tls: &TlsManner) -> Result<(), String> {
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let (stream, shown) = probe.in_time(secure(plain, tls, &tls.config.server_name, &[])).await?;
        self.stream = Box::new(stream);
        self.read.clear();
        shown.gauge(probe);
        Ok(())
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = &line[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.read.len() > LONGEST_LINE {
                return Err(format!("a line is longer than {LONGEST_LINE} bytes"));
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).await.map_err(|error| format!("error reading: {error}"))?;
            if count == 0 {
                let rest = std::mem::take(&mut self.read);
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
            self.read.extend_from_slice(&chunk[..count]);
        }
    }
}

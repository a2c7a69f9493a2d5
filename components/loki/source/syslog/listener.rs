//! One address: bound until it is, read until it is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task;
use bytes::{Bytes, BytesMut};
use sdk_component::{Context, Stop};
use sdk_net::server::{NotAccepted, ServerTls, cure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::arguments::ListenerArguments;
use super::framing::{Framing, Step};
use super::intake::{Intake, Shared};
use crate::recent::Recent;

/// Connections of one listener; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 10_000;
/// A TLS handshake that takes longer is not one.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A message that may go on with the next line is taken for whole after this silence.
const WHOLE_AFTER: Duration = Duration::from_millis(200);
/// What is read at once.
const CHUNK: usize = 64 << 10;
/// What the kernel keeps of datagrams that are not read yet.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// A resolver that needs longer has no name for the sender.
const LOOKUP: Duration = Duration::from_secs(2);
/// Pauses between tries to get a port: a listener that changes may hold it for a moment.
const BIND_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A listener that runs, or tries to.
pub struct Listener {
    pub arguments: Arc<ListenerArguments>,
    pub tls: Option<Arc<ServerTls>>,
    pub state: Arc<Mutex<State>>,
}

/// What is known of a listener from outside.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Why it does not.
    pub fault: Option<String>,
}

// === impl Listener ===

impl Listener {
    /// Until `stop`; the port is free some moments later, the last messages are handed on within the grace.
    pub async fn run(self, context: Context, shared: Shared, changed: impl Fn() + Send + Sync, stop: Stop) {
        match self.arguments.protocol.as_str() {
            "udp" => {
                let Some(socket) = self.bound(UdpSocket::bind, UdpSocket::local_addr, &changed, &stop).await else {
                    return;
                };
                // More than the default, as Alloy asks for; the kernel may grant less.
                let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(DATAGRAM_BUFFER);
                self.read_datagrams(&socket, shared, &stop).await;
            }
            _ => {
                let Some(socket) = self.bound(TcpListener::bind, TcpListener::local_addr, &changed, &stop).await else {
                    return;
                };
                self.accept(&context, socket, shared, &stop).await;
            }
        }
    }

    async fn bound<S, F: Future<Output = io::Result<S>>>(
        &self,
        bind: impl Fn(String) -> F,
        local: impl Fn(&S) -> io::Result<SocketAddr>,
        changed: &(impl Fn() + Send + Sync),
        stop: &Stop,
    ) -> Option<S> {
        let address = &self.arguments.address;
        let any = |host: &str| if address.starts_with(':') { format!("{host}{address}") } else { address.clone() };
        let mut pause = BIND_PAUSES.0;
        loop {
            let bound = match bind(any("[::]")).await {
                Err(error) if address.starts_with(':') && error.kind() != io::ErrorKind::AddrInUse => {
                    bind(any("0.0.0.0")).await
                }
                bound => bound,
            };
            match bound.and_then(|socket| Ok((local(&socket)?, socket))) {
                Ok((local, socket)) => {
                    let (protocol, tls) = (self.arguments.protocol.as_str(), self.tls.is_some());
                    tracing::info!(address = %local, protocol, tls, "syslog listening");
                    self.is(State { address: Some(local), fault: None });
                    changed();
                    return Some(socket);
                }
                // At first it may be our own old listener that has the port.
                Err(error) if pause >= Duration::from_millis(400) => {
                    let protocol = &self.arguments.protocol;
                    let cure = cure(address, protocol == "udp", &error);
                    let fault = format!("cannot listen on {address} ({protocol}): {error}{cure}");
                    if self.state.lock().unwrap_or_else(PoisonError::into_inner).fault.is_none() {
                        let cure = cure.trim_start_matches("; ");
                        tracing::error!(address, protocol, %error, cure, "cannot listen for syslog messages; trying again");
                    }
                    self.is(State { address: None, fault: Some(fault) });
                    changed();
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.stopped() => return None,
            }
            pause = (pause * 2).min(BIND_PAUSES.1);
        }
    }

    fn is(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    async fn accept(&self, context: &Context, socket: TcpListener, shared: Shared, stop: &Stop) {
        let connections = task::Scope::new();
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut not_accepted = NotAccepted::default();
        loop {
            let permit = tokio::select! {
                Ok(permit) = free.clone().acquire_owned() => permit,
                () = stop.stopped() => break,
            };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.stopped() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        arguments: self.arguments.clone(),
                        tls: self.tls.clone(),
                        shared: shared.clone(),
                        stop: stop.clone(),
                    };
                    let reading = async move {
                        let _permit = permit;
                        if let Err(error) = connection.read(stream, peer.ip()).await {
                            tracing::debug!(%peer, %error, "syslog connection ended");
                        }
                    };
                    connections.spawn("syslog connection", reading.instrument(context.span().clone()));
                }
                Err(error) => not_accepted.wait(&self.arguments.address, &error).await,
            }
        }
        drop(socket);
        connections.close(stop.grace()).await;
    }

    async fn read_datagrams(&self, socket: &UdpSocket, shared: Shared, stop: &Stop) {
        let mut names: Recent<IpAddr, String> = Recent::new(self.arguments.udp_host_cache_size());
        let mut datagram = vec![0; self.arguments.max_message_length()];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut datagram) => received,
                () = stop.stopped() => return,
            };
            let mut next = match received {
                Ok((length, peer)) => Some((length, peer.ip())),
                Err(error) => {
                    tracing::debug!(%error, "cannot read a datagram");
                    continue;
                }
            };
            // What else is there already goes the same way; of another sender it begins anew.
            let mut left = self.arguments.udp_queue_size();
            while let Some((_, peer)) = next {
                let hostname = match names.get(&peer) {
                    Some(name) => name.clone(),
                    None => {
                        let name = self.hostname(&shared, peer).await;
                        names.insert(peer, name.clone());
                        name
                    }
                };
                let mut intake =
                    Intake::new(shared.clone(), self.arguments.clone(), &peer.to_canonical().to_string(), &hostname);
                while let Some((length, _)) = next.filter(|(_, other)| *other == peer) {
                    self.read_datagram(&mut intake, &datagram[..length]);
                    left = left.saturating_sub(1);
                    next = match left {
                        0 => None,
                        _ => socket.try_recv_from(&mut datagram).ok().map(|(length, peer)| (length, peer.ip())),
                    };
                }
                if !intake.forward(stop).await {
                    return;
                }
            }
        }
    }

    fn read_datagram(&self, intake: &mut Intake, datagram: &[u8]) {
        let mut framing = Framing::new(self.arguments.cut(), self.arguments.max_message_length());
        let mut buffer = BytesMut::from(datagram);
        loop {
            let counted = framing.is_counted();
            match framing.next(&mut buffer, true) {
                Step::Message(message) => intake.message(message, counted || framing.is_counted()),
                Step::Fault(why) | Step::Close(Some(why)) => intake.fault(&why),
                Step::Close(None) => {
                    tracing::debug!("a datagram that begins neither with a priority nor with a length is left out");
                    return;
                }
                Step::More | Step::MoreOrEnd => return,
            }
            if buffer.is_empty() {
                return;
            }
        }
    }

    async fn hostname(&self, shared: &Shared, peer: IpAddr) -> String {
        hostname(shared, peer).await
    }
}

/// The sender's name, if anybody may want to know it.
async fn hostname(shared: &Shared, peer: IpAddr) -> String {
    if shared.wanted.borrow().rules.is_none() {
        return String::new();
    }
    let asked = task::blocking("host name", move || base_sys::names::of_address(peer.to_canonical()));
    match tokio::time::timeout(LOOKUP, asked).await {
        Ok(answer) => answer.returned().flatten().unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// One sender over TCP.
struct Connection {
    arguments: Arc<ListenerArguments>,
    tls: Option<Arc<ServerTls>>,
    shared: Shared,
    stop: Stop,
}

// === impl Connection ===

impl Connection {
    async fn read(self, mut stream: TcpStream, peer: IpAddr) -> Result<(), String> {
        let hostname = hostname(&self.shared, peer).await;
        let address = peer.to_canonical().to_string();
        let intake = Intake::new(self.shared.clone(), self.arguments.clone(), &address, &hostname);
        match self.tls.clone() {
            None => self.read_stream(&mut stream, intake).await,
            Some(tls) => {
                let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
                let stream = stream.map_err(|_| "TLS handshake took too long".to_owned())?;
                let mut stream = stream.map_err(|error| format!("TLS handshake: {error}"))?;
                let ended = self.read_stream(&mut stream, intake).await;
                // Says goodbye, so that the sender can tell an end from a cut.
                let _ = tokio::time::timeout(HANDSHAKE, stream.shutdown()).await;
                ended
            }
        }
    }

    async fn read_stream(self, stream: &mut (impl AsyncRead + Unpin), mut intake: Intake) -> Result<(), String> {
        let mut framing = Framing::new(self.arguments.cut(), self.arguments.max_message_length());
        let mut buffer = BytesMut::new();
        let idle = self.arguments.idle_timeout();
        let mut ended = false;
        loop {
            let waits = match take_messages(&mut framing, &mut buffer, &mut intake, ended) {
                Taken::Closed => {
                    intake.forward(&self.stop).await;
                    return Ok(());
                }
                Taken::All { may_go_on } => may_go_on,
            };
            if !intake.forward(&self.stop).await || ended {
                return Ok(());
            }
            buffer.reserve(CHUNK);
            let patience = if waits { WHOLE_AFTER.min(idle) } else { idle };
            let read = tokio::select! {
                read = tokio::time::timeout(patience, stream.read_buf(&mut buffer)) => read,
                () = self.stop.stopped() => {
                    if waits {
                        take_messages(&mut framing, &mut buffer, &mut intake, true);
                        intake.forward(&self.stop).await;
                    }
                    return Ok(());
                }
            };
            match read {
                Ok(Ok(0)) => ended = true,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    take_messages(&mut framing, &mut buffer, &mut intake, true);
                    intake.forward(&self.stop).await;
                    return Err(error.to_string());
                }
                Err(_) if waits => {
                    take_messages(&mut framing, &mut buffer, &mut intake, true);
                }
                Err(_) => return Err(format!("silent for {idle:?}")),
            }
        }
    }
}

enum Taken {
    All { may_go_on: bool },
    Closed,
}

fn take_messages(framing: &mut Framing, buffer: &mut BytesMut, intake: &mut Intake, end: bool) -> Taken {
    loop {
        match framing.next(buffer, end) {
            Step::Message(message) if message.is_empty() => {}
            Step::Message(message) => intake.message(detached(message, buffer), framing.is_counted()),
            Step::Fault(why) => intake.fault(&why),
            Step::Close(why) => {
                if let Some(why) = why {
                    intake.fault(&why);
                } else {
                    tracing::warn!(
                        "a syslog connection begins neither with a priority nor with a length; it is closed"
                    );
                }
                return Taken::Closed;
            }
            Step::More => return Taken::All { may_go_on: false },
            Step::MoreOrEnd => return Taken::All { may_go_on: true },
        }
    }
}

/// A short message that comes alone must not hold the whole buffer that it was read into.
fn detached(message: Bytes, buffer: &BytesMut) -> Bytes {
    match buffer.is_empty() && message.len() < CHUNK / 16 {
        true => Bytes::copy_from_slice(&message),
        false => message,
    }
}

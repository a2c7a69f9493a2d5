//! The server side: accepting connections with limits, over TLS or not, HTTP/1.1 and HTTP/2 on one port.

mod accept;
mod arguments;
mod not_accepted;
pub mod push;
mod tls;

pub use accept::{Accepted, Door, Last, Limits, briefly, serve, serve_switching};
pub use arguments::{GrpcServer, Http2, HttpServer, PushServer, PushTls};
pub use not_accepted::NotAccepted;
pub use push::Push;
pub use tls::{ClientAuth, ServerTls, ServerTlsConfig};

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

/// Why a port cannot be bound, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{cure}")]
pub struct BindError {
    /// As it was given.
    pub address: String,
    /// What the operating system said.
    pub error: io::Error,
    /// Starts with "; " or is empty.
    pub cure: String,
}

// === impl Listener ===

impl Listener {
    /// Binds `host:port`. A missing host means all interfaces, port 0 any free port.
    pub async fn bind(address: &str) -> Result<Listener, BindError> {
        let full = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
        let bound = match TcpListener::bind(&full).await {
            // A machine without IPv6 has no [::].
            Err(_) if address.starts_with(':') => TcpListener::bind(format!("0.0.0.0{address}")).await,
            bound => bound,
        };
        let bound = bound.and_then(|tcp| Ok((tcp.local_addr()?, tcp)));
        let (local, tcp) = bound.map_err(|error| BindError::new(address, error))?;
        Ok(Listener { tcp, address: local })
    }

    /// Of a port that is bound already.
    ///
    /// # Errors
    /// The system does not know its address.
    pub fn of(tcp: TcpListener) -> io::Result<Listener> {
        Ok(Listener { address: tcp.local_addr()?, tcp })
    }

    /// Where it listens; the real port when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

// === impl BindError ===

impl BindError {
    fn new(address: &str, error: io::Error) -> BindError {
        let cure = cure(address, false, &error);
        BindError { address: address.to_owned(), error, cure }
    }
}

/// What to do about an address that cannot be listened on: starts with "; " or is empty.
pub fn cure(address: &str, is_udp: bool, error: &io::Error) -> String {
    let port = address.rsplit_once(':').map_or("", |(_, port)| port);
    let kind = if is_udp { 'u' } else { 't' };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another process has this port (`ss -l{kind}np 'sport = :{port}'` names it): stop it or choose another port"
        ),
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE: choose a higher port or grant it".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no network interface of this machine has this address: 0.0.0.0 listens on all".to_owned()
        }
        io::ErrorKind::InvalidInput => "; write it as host:port".to_owned(),
        _ => String::new(),
    }
}

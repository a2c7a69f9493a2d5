//! Where an engine listens: `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://…`, `https://…`.

use std::path::PathBuf;

use url::Url;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// Plain HTTP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// HTTP in TLS.
    Tls {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum HostError {
    #[error(
        "unable to parse docker host {0:?}: expected unix:///path, tcp://host:port, http://host:port or https://host:port"
    )]
    Malformed(String),
    #[error("docker host {0:?}: the scheme {1:?} is not supported; use unix, tcp, http or https")]
    Scheme(String, String),
}

impl Host {
    /// Reads an address; `tls` makes `tcp://` mean TLS, as a certificate for the engine does in Docker's own client.
    pub fn parse(text: &str, tls: bool) -> Result<Host, HostError> {
        let malformed = || HostError::Malformed(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        if scheme == "unix" {
            return if rest.is_empty() { Err(malformed()) } else { Ok(Host::Unix(rest.into())) };
        }
        if !["tcp", "http", "https"].contains(&scheme) {
            return Err(HostError::Scheme(text.to_owned(), scheme.to_owned()));
        }
        // `tcp` is no scheme that the URL standard knows a default port for.
        let url = Url::parse(&format!("http://{rest}")).map_err(|_| malformed())?;
        let host = url.host_str().ok_or_else(malformed)?.to_owned();
        let encrypted = scheme == "https" || scheme == "tcp" && tls;
        let explicit = Url::parse(&format!("x://{rest}")).ok().and_then(|url| url.port());
        let port = explicit.unwrap_or(match (scheme, encrypted) {
            ("tcp", true) => 2376,
            ("tcp", false) => 2375,
            (_, true) => 443,
            (_, false) => 80,
        });
        Ok(if encrypted { Host::Tls { host, port } } else { Host::Tcp { host, port } })
    }

    /// What goes into the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match self {
            // The engine does not look at it, but HTTP/1.1 demands one.
            Host::Unix(_) => "docker".to_owned(),
            Host::Tcp { host, port } | Host::Tls { host, port } => format!("{host}:{port}"),
        }
    }
}

/// As one would write it.
impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Host::Tls { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        assert_eq!(Host::parse("unix:///var/run/docker.sock", false), Ok(Host::Unix("/var/run/docker.sock".into())));
        let tcp = |host: &str, port| Ok(Host::Tcp { host: host.into(), port });
        assert_eq!(Host::parse("tcp://proxy", false), tcp("proxy", 2375));
        assert_eq!(Host::parse("tcp://proxy:80", false), tcp("proxy", 80));
        assert_eq!(Host::parse("http://[::1]:2375/", false), tcp("[::1]", 2375));
        assert_eq!(Host::parse("tcp://proxy", true), Ok(Host::Tls { host: "proxy".into(), port: 2376 }));
        assert_eq!(Host::parse("https://proxy", false), Ok(Host::Tls { host: "proxy".into(), port: 443 }));
        assert!(matches!(Host::parse("/var/run/docker.sock", false), Err(HostError::Malformed(_))));
        assert!(matches!(Host::parse("npipe:////./pipe/docker", false), Err(HostError::Scheme(_, _))));
    }
}

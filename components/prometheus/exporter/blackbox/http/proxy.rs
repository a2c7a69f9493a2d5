//! The proxy between a probe and its target.

use std::net::IpAddr;

use base64::Engine as _;
use http::header::{HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use sdk_net::client::ProxyConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

/// Which requests go through which proxy.
#[derive(Debug, Default)]
pub(in crate::blackbox) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Whom to reach without; none where every request goes through the proxy, even one to this machine.
    except: Option<Exceptions>,
    headers: HeaderMap,
}

/// What `no_proxy` lists.
#[derive(Debug, Default, PartialEq)]
struct Exceptions {
    all: bool,
    listed: Vec<Exception>,
}

#[derive(Debug, PartialEq)]
enum Exception {
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// The name begins with a dot; with `itself`, the name without it is meant, too.
    Domain {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

/// The head of a proxy's answer is no longer.
const MOST_HEAD: usize = 16 << 10;

// === impl Proxies ===

impl Proxies {
    /// As a module says; its environment is that of this process.
    pub fn of(config: &ProxyConfig) -> Result<Proxies, String> {
        let mut headers = HeaderMap::new();
        for (name, values) in &config.proxy_connect_header {
            let name = HeaderName::try_from(name).map_err(|_| format!("{name:?} is not the name of a header"))?;
            for value in values {
                let value = HeaderValue::try_from(value.expose().as_ref());
                headers.append(&name, value.map_err(|_| format!("header {name} has a value that no header may have"))?);
            }
        }
        let proxies = Proxies { headers, ..Proxies::default() };
        if config.proxy_from_environment {
            let variable = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok());
            return proxies.with_environment(variable);
        }
        let Some(url) = address(&config.proxy_url)? else { return Ok(proxies) };
        let except = (!config.no_proxy.is_empty()).then(|| Exceptions::of(&config.no_proxy));
        Ok(Proxies { http: Some(url.clone()), https: Some(url), except, ..proxies })
    }

    fn with_environment(self, variable: impl Fn([&str; 2]) -> Option<String>) -> Result<Proxies, String> {
        let proxy = |names: [&str; 2]| match variable(names) {
            Some(text) if !text.contains("://") && !text.is_empty() => address(&format!("http://{text}")),
            text => address(&text.unwrap_or_default()),
        };
        Ok(Proxies {
            http: proxy(["HTTP_PROXY", "http_proxy"])?,
            https: proxy(["HTTPS_PROXY", "https_proxy"])?,
            except: Some(Exceptions::of(&variable(["NO_PROXY", "no_proxy"]).unwrap_or_default())),
            ..self
        })
    }

    /// The proxy for this address.
    pub fn for_url(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let is_excepted = self.except.as_ref().is_some_and(|except| except.contain(url));
        proxy.as_ref().filter(|_| !is_excepted)
    }

    /// Asks the proxy at the other end of a connection to pass on what comes to this address.
    pub async fn tunnel(&self, stream: &mut TcpStream, proxy: &Url, authority: &str) -> Result<(), String> {
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        let mut headers = self.headers.clone();
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, HeaderValue::from_static(sdk_net::USER_AGENT));
        }
        if let Some(credential) = credential(proxy) {
            headers.insert(PROXY_AUTHORIZATION, credential);
        }
        for (name, value) in &headers {
            request.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        stream.write_all(&request).await.map_err(|error| format!("cannot ask the proxy: {error}"))?;
        let mut head = Vec::new();
        // What stands behind the head is the target's already, and not to be read here.
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.map_err(|error| format!("the proxy does not answer: {error}"))?;
            head.push(byte);
            if head.len() > MOST_HEAD {
                return Err("the proxy answers at too great length".to_owned());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or_default();
        match line.split(' ').nth(1) {
            Some("200") => Ok(()),
            _ => Err(format!("the proxy answers {line:?}")),
        }
    }
}

/// What a proxy asks for before it does anything, if its address holds it.
pub(super) fn credential(proxy: &Url) -> Option<HeaderValue> {
    if proxy.username().is_empty() && proxy.password().is_none() {
        return None;
    }
    let pair = format!("{}:{}", super::decoded(proxy.username()), super::decoded(proxy.password().unwrap_or_default()));
    HeaderValue::try_from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))).ok()
}

/// A proxy's address, if there is one.
fn address(text: &str) -> Result<Option<Url>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(Some(url)),
        // The address may hold a password.
        Ok(url) => Err(format!("probes go through proxies of the scheme http, not {}", url.scheme())),
        Err(error) => Err(format!("the address of the proxy is not a URL: {error}")),
    }
}

// === impl Exceptions ===

impl Exceptions {
    /// A list with commas. What makes no sense in it is passed over, as everybody does.
    fn of(list: &str) -> Exceptions {
        let mut exceptions = Exceptions::default();
        for item in list.split(',').map(|item| item.trim().to_lowercase()).filter(|item| !item.is_empty()) {
            if item == "*" {
                exceptions.all = true;
            } else {
                exceptions.listed.extend(Exception::of(&item));
            }
        }
        exceptions
    }

    fn contain(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
        let port = url.port_or_known_default();
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        is_here || self.all || self.listed.iter().any(|one| one.is(&host, address, port))
    }
}

impl Exception {
    fn of(item: &str) -> Option<Exception> {
        if let Some((address, bits)) = item.split_once('/') {
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Exception::Network(address, bits));
        }
        if let Ok(address) = item.trim_matches(['[', ']']).parse() {
            return Some(Exception::Address(address, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Exception::Address(address, port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        match host.strip_prefix('.') {
            Some("") => None,
            _ if host.is_empty() => None,
            Some(_) => Some(Exception::Domain { name: host.to_owned(), itself: false, port }),
            None => Some(Exception::Domain { name: format!(".{host}"), itself: true, port }),
        }
    }

    fn is(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Exception::Network(network, bits) => address.is_some_and(|address| is_within(address, *network, *bits)),
            Exception::Address(own, of) => address == Some(*own) && (of.is_none() || *of == port),
            Exception::Domain { name, itself, port: of } => {
                let is_named = host.ends_with(name.as_str()) || (*itself && Some(host) == name.strip_prefix('.'));
                is_named && (of.is_none() || *of == port)
            }
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shift = u32::from(bits);
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let differ = u32::from(one) ^ u32::from(other);
            differ.checked_shr(32 - shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differ = u128::from(one) ^ u128::from(other);
            differ.checked_shr(128 - shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.for_url(&url.parse().unwrap()).map(Url::to_string)
    }

    #[test]
    fn exceptions_are_networks_addresses_and_domains() {
        let config = |no_proxy: &str| ProxyConfig {
            proxy_url: "http://p:3128".to_owned(),
            no_proxy: no_proxy.to_owned(),
            ..ProxyConfig::default()
        };
        let all = Proxies::of(&config("")).unwrap();
        assert_eq!(goes_through(&all, "https://127.0.0.1/"), Some("http://p:3128/".to_owned()));
        let list =
            "10.0.0.0/8, 192.0.2.1:8080, [2001:db8::1], example.org, .inner.net, *.deep.net, x.y:90, , 0.0.0.0/0/0";
        let some = Proxies::of(&config(list)).unwrap();
        for (url, through) in [
            ("http://10.1.2.3/", false),
            ("http://11.1.2.3/", true),
            ("http://192.0.2.1:8080/", false),
            ("http://192.0.2.1/", true),
            ("http://[2001:db8::1]/", false),
            ("http://[2001:db8::2]/", true),
            ("http://example.org/", false),
            ("https://WWW.example.org/", false),
            ("http://anexample.org/", true),
            ("http://inner.net/", true),
            ("http://a.inner.net/", false),
            ("http://a.deep.net/", false),
            ("http://deep.net/", true),
            ("http://x.y:90/", false),
            ("http://x.y/", true),
            ("http://localhost:9/", false),
            ("http://127.3.2.1/", false),
        ] {
            assert_eq!(goes_through(&some, url).is_some(), through, "{url}");
        }
        assert_eq!(goes_through(&Proxies::of(&config("a, *")).unwrap(), "http://11.1.2.3/"), None);
    }

    #[test]
    fn the_environment_may_name_one_for_each_scheme() {
        let variable = |names: [&str; 2]| match names[1] {
            "http_proxy" => Some("me:secret@p:3128".to_owned()),
            "https_proxy" => Some("http://s:3129".to_owned()),
            "no_proxy" => Some("example.org".to_owned()),
            _ => None,
        };
        let proxies = Proxies::default().with_environment(variable).unwrap();
        assert_eq!(goes_through(&proxies, "http://a.b/"), Some("http://me:secret@p:3128/".to_owned()));
        assert_eq!(goes_through(&proxies, "https://a.b/"), Some("http://s:3129/".to_owned()));
        assert_eq!(goes_through(&proxies, "http://example.org/"), None);
        let credential = credential(proxies.http.as_ref().unwrap()).unwrap();
        assert_eq!(credential, "Basic bWU6c2VjcmV0");
        let none = Proxies::default().with_environment(|_| None).unwrap();
        assert_eq!(goes_through(&none, "http://a.b/"), None);
        let other = Proxies::default().with_environment(|_| Some("socks5://p".to_owned())).unwrap_err();
        assert_eq!(other, "probes go through proxies of the scheme http, not socks5");
    }
}

//! The modules of a `blackbox.yml`: how to probe, and what makes a probe fail.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base_re2::Regex;
use base_stdx::bytesize::ByteSize;
use base_stdx::duration::GoDuration;
use language_eval::Validate as _;
use sdk_net::client::{Authorization, BasicAuth, OAuth2, ProxyConfig};
use sdk_net::tls::TlsVersion;
use sdk_net::{ClientConfig, TlsConfig};
use serde::{Deserialize, Deserializer};

use super::dns::names;
use super::http::Proxies;
use super::stream::TlsManner;

/// Modules of one configuration file, by name.
pub(super) type Modules = BTreeMap<String, Module>;

/// One module.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Module {
    /// `http`, `tcp`, `icmp`, `dns` or `grpc`; another one is told when it is asked for.
    pub prober: String,
    /// The longest that a probe takes; none means what the scraper allows.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    pub http: Http,
    pub tcp: Tcp,
    pub icmp: Icmp,
    pub dns: Option<Dns>,
    pub grpc: Grpc,
}

/// Which addresses to use of those that a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub prefer_v4: bool,
    pub fallback: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    pub valid_status_codes: Vec<u16>,
    pub valid_http_versions: Vec<String>,
    preferred_ip_protocol: String,
    ip_protocol_fallback: bool,
    skip_resolve_phase_with_proxy: bool,
    no_follow_redirects: Option<bool>,
    pub fail_if_ssl: bool,
    pub fail_if_not_ssl: bool,
    #[serde(deserialize_with = "method")]
    pub method: http::Method,
    pub headers: BTreeMap<String, String>,
    pub fail_if_body_matches_regexp: Vec<Expression>,
    pub fail_if_body_not_matches_regexp: Vec<Expression>,
    pub fail_if_header_matches: Vec<HeaderMatch>,
    pub fail_if_header_not_matches: Vec<HeaderMatch>,
    pub body: String,
    pub body_file: String,
    #[serde(deserialize_with = "compression")]
    pub compression: Option<Compression>,
    #[serde(deserialize_with = "size")]
    pub body_size_limit: Option<usize>,
    basic_auth: Option<Basic>,
    authorization: Option<Credential>,
    oauth2: Option<ClientCredentials>,
    bearer_token: String,
    bearer_token_file: String,
    tls_config: Tls,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
    http_headers: BTreeMap<String, HeaderValues>,
    proxy_url: Option<String>,
    no_proxy: Option<String>,
    proxy_from_environment: Option<bool>,
    proxy_connect_header: BTreeMap<String, Vec<String>>,
}

/// How the body of an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    /// RFC 1951, without the frame that HTTP means by the word.
    Deflate,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderMatch {
    pub header: String,
    pub regexp: Expression,
    #[serde(default)]
    pub allow_missing: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tcp {
    preferred_ip_protocol: String,
    ip_protocol_fallback: bool,
    #[serde(deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    pub query_response: Vec<QueryResponse>,
    pub tls: bool,
    tls_config: Tls,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QueryResponse {
    pub expect: Option<Expression>,
    pub send: String,
    pub starttls: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Icmp {
    preferred_ip_protocol: String,
    ip_protocol_fallback: bool,
    #[serde(deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    pub payload_size: usize,
    pub dont_fragment: bool,
    pub ttl: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dns {
    preferred_ip_protocol: String,
    ip_protocol_fallback: bool,
    pub dns_over_tls: bool,
    tls_config: Tls,
    #[serde(deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    pub transport_protocol: String,
    #[serde(deserialize_with = "query_class")]
    pub query_class: u16,
    pub query_name: String,
    #[serde(deserialize_with = "query_type")]
    pub query_type: u16,
    pub recursion_desired: bool,
    pub valid_rcodes: Vec<String>,
    pub validate_answer_rrs: Validator,
    pub validate_authority_rrs: Validator,
    pub validate_additional_rrs: Validator,
}

/// What the records of a section must look like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Validator {
    pub fail_if_matches_regexp: Vec<Expression>,
    pub fail_if_all_match_regexp: Vec<Expression>,
    pub fail_if_not_matches_regexp: Vec<Expression>,
    pub fail_if_none_matches_regexp: Vec<Expression>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Grpc {
    pub service: String,
    pub tls: bool,
    tls_config: Tls,
    ip_protocol_fallback: bool,
    preferred_ip_protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tls {
    ca: String,
    ca_file: String,
    cert: String,
    cert_file: String,
    key: String,
    key_file: String,
    server_name: String,
    insecure_skip_verify: bool,
    #[serde(deserialize_with = "tls_version")]
    min_version: Option<TlsVersion>,
    #[serde(deserialize_with = "newest_tls_version")]
    max_version: Option<TlsVersion>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Basic {
    username: String,
    password: String,
    password_file: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Credential {
    r#type: String,
    credentials: String,
    credentials_file: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClientCredentials {
    client_id: String,
    client_secret: String,
    client_secret_file: String,
    scopes: Vec<String>,
    token_url: String,
    endpoint_params: BTreeMap<String, String>,
    tls_config: Tls,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HeaderValues {
    values: Vec<String>,
    secrets: Vec<String>,
}

/// A regular expression that was found good when the configuration was read.
#[derive(Clone, Debug)]
pub(super) struct Expression(pub Regex);

/// Reads a configuration file; says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Modules, String> {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct File {
        modules: Option<Modules>,
    }
    if text.trim().is_empty() {
        return Ok(Modules::new());
    }
    let file: Option<File> = base_yaml::from_str(text)?;
    let modules = file.and_then(|file| file.modules).unwrap_or_default();
    for (name, module) in &modules {
        module.check().map_err(|error| format!("module {name:?}: {error}"))?;
    }
    Ok(modules)
}

// === impl Module ===

impl Default for Module {
    fn default() -> Module {
        Module {
            prober: String::new(),
            timeout: Duration::ZERO,
            http: Http::default(),
            tcp: Tcp::default(),
            icmp: Icmp::default(),
            dns: None,
            // A module without this block has other defaults than one with an empty block.
            grpc: Grpc { ip_protocol_fallback: false, ..Grpc::default() },
        }
    }
}

impl Module {
    fn check(&self) -> Result<(), String> {
        self.http.check()?;
        for tls in [&self.tcp.tls_config, &self.grpc.tls_config, &self.http.tls_config] {
            tls.check()?;
        }
        if let Some(dns) = &self.dns {
            dns.tls_config.check()?;
            if dns.query_name.is_empty() {
                return Err("query name must be set for DNS module".to_owned());
            }
        }
        match self.icmp.ttl {
            ..0 => Err("\"ttl\" cannot be negative".to_owned()),
            256.. => Err("\"ttl\" cannot exceed 255".to_owned()),
            _ if self.icmp.payload_size > MOST_PAYLOAD => {
                Err(format!("payload_size is more than {MOST_PAYLOAD} bytes"))
            }
            _ => Ok(()),
        }
    }
}

/// What fits into a packet behind the heads.
const MOST_PAYLOAD: usize = 65_507;

fn family(preferred: &str, fallback: bool) -> Family {
    Family { prefer_v4: !matches!(preferred, "" | "ip6"), fallback }
}

// === impl Http ===

impl Default for Http {
    fn default() -> Http {
        Http {
            valid_status_codes: Vec::new(),
            valid_http_versions: Vec::new(),
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            skip_resolve_phase_with_proxy: false,
            no_follow_redirects: None,
            fail_if_ssl: false,
            fail_if_not_ssl: false,
            method: http::Method::GET,
            headers: BTreeMap::new(),
            fail_if_body_matches_regexp: Vec::new(),
            fail_if_body_not_matches_regexp: Vec::new(),
            fail_if_header_matches: Vec::new(),
            fail_if_header_not_matches: Vec::new(),
            body: String::new(),
            body_file: String::new(),
            compression: None,
            body_size_limit: None,
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: String::new(),
            bearer_token_file: String::new(),
            tls_config: Tls::default(),
            follow_redirects: None,
            enable_http2: None,
            http_headers: BTreeMap::new(),
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: None,
            proxy_connect_header: BTreeMap::new(),
        }
    }
}

impl Http {
    fn check(&self) -> Result<(), String> {
        let proxy = self.proxy();
        proxy.validate().map_err(|invalid| invalid.message)?;
        if !proxy.proxy_from_environment {
            Proxies::of(&proxy)?;
        }
        if !self.body.is_empty() && !self.body_file.is_empty() {
            return Err("setting body and body_file both are not allowed".to_owned());
        }
        for header in self.fail_if_header_matches.iter().chain(&self.fail_if_header_not_matches) {
            if header.header.is_empty() {
                return Err("header name must be set for HTTP header matchers".to_owned());
            }
            if header.regexp.0.as_str().is_empty() {
                return Err("regexp must be set for HTTP header matchers".to_owned());
            }
        }
        for (name, value) in &self.headers {
            http::HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is not the name of a header"))?;
            http::HeaderValue::try_from(value.as_str())
                .map_err(|_| format!("header {name} has a value that no header may have"))?;
            if name.eq_ignore_ascii_case("accept-encoding") && !self.is_accepted(value) {
                let word = self.compression.map_or("", Compression::word);
                return Err(format!("invalid configuration \"{name}: {value}\", \"compression: {word}\""));
            }
        }
        if self.oauth2.as_ref().is_some_and(|oauth2| oauth2.tls_config.max_version.is_some()) {
            return Err("max_version in the tls_config of oauth2 is not implemented yet".to_owned());
        }
        self.client().validate().map_err(|invalid| invalid.message)
    }

    /// Whether servers that respect this `Accept-Encoding` may compress as the module expects. Of several mentions, the one
    /// with the highest weight counts.
    fn is_accepted(&self, accepted: &str) -> bool {
        let Some(compression) = self.compression.filter(|_| !accepted.is_empty()) else { return true };
        let weight = |part: &str| -> (String, f64) {
            match part.rsplit_once(';') {
                Some((word, weight)) => {
                    let weight = weight.trim();
                    let weight = weight.strip_prefix("q=").unwrap_or(weight).parse().unwrap_or(0.0);
                    (word.trim().to_owned(), weight)
                }
                None => (part.trim().to_owned(), 1.0),
            }
        };
        let mentions = accepted.split(',').map(weight).filter(|(word, _)| word == compression.word() || word == "*");
        mentions.map(|(_, weight)| weight).fold(0.0, f64::max) > 0.0
    }

    pub fn family(&self) -> Family {
        family(&self.preferred_ip_protocol, self.ip_protocol_fallback)
    }

    pub fn follows_redirects(&self) -> bool {
        self.no_follow_redirects.map(|not| !not).or(self.follow_redirects).unwrap_or(true)
    }

    /// The proxy looks names up instead.
    pub fn skips_resolve(&self) -> bool {
        let by_url = self.proxy_url.as_ref().is_some_and(|url| !url.is_empty());
        self.skip_resolve_phase_with_proxy && by_url
    }

    /// The way to the target.
    pub fn proxy(&self) -> ProxyConfig {
        let secret = |values: &Vec<String>| values.iter().map(|value| value.clone().into()).collect();
        let headers = self.proxy_connect_header.iter();
        ProxyConfig {
            proxy_url: self.proxy_url.clone().unwrap_or_default(),
            no_proxy: self.no_proxy.clone().unwrap_or_default(),
            proxy_from_environment: self.proxy_from_environment.unwrap_or_default(),
            proxy_connect_header: headers.map(|(name, values)| (name.clone(), secret(values))).collect(),
        }
    }

    /// How to speak TLS, as this identity.
    pub fn tls(&self, config: TlsConfig) -> TlsManner {
        TlsManner { config, newest: self.tls_config.max_version }
    }

    pub fn speaks_http2(&self) -> bool {
        self.enable_http2.unwrap_or(true)
    }

    /// Who to be, and whom to trust.
    pub fn client(&self) -> ClientConfig {
        ClientConfig {
            basic_auth: self.basic_auth.clone().map(|basic| BasicAuth {
                username: basic.username,
                password: basic.password.into(),
                password_file: basic.password_file,
            }),
            authorization: self.authorization.clone().map(|credential| Authorization {
                r#type: credential.r#type,
                credentials: credential.credentials.into(),
                credentials_file: credential.credentials_file,
            }),
            oauth2: self.oauth2.clone().map(|client| OAuth2 {
                client_id: client.client_id,
                client_secret: client.client_secret.into(),
                client_secret_file: client.client_secret_file,
                scopes: client.scopes,
                token_url: client.token_url,
                endpoint_params: client.endpoint_params,
                tls_config: Some(client.tls_config.config()),
                ..OAuth2::default()
            }),
            bearer_token: self.bearer_token.clone().into(),
            bearer_token_file: self.bearer_token_file.clone(),
            tls_config: self.tls_config.config(),
            proxy: self.proxy(),
            ..ClientConfig::default()
        }
    }

    /// Headers of `http_headers`; those of `headers` come first.
    pub fn more_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.http_headers.iter().flat_map(|(name, more)| {
            more.values.iter().chain(&more.secrets).map(move |value| (name.as_str(), value.as_str()))
        })
    }
}

impl Compression {
    fn word(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Deflate => "deflate",
        }
    }
}

// === impl Tcp, Icmp, Dns, Grpc ===

impl Default for Tcp {
    fn default() -> Tcp {
        Tcp {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            query_response: Vec::new(),
            tls: false,
            tls_config: Tls::default(),
        }
    }
}

impl Tcp {
    pub fn family(&self) -> Family {
        family(&self.preferred_ip_protocol, self.ip_protocol_fallback)
    }

    pub fn tls(&self) -> TlsManner {
        self.tls_config.manner()
    }
}

impl Default for Icmp {
    fn default() -> Icmp {
        Icmp {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            payload_size: 0,
            dont_fragment: false,
            ttl: 64,
        }
    }
}

impl Icmp {
    pub fn family(&self) -> Family {
        family(&self.preferred_ip_protocol, self.ip_protocol_fallback)
    }
}

impl Default for Dns {
    fn default() -> Dns {
        Dns {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            dns_over_tls: false,
            tls_config: Tls::default(),
            source_ip_address: None,
            transport_protocol: String::new(),
            query_class: names::CLASS_IN,
            query_name: String::new(),
            query_type: names::TYPE_ANY,
            recursion_desired: true,
            valid_rcodes: Vec::new(),
            validate_answer_rrs: Validator::default(),
            validate_authority_rrs: Validator::default(),
            validate_additional_rrs: Validator::default(),
        }
    }
}

impl Dns {
    pub fn family(&self) -> Family {
        family(&self.preferred_ip_protocol, self.ip_protocol_fallback)
    }

    pub fn tls(&self) -> TlsManner {
        self.tls_config.manner()
    }
}

impl Default for Grpc {
    fn default() -> Grpc {
        Grpc {
            service: String::new(),
            tls: false,
            tls_config: Tls::default(),
            ip_protocol_fallback: true,
            preferred_ip_protocol: String::new(),
        }
    }
}

impl Grpc {
    pub fn family(&self) -> Family {
        family(&self.preferred_ip_protocol, self.ip_protocol_fallback)
    }

    pub fn tls(&self) -> TlsManner {
        self.tls_config.manner()
    }
}

// === impl Tls ===

impl Tls {
    fn check(&self) -> Result<(), String> {
        self.config().validate().map_err(|invalid| invalid.message)
    }

    fn manner(&self) -> TlsManner {
        TlsManner { config: self.config(), newest: self.max_version }
    }

    fn config(&self) -> TlsConfig {
        TlsConfig {
            ca_pem: self.ca.clone(),
            ca_file: self.ca_file.clone(),
            cert_pem: self.cert.clone(),
            cert_file: self.cert_file.clone(),
            key_pem: self.key.clone().into(),
            key_file: self.key_file.clone(),
            server_name: self.server_name.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            min_version: self.min_version,
        }
    }
}

// === Words ===

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expression, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Expression).map_err(|_| {
            serde::de::Error::custom(format!("\"Could not compile regular expression\" regexp=\"{text}\""))
        })
    }
}

/// Reads a text, and makes of it what `parse` says.
fn parsed<'de, D: Deserializer<'de>, T>(deserializer: D, parse: fn(&str) -> Result<T, String>) -> Result<T, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    parse(&text).map_err(serde::de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(deserializer, |text| {
        if text.is_empty() {
            return Ok(Duration::ZERO);
        }
        let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
        Ok(duration.to_std().unwrap_or_default())
    })
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<http::Method, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Ok(http::Method::GET),
        text => http::Method::try_from(text).map_err(|_| format!("{text:?} is not a method of HTTP")),
    })
}

fn compression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Compression>, D::Error> {
    parsed(deserializer, |text| match text.to_lowercase().as_str() {
        "" | "identity" => Ok(None),
        "gzip" => Ok(Some(Compression::Gzip)),
        "deflate" => Ok(Some(Compression::Deflate)),
        "br" => Err("compression br cannot be undone here".to_owned()),
        other => Err(format!("compression {other:?} is not known")),
    })
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    parsed(deserializer, |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let size: ByteSize = text.parse().map_err(|error| format!("{error}"))?;
        Ok(size.to_usize().filter(|size| *size > 0))
    })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("error parsing source ip address: {text}")),
    })
}

fn tls_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TlsVersion>, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Ok(None),
        "TLS10" => Ok(Some(TlsVersion::Tls10)),
        "TLS11" => Ok(Some(TlsVersion::Tls11)),
        "TLS12" => Ok(Some(TlsVersion::Tls12)),
        "TLS13" => Ok(Some(TlsVersion::Tls13)),
        other => Err(format!("unknown TLS version: {other}")),
    })
}

/// Versions before 1.2 are not spoken here.
fn newest_tls_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TlsVersion>, D::Error> {
    match tls_version(deserializer)? {
        Some(TlsVersion::Tls10 | TlsVersion::Tls11) => {
            Err(serde::de::Error::custom("max_version is older than TLS 1.2, and nothing older is spoken here"))
        }
        version => Ok(version),
    }
}

fn query_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Ok(names::TYPE_ANY),
        text => names::type_of(text).ok_or_else(|| format!("query type '{text}' is not valid")),
    })
}

fn query_class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    parsed(deserializer, |text| match text {
        "" => Ok(names::CLASS_IN),
        text => names::class_of(text).ok_or_else(|| format!("query class '{text}' is not valid")),
    })
}

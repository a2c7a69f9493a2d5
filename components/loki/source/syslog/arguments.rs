//! What the block holds.

use std::collections::BTreeMap;
use std::time::Duration;

use base_stdx::GoDuration;
use language_eval::{Arguments, Block, Invalid, Validate, Word};
use sdk_component::{Context, Problem, Stability};
use sdk_net::TlsConfig;
use sdk_net::server::{ClientAuth, ServerTlsConfig};
use sdk_protocols_syslog::rfc3164::Extras;
use sdk_relabel::Rules;
use sdk_signals::LogsReceiver;

use super::framing::Cut;

/// Takes syslog messages over TCP and UDP.
///
/// A listener reads RFC 5424, RFC 3164 (also as Cisco's devices write it) or lines as they are. Over TCP messages come with
/// their length in front or with a line end behind them; the first byte of a connection tells which. What a message says
/// of itself is in internal labels (`__syslog_message_hostname`, `__syslog_message_severity`, …), which `relabel_rules` can
/// keep; so are the sender's address (`__syslog_connection_ip_address`) and name (`__syslog_connection_hostname`, looked
/// up only when there are rules). When the pipeline is full, senders over TCP wait.
#[derive(Arguments)]
pub struct SyslogArguments {
    /// Where to listen.
    #[block(required)]
    pub listener: Vec<ListenerArguments>,
    /// Who gets the entries.
    #[attr]
    pub forward_to: Vec<LogsReceiver>,
    /// Rules for the labels of each message.
    #[attr(optional)]
    pub relabel_rules: Option<Rules>,
}

/// One address to listen on.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct ListenerArguments {
    /// `host:port`.
    #[attr]
    pub address: String,
    /// `tcp` or `udp`.
    #[attr(default = "tcp".to_owned())]
    pub protocol: String,
    /// Closes a TCP connection that was silent for so long; 0 is 2m.
    #[attr(default = GoDuration::from_secs(120))]
    pub idle_timeout: GoDuration,
    /// Make structured data labels: `__syslog_message_sd_<id>_<name>`.
    #[attr(optional)]
    pub label_structured_data: bool,
    /// Labels for every entry.
    #[attr(optional)]
    pub labels: BTreeMap<String, String>,
    /// Keep the time that a message tells; otherwise an entry gets the time of its arrival, as it does when the message
    /// tells no time or one without a year.
    #[attr(optional)]
    pub use_incoming_timestamp: bool,
    /// The whole message is the line, not only its text.
    #[attr(optional)]
    pub use_rfc5424_message: bool,
    /// A time without a year is of the year in which it is nearest to now.
    #[attr(optional)]
    pub rfc3164_default_to_current_year: bool,
    /// Keep messages without a text.
    #[attr(optional)]
    pub rfc5424_allow_empty_msg: bool,
    /// The longest datagram, and the longest message that comes with its length, in bytes; 0 is 8192.
    #[attr(default = 8192)]
    pub max_message_length: i64,
    /// Speak TLS, over TCP; with an authority, clients must show a certificate.
    #[block(optional)]
    pub tls_config: TlsConfig,
    /// `rfc5424`, `rfc3164` or `raw`.
    #[attr(default = Format::Rfc5424)]
    pub syslog_format: Format,
    /// For `raw`.
    #[block]
    pub raw_format_options: Option<RawFormatOptions>,
    /// For `rfc3164`: what Cisco's devices put before the time.
    #[block]
    pub rfc3164_cisco_components: Option<CiscoComponents>,
    /// Datagrams that are read before they are handed on; 0 is 10.
    #[attr(default = 10)]
    pub udp_queue_size: i64,
    /// Names of senders over UDP that are remembered; 0 is 128.
    #[attr(default = 128)]
    pub udp_host_cache_size: i64,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Format {
    /// `<34>1 2026-03-04T05:06:07Z host app 77 - - text`
    #[word(name = "rfc5424")]
    Rfc5424,
    /// `<34>Mar  4 05:06:07 host app[77]: text`
    #[word(name = "rfc3164")]
    Rfc3164,
    /// Any text.
    #[word(name = "raw")]
    Raw,
}

/// For lines as they are.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct RawFormatOptions {
    /// Lines end with a NUL byte.
    #[attr(optional)]
    pub use_null_terminator_delimiter: bool,
}

/// What Cisco's devices put before the time.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct CiscoComponents {
    /// All of it.
    #[attr(optional)]
    pub enable_all: bool,
    /// A number of the message.
    #[attr(optional)]
    pub message_counter: bool,
    /// A number of the sequence.
    #[attr(optional)]
    pub sequence_number: bool,
    /// The name of the device.
    #[attr(optional)]
    pub hostname: bool,
    /// Fractions of a second in the time.
    #[attr(optional)]
    pub second_fractions: bool,
}

// === impl SyslogArguments ===

impl SyslogArguments {
    /// What Alloy allows only at `--stability.level=experimental`.
    pub fn check_stability(&self, context: &Context) -> Result<(), Problem> {
        if context.minimum_stability() <= Stability::Experimental {
            return Ok(());
        }
        for listener in &self.listener {
            let what = match () {
                () if listener.syslog_format == Format::Raw => "\"raw\" syslog format",
                () if listener.rfc3164_cisco_components.is_some() => "rfc3164_cisco_components block",
                () => continue,
            };
            let message = format!("{what} is available only at experimental stability level");
            return Err(Problem::at("listener", message).with_hint("start with --stability.level=experimental"));
        }
        Ok(())
    }
}

// === impl ListenerArguments ===

impl Validate for ListenerArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if !matches!(self.protocol.as_str(), "tcp" | "udp") {
            let message = format!("syslog listener protocol should be either 'tcp' or 'udp', got {}", self.protocol);
            return Err(Invalid::field("protocol", message));
        }
        let no_effect = |field: &'static str, format: &str| {
            Err(Invalid::field(field, format!("{field:?} has no effect when syslog format is set to {format:?}")))
        };
        if self.rfc3164_cisco_components.is_some() && self.syslog_format != Format::Rfc3164 {
            let message = "rfc3164_cisco_components has no effect when syslog format is not \"rfc3164\"";
            return Err(Invalid::field("rfc3164_cisco_components", message));
        }
        if self.rfc5424_allow_empty_msg && self.syslog_format != Format::Rfc5424 {
            return no_effect("rfc5424_allow_empty_msg", self.syslog_format.as_str());
        }
        if self.syslog_format == Format::Raw {
            let useless = [
                ("use_rfc5424_message", self.use_rfc5424_message),
                ("rfc3164_default_to_current_year", self.rfc3164_default_to_current_year),
                ("use_incoming_timestamp", self.use_incoming_timestamp),
            ];
            if let Some((field, _)) = useless.into_iter().find(|(_, set)| *set) {
                return no_effect(field, "raw");
            }
        } else if self.raw_format_options.is_some() {
            let message = "raw_format_options has no effect when syslog format is not \"raw\"";
            return Err(Invalid::field("raw_format_options", message));
        }
        for (field, number) in [
            ("max_message_length", self.max_message_length),
            ("udp_queue_size", self.udp_queue_size),
            ("udp_host_cache_size", self.udp_host_cache_size),
        ] {
            if !(0..=64 << 20).contains(&number) {
                return Err(Invalid::field(field, "must be a number from 0 to 67108864"));
            }
        }
        let tls = &self.tls_config;
        let authority = !tls.ca_pem.is_empty() || !tls.ca_file.is_empty();
        if authority && !tls.has_certificate() {
            return Err(Invalid::field("tls_config", "certificate and key must be configured"));
        }
        Ok(())
    }
}

impl ListenerArguments {
    pub fn max_message_length(&self) -> usize {
        positive(self.max_message_length, 8192)
    }

    pub fn udp_queue_size(&self) -> usize {
        positive(self.udp_queue_size, 10)
    }

    pub fn udp_host_cache_size(&self) -> usize {
        positive(self.udp_host_cache_size, 128)
    }

    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout.to_std().filter(|time| !time.is_zero()).unwrap_or(Duration::from_secs(120))
    }

    pub fn cut(&self) -> Cut {
        match (self.syslog_format, &self.raw_format_options) {
            (Format::Raw, Some(options)) if options.use_null_terminator_delimiter => Cut::Raw(0),
            (Format::Raw, _) => Cut::Raw(b'\n'),
            _ => Cut::Messages,
        }
    }

    pub fn cisco_extras(&self) -> Extras {
        self.rfc3164_cisco_components.as_ref().map_or_else(Extras::default, |cisco| Extras {
            message_counter: cisco.enable_all || cisco.message_counter,
            sequence_number: cisco.enable_all || cisco.sequence_number,
            hostname: cisco.enable_all || cisco.hostname,
            second_fractions: cisco.enable_all || cisco.second_fractions,
            ..Extras::default()
        })
    }

    /// What to show to clients, if TLS is spoken.
    pub fn tls(&self) -> Option<ServerTlsConfig> {
        let tls = &self.tls_config;
        let authority = !tls.ca_pem.is_empty() || !tls.ca_file.is_empty();
        (self.protocol == "tcp" && tls.has_certificate()).then(|| ServerTlsConfig {
            cert_pem: tls.cert_pem.clone(),
            cert_file: tls.cert_file.clone(),
            key_pem: tls.key_pem.clone(),
            key_file: tls.key_file.clone(),
            client_ca_pem: tls.ca_pem.clone(),
            client_ca_file: tls.ca_file.clone(),
            client_auth: if authority { ClientAuth::RequireAndVerifyClientCert } else { ClientAuth::NoClientCert },
            min_version: tls.min_version,
            not_http: true,
            ..ServerTlsConfig::default()
        })
    }
}

fn positive(number: i64, default: usize) -> usize {
    usize::try_from(number).ok().filter(|number| *number > 0).unwrap_or(default)
}

// === impl CiscoComponents ===

impl Validate for CiscoComponents {
    fn validate(&self) -> Result<(), Invalid> {
        let any = self.message_counter || self.sequence_number || self.hostname || self.second_fractions;
        match self.enable_all || any {
            true => Ok(()),
            false => Err(Invalid::block("at least one option in rfc3164_cisco_components has to be enabled")),
        }
    }
}

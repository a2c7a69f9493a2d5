//! From messages to entries, and on to the pipeline.

use std::sync::Arc;
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::quote::quote;
use base_stdx::timestamp::{Date, days_since_1970};
use bytes::Bytes;
use language_eval::Word as _;
use sdk_component::{Stop, Tap};
use sdk_labels::{Labels, LabelsBuilder};
use sdk_protocols_syslog::{Message, Timestamp, rfc3164, rfc5424};
use sdk_relabel::Rules;
use sdk_signals::{FanOut, LogBatch, LogEntry, LogGroup};
use tokio::sync::watch;

use super::arguments::{Format, ListenerArguments};
use super::raw;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// What all listeners share.
#[derive(Clone)]
pub struct Shared {
    pub entries: Counter,
    pub parsing_errors: Counter,
    pub empty_messages: Counter,
    pub wanted: watch::Receiver<Arc<Forwarding>>,
    pub tap: Tap,
}

/// Where entries go, and how their labels are made.
pub struct Forwarding {
    pub forward_to: FanOut<LogBatch>,
    pub rules: Option<Rules>,
}

/// Reads the messages of one sender.
pub struct Intake {
    shared: Shared,
    arguments: Arc<ListenerArguments>,
    /// Of the listener and the sender.
    origin: Labels,
    builder: LabelsBuilder,
    batch: LogBatch,
    /// The time of the last entry that got ours: two messages never get the same, as Loki takes equal lines of one time for
    /// one.
    last: i64,
}

// === impl Intake ===

impl Intake {
    pub fn new(shared: Shared, arguments: Arc<ListenerArguments>, address: &str, hostname: &str) -> Intake {
        let own = arguments.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let sender = [("__syslog_connection_ip_address", address), ("__syslog_connection_hostname", hostname)];
        let origin = Labels::from_pairs(own.chain(sender).filter(|(_, value)| !value.is_empty()));
        Intake { shared, arguments, origin, builder: LabelsBuilder::default(), batch: LogBatch::default(), last: 0 }
    }

    /// Takes one message; `counted`: it came with its length.
    pub fn message(&mut self, bytes: Bytes, counted: bool) {
        let arguments = self.arguments.clone();
        if arguments.syslog_format == Format::Raw {
            return self.raw(&bytes, counted);
        }
        let read = match arguments.syslog_format {
            Format::Rfc3164 => {
                let extras = rfc3164::Extras { newlines: counted, ..arguments.cisco_extras() };
                // The line end of a counted message is part of the framing.
                let message = if counted { rfc3164::without_line_end(&bytes) } else { &bytes };
                rfc3164::parse(message, extras)
            }
            _ => rfc5424::parse(&bytes),
        };
        let message = match read {
            Ok(message) => message,
            Err(error) => return self.fault(&error.to_string()),
        };
        if message.text.is_empty() {
            self.shared.empty_messages.inc();
            if !arguments.rfc5424_allow_empty_msg {
                return;
            }
        }
        let line = match arguments.use_rfc5424_message && arguments.syslog_format == Format::Rfc5424 {
            true => Bytes::from(rfc5424::write(&message)),
            false if message.text.is_empty() => Bytes::new(),
            false => bytes.slice_ref(message.text),
        };
        let time = self.time(&message);
        let labels = self.labels(&message);
        self.show(&message, &labels, time, &line);
        self.push(labels, LogEntry::new(time, line));
    }

    fn raw(&mut self, bytes: &Bytes, counted: bool) {
        let Some((priority, line)) = raw::parse(bytes, counted) else { return };
        if line.is_empty() {
            self.shared.empty_messages.inc();
            return;
        }
        let message = Message { priority, ..Message::default() };
        let labels = self.labels(&message);
        let time = self.now();
        self.show(&message, &labels, time, &line);
        self.push(labels, LogEntry::new(time, line));
    }

    /// Something that is no message.
    pub fn fault(&self, why: &str) {
        self.shared.parsing_errors.inc();
        tracing::debug!(error = why, "a syslog message cannot be read");
    }

    fn push(&mut self, labels: Labels, entry: LogEntry) {
        match self.batch.groups.last_mut().filter(|group| group.labels == labels) {
            Some(group) => group.entries.push(entry),
            None => self.batch.groups.push(LogGroup { labels, entries: vec![entry] }),
        }
    }

    fn now(&mut self) -> i64 {
        self.last = base_sys::clock::now_ns().max(self.last + 1);
        self.last
    }

    fn time(&mut self, message: &Message<'_>) -> i64 {
        match message.timestamp.filter(|_| self.arguments.use_incoming_timestamp) {
            Some(Timestamp::Moment { nanos, .. }) => nanos,
            Some(Timestamp::NoYear { month, day, nanos_of_day }) if self.arguments.rfc3164_default_to_current_year => {
                let today = Date::from_days(base_sys::clock::now_ns().div_euclid(NANOS_PER_DAY));
                let year = rfc3164::year_near(month, today.year, i64::from(today.month));
                days_since_1970(year, month, day) * NANOS_PER_DAY + nanos_of_day
            }
            _ => self.now(),
        }
    }

    fn labels(&mut self, message: &Message<'_>) -> Labels {
        let wanted = self.shared.wanted.borrow().clone();
        self.builder.reset(&self.origin);
        // Without rules none of these would leave us.
        if let Some(rules) = &wanted.rules {
            self.describe(message);
            // As in Alloy, a rule that drops ends the rules, and the message goes on with the labels that it has by then.
            let _ = rules.apply(&mut self.builder);
        }
        let labels = self.builder.labels();
        Labels::from_pairs(labels.iter().filter(|(name, _)| !name.starts_with("__")))
    }

    /// A message and its labels before and after the rules, for those who look at the component.
    fn show(&mut self, message: &Message<'_>, labels: &Labels, time: i64, line: &[u8]) {
        let tap = self.shared.tap.clone();
        let Some(look) = tap.look() else { return };
        look.count("loki_log", 1);
        if !look.wants_text() {
            return;
        }
        self.builder.reset(&self.origin);
        self.describe(message);
        let original = self.builder.labels();
        look.show(|| {
            let (format, line) = (quote(self.arguments.syslog_format.as_str().as_bytes()), quote(line));
            let time = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
            let time = time.strftime("%Y-%m-%dT%H:%M:%SZ");
            format!(
                "[IN] New Log: Format={format} TS=\"{time}\"\n  Message: {line}\n  Labels:\n  - Mapped:   {labels}\n  - Original: {original}\n"
            )
        });
    }

    fn describe(&mut self, message: &Message<'_>) {
        let parts = [
            ("__syslog_message_severity", message.severity()),
            ("__syslog_message_facility", message.facility()),
            ("__syslog_message_hostname", message.hostname),
            ("__syslog_message_app_name", message.app_name),
            ("__syslog_message_proc_id", message.proc_id.as_deref()),
            ("__syslog_message_msg_id", message.msg_id),
        ];
        for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            self.builder.set(name, value);
        }
        let numbers = [
            ("__syslog_message_msg_counter", message.message_counter),
            ("__syslog_message_sequence", message.sequence),
        ];
        for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
            self.builder.set(name, &number.to_string());
        }
        if self.arguments.label_structured_data {
            for element in &message.data {
                let id = element.id.replace('@', "_");
                for (name, value) in &element.parameters {
                    self.builder.set(&format!("__syslog_message_sd_{id}_{name}"), value);
                }
            }
        }
    }

    /// Hands on what has been read. A pipeline that refuses is asked again, and the sender waits meanwhile; false: the stop
    /// came first, and what was read is lost.
    pub async fn forward(&mut self, stop: &Stop) -> bool {
        const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
        if self.batch.is_empty() {
            return true;
        }
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        let mut pause = PAUSES.0;
        let deadline = async {
            stop.stopped().await;
            tokio::time::sleep(stop.grace()).await;
        };
        tokio::pin!(deadline);
        loop {
            let forward_to = self.shared.wanted.borrow().forward_to.clone();
            let taken = tokio::select! {
                taken = forward_to.consume(batch.clone()) => taken,
                () = &mut deadline => return false,
            };
            match taken {
                Ok(delivery) => {
                    // Nobody can be asked to send it again.
                    delivery.detach();
                    self.shared.entries.add(count);
                    return true;
                }
                Err(refused) if refused.retryable => {
                    let wait = refused.retry_after.unwrap_or(pause).min(PAUSES.1);
                    pause = (pause * 2).min(PAUSES.1);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = &mut deadline => return false,
                    }
                }
                Err(refused) => {
                    tracing::error!(entries = count, %refused, "entries are lost: the pipeline will never take them");
                    return true;
                }
            }
        }
    }
}

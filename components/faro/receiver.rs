//! `faro.receiver`: takes what browsers send of a page's life.
//!
//! A payload is read once; its logs, exceptions, measurements and events become one batch of lines, its traces stay OTLP. It
//! is answered with 202 when both are taken, and retryably when one is not.

mod arguments;
mod cors;
mod counters;
mod intake;
mod kinds;
mod line;
mod lines;
mod maps;
mod moment;
mod payload;
mod places;
mod rate;
mod read;
mod source_map;

use std::sync::{Arc, Mutex, PoisonError};

use language_eval::{BodyNode, ToValue};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_net::server::Push;
use sdk_net::server::push::Settings;
use sdk_otel::output::Outputs;
use sdk_signals::FanOut;
use tokio::sync::watch;

use arguments::{RateLimitingBlock, ReceiverArguments, SourceMapsBlock};
use cors::Cors;
use counters::Counters;
use intake::{Intake, Wanted};
use lines::Writer;
use maps::Maps;
use rate::RateLimit;

/// The largest body where the configuration sets none.
const MAX_BODY: usize = 100 << 20;

/// The component.
pub struct Receiver {
    context: Context,
    server: Push,
    intake: Arc<Intake>,
    /// The maps in use, for the task that forgets those that are not.
    maps: watch::Sender<Arc<Maps>>,
    current: Arc<Mutex<Current>>,
}

/// The arguments whose state is kept when they stay as they are: source maps, tokens.
struct Current {
    maps: SourceMapsBlock,
    rate: RateLimitingBlock,
}

// === impl Receiver ===

impl Component for Receiver {
    const NAME: &'static str = "faro.receiver";
    type Arguments = ReceiverArguments;
    type Exports = ();

    fn build(context: &Context, arguments: ReceiverArguments) -> Result<Receiver, Problem> {
        let settings = Settings::new(&arguments.server.push())?;
        let counters = Counters::new(context.metrics());
        let maps = Arc::new(Maps::new(&arguments.sourcemaps, &counters)?);
        let rate = Arc::new(RateLimit::new(&arguments.server.rate_limiting, context.metrics()));
        let traces = Outputs::new(context, &arguments.output.otel());
        let current = Current { maps: arguments.sourcemaps.clone(), rate: arguments.server.rate_limiting.clone() };
        let wanted = Mutex::new(Arc::new(arguments.wanted(context, maps.clone(), rate)));
        Ok(Receiver {
            context: context.clone(),
            server: Push::new(context, "faro_receiver", settings),
            intake: Arc::new(Intake { counters, traces, local: moment::local(), wanted }),
            maps: watch::Sender::new(maps),
            current: Arc::new(Mutex::new(current)),
        })
    }

    fn update(&self, arguments: ReceiverArguments) -> Result<Update, Problem> {
        let settings = Settings::new(&arguments.server.push())?;
        let now = self.intake.wanted();
        let (same_maps, same_rate) = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            (current.maps == arguments.sourcemaps, current.rate == arguments.server.rate_limiting)
        };
        let maps = match same_maps {
            true => now.maps.clone(),
            false => Arc::new(Maps::new(&arguments.sourcemaps, &self.intake.counters)?),
        };
        let rate = match same_rate {
            true => now.rate.clone(),
            false => Arc::new(RateLimit::new(&arguments.server.rate_limiting, self.context.metrics())),
        };
        let next = Current { maps: arguments.sourcemaps.clone(), rate: arguments.server.rate_limiting.clone() };
        let otel = arguments.output.otel();
        let wanted = Arc::new(arguments.wanted(&self.context, maps.clone(), rate));
        let (intake, server, sender, current) =
            (self.intake.clone(), self.server.clone(), self.maps.clone(), self.current.clone());
        Ok(Update::then(move || {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = next;
            *intake.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
            intake.traces.replace(&otel);
            sender.send_replace(maps);
            server.set(settings);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut maps = self.maps.subscribe();
        let tidy = async {
            loop {
                let now = maps.borrow_and_update().clone();
                tokio::select! {
                    () = now.tidy() => {}
                    changed = maps.changed() => if changed.is_err() { std::future::pending().await },
                }
            }
        };
        tokio::select! {
            () = self.server.run(&self.context, self.intake.clone(), &stop) => {}
            () = tidy => {}
        }
        Ok(())
    }

    fn describe(&self) -> Description {
        let address = self.server.address().map_or_else(String::new, |address| address.to_string());
        let listening = BodyNode::Attribute { name: "listening_on".to_owned(), value: address.to_value() };
        Description { debug_info: vec![listening] }
    }
}

impl ReceiverArguments {
    fn wanted(self, context: &Context, maps: Arc<Maps>, rate: Arc<RateLimit>) -> Wanted {
        let logs = self.output.logs.into_iter().map(|receiver| receiver.0);
        Wanted {
            max_body: self.server.max_allowed_payload_size.to_usize().filter(|size| *size > 0).unwrap_or(MAX_BODY),
            cors: Cors::new(&self.server.cors_allowed_origins),
            api_key: self.server.api_key,
            include_metadata: self.server.include_metadata,
            rate,
            writer: Writer { format: self.log_format, labels: self.extra_log_labels },
            maps,
            logs: FanOut::new(logs).counted(context.metrics()),
        }
    }
}

/// What must hold for any bytes.
pub mod fuzz {
    use super::*;

    /// A payload is read or refused, and its lines are written in both forms, within their bound.
    pub fn payload(bytes: &[u8]) {
        let Ok(payload) = payload::Payload::read(bytes, &jiff::tz::TimeZone::UTC) else { return };
        let labels = [("kind", ""), ("app_name", ""), ("value_a", ""), ("fixed", "x")];
        let labels: std::collections::BTreeMap<_, _> =
            labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for format in [arguments::LogFormat::Logfmt, arguments::LogFormat::Json] {
            let writer = Writer { format, labels: labels.clone() };
            let Ok(batch) = writer.batch(&payload, &lines::Found::default()) else { return };
            let items =
                [payload.logs.len(), payload.exceptions.len(), payload.measurements.len(), payload.events.len()];
            assert_eq!(batch.len(), items.iter().sum::<usize>());
            for entry in batch.groups.iter().flat_map(|group| &group.entries) {
                assert!(!entry.line.contains(&b'\n'), "one line");
                if format == arguments::LogFormat::Json {
                    let read: serde_json::Map<String, serde_json::Value> =
                        serde_json::from_slice(&entry.line).expect("a line of JSON can be read");
                    assert!(read.contains_key("browser_mobile"));
                }
            }
        }
    }

    /// A source map is read or refused, and any place is looked up.
    pub fn source_map(bytes: &[u8]) {
        let Ok(map) = source_map::SourceMap::read(bytes, "http://x.example/a.js.map") else { return };
        for line in [i64::MIN, -1, 0, 1, 2, 3, i64::MAX] {
            for column in [i64::MIN, 0, 1, 7, i64::MAX] {
                map.translate(&payload::Frame { line, column, ..payload::Frame::default() });
            }
        }
    }
}

#[cfg(test)]
mod tests;

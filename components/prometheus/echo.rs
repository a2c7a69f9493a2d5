//! `prometheus.echo`: shows what it receives in the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::{write_escaped_label, write_go_float};
use language_eval::{Arguments, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use sdk_signals::{BoxFuture, Consumer, Delivery, MetricsReceiver, Receiver, Refused, SampleBatch, Samples};
use tracing::Span;

/// Writes every sample that it receives to the log of Ferroalloy, for a look at what flows through a pipeline.
#[derive(Arguments, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct EchoArguments {
    /// How samples are shown: `text` or `openmetrics`.
    #[attr(default = "text")]
    format: String,
}

/// What others may refer to.
#[derive(Exports)]
pub struct EchoExports {
    /// Takes the samples to show.
    receiver: MetricsReceiver,
}

/// The component.
pub struct Echo {
    console: Arc<Console>,
}

struct Console {
    format: Mutex<Format>,
    span: Span,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Text,
    OpenMetrics,
}

impl Component for Echo {
    const NAME: &'static str = "prometheus.echo";

    type Arguments = EchoArguments;
    type Exports = EchoExports;

    fn build(context: &Context, arguments: EchoArguments) -> Result<Echo, Problem> {
        let console = Arc::new(Console { format: Mutex::new(arguments.format()), span: context.span().clone() });
        let receiver = MetricsReceiver(Receiver::new(context.id(), console.clone()));
        context.publish(&EchoExports { receiver });
        Ok(Echo { console })
    }

    fn update(&self, arguments: EchoArguments) -> Result<Update, Problem> {
        let console = self.console.clone();
        Ok(Update::then(move || {
            *console.format.lock().unwrap_or_else(PoisonError::into_inner) = arguments.format();
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}

impl EchoArguments {
    fn format(&self) -> Format {
        if self.format == "openmetrics" { Format::OpenMetrics } else { Format::Text }
    }
}

impl Validate for EchoArguments {
    fn validate(&self) -> Result<(), Invalid> {
        // Alloy takes any word and shows text; that a word is taken must not mean that it is understood.
        match self.format.as_str() {
            "text" | "openmetrics" | "" => Ok(()),
            other => {
                let invalid = Invalid::field("format", format!("{other:?} is not a format of prometheus.echo"));
                Err(invalid.with_hint("use \"text\" or \"openmetrics\""))
            }
        }
    }
}

impl Consumer<SampleBatch> for Console {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let format = *self.format.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = page(&batch, format);
        self.span.in_scope(|| tracing::info!(metrics, "received metrics"));
        Box::pin(async { Ok(Delivery::delivered()) })
    }
}

/// The samples by family, each with its time.
fn page(samples: &Samples, format: Format) -> String {
    // Lines by family and labels; the last value of a series is the one that counts, as in a scrape.
    let mut families: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (series, time, value) in samples.rows() {
        let Some(name) = series.labels().get(METRIC_NAME) else { continue };
        let mut text = String::new();
        write_series(&mut text, name, series.labels().iter());
        let mut rest = " ".to_owned();
        write_go_float(&mut rest, value);
        if format == Format::OpenMetrics && !rest.contains(['.', 'e', 'I', 'N']) {
            rest.push_str(".0");
        }
        let _ = match (time > 0, format) {
            (false, _) => Ok(()),
            (true, Format::Text) => write!(rest, " {time}"),
            (true, Format::OpenMetrics) => write!(rest, " {}.{:03}", time / 1000, time % 1000),
        };
        families.entry(name).or_default().insert(text, rest);
    }
    let kind = if format == Format::OpenMetrics { "unknown" } else { "untyped" };
    let mut page = String::new();
    for (name, lines) in families {
        if let Some(about) = samples.metadata.iter().find(|about| about.series.labels().get(METRIC_NAME) == Some(name))
        {
            let _ = writeln!(page, "# HELP {name} {}", about.about.help);
        }
        let _ = writeln!(page, "# TYPE {name} {kind}");
        for (series, rest) in lines {
            page.push_str(&series);
            page.push_str(&rest);
            page.push('\n');
        }
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

fn write_series<'a>(text: &mut String, name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let quoted = |text: &mut String, plain: &str| {
        text.push('"');
        write_escaped_label(text, plain);
        text.push('"');
    };
    let classic = is_legacy_metric_name(name);
    let mut open = false;
    if classic {
        text.push_str(name);
    } else {
        text.push('{');
        quoted(text, name);
        open = true;
    }
    for (label, value) in labels.filter(|(label, _)| *label != METRIC_NAME) {
        text.push(if open { ',' } else { '{' });
        open = true;
        if is_legacy_label_name(label) {
            text.push_str(label);
        } else {
            quoted(text, label);
        }
        text.push('=');
        quoted(text, value);
    }
    if open {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use language_eval::Scope;
    use sdk_labels::Labels;
    use sdk_series::Series;
    use sdk_signals::Sample;
    use sdk_testing::component::Alone;

    use super::*;

    fn batch() -> SampleBatch {
        let sample = |labels: &[(&str, &str)], timestamp, value| Sample {
            series: Series::of(&Labels::from_pairs(labels.iter().copied())),
            timestamp,
            value,
        };
        [
            sample(&[("__name__", "up"), ("job", "b\"c")], 1_700_000_000_123, 1.0),
            sample(&[("__name__", "up"), ("job", "a")], 0, 0.5),
            sample(&[("__name__", "a.b"), ("x.y", "1")], 0, f64::INFINITY),
            sample(&[("__name__", "bare")], 0, 2.0),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn samples_are_shown_by_family() {
        let text = "# TYPE a.b untyped\n{\"a.b\",\"x.y\"=\"1\"} +Inf\n# TYPE bare untyped\nbare 2\n\
                    # TYPE up untyped\nup{job=\"a\"} 0.5\nup{job=\"b\\\"c\"} 1 1700000000123\n";
        assert_eq!(page(&batch(), Format::Text), text);
        let openmetrics = "# TYPE a.b unknown\n{\"a.b\",\"x.y\"=\"1\"} +Inf\n# TYPE bare unknown\nbare 2.0\n\
                           # TYPE up unknown\nup{job=\"a\"} 0.5\nup{job=\"b\\\"c\"} 1.0 1700000000.123\n# EOF\n";
        assert_eq!(page(&batch(), Format::OpenMetrics), openmetrics);
    }

    #[tokio::test]
    async fn an_unknown_format_is_refused() {
        let error = Alone::<Echo>::build("format = \"xml\"", &Scope::new()).err().expect("it is refused");
        assert!(error.contains("is not a format of prometheus.echo"), "{error}");
        let mut echo = Alone::<Echo>::start("format = \"openmetrics\"", &Scope::new()).expect("it starts");
        echo.stop().await.expect("it stops");
    }
}

//! What a metric family is.

/// The types of both formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    /// `untyped` in the classic format, and families without a TYPE.
    #[default]
    Unknown,
}

impl Kind {
    /// In OpenMetrics' words.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::GaugeHistogram => "gaugehistogram",
            Kind::Summary => "summary",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
            Kind::Unknown => "unknown",
        }
    }

    pub(crate) fn of_text(word: &[u8]) -> Option<Kind> {
        match word {
            b"counter" => Some(Kind::Counter),
            b"gauge" => Some(Kind::Gauge),
            b"histogram" => Some(Kind::Histogram),
            b"summary" => Some(Kind::Summary),
            b"untyped" => Some(Kind::Unknown),
            _ => None,
        }
    }

    pub(crate) fn of_openmetrics(word: &[u8]) -> Option<Kind> {
        match word {
            b"gaugehistogram" => Some(Kind::GaugeHistogram),
            b"info" => Some(Kind::Info),
            b"stateset" => Some(Kind::StateSet),
            b"unknown" => Some(Kind::Unknown),
            b"untyped" => None,
            word => Kind::of_text(word),
        }
    }
}

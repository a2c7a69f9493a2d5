//! Prometheus remote write, versions 1 and 2.
//!
//! [`RequestBuilder`] writes a `WriteRequest` from labels that are encoded already (`sdk_labels` keeps them so): a sample
//! costs one copy of its labels and some twenty bytes beside. A [`Form`] knows the series of a page that comes again and
//! again: a sample of one costs not even that. [`SymbolBuilder`] writes the `Request` of version 2, in which
//! texts stand once, and [`SymbolForm`] is to it what a form is to the other. [`visit`] reads either, series by series, borrowing from the request, so that a small request cannot
//! become a large one; [`decode`] gathers all of a version 1 request. [`transcode`] turns what was written for one version
//! into the other.

mod builder;
mod decode;
mod form;
pub mod fuzz;
mod histogram;
mod parts;
mod symbol_form;
mod symbols;
mod transcode;
mod visit;

pub use builder::{Part, RequestBuilder};
pub use decode::{Exemplar, Histogram, Malformed, Sample, TimeSeries, decode, decode_version, decompress};
pub use form::Form;
pub use parts::join;
pub use symbol_form::SymbolForm;
pub use symbols::{About, SymbolBuilder};
pub use transcode::{Transcoded, transcode};
pub use visit::{ExemplarView, SeriesView, visit};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Version {
    /// `Content-Type` of a request.
    pub fn content_type(self) -> &'static str {
        match self {
            Version::V1 => "application/x-protobuf",
            Version::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// `X-Prometheus-Remote-Write-Version` of a request.
    pub fn header(self) -> &'static str {
        match self {
            Version::V1 => "0.1.0",
            Version::V2 => "2.0.0",
        }
    }

    /// The full name of the message, as configurations have it.
    pub fn message(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The version whose message has this name.
    pub fn of_message(name: &str) -> Option<Version> {
        [Version::V1, Version::V2].into_iter().find(|version| version.message() == name)
    }

    /// The one that is left when this is not understood.
    pub fn other(self) -> Version {
        match self {
            Version::V1 => Version::V2,
            Version::V2 => Version::V1,
        }
    }
}

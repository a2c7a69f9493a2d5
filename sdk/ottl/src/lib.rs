//! The OpenTelemetry Transformation Language, as `otelcol.processor.transform` and `otelcol.processor.filter` take it.
//!
//! A statement is read and compiled once, for one [`Context`]; every fault of its text is a [`Fault`] with its place.
//! What is compiled runs on decoded data (`sdk_protocols_otlp::model`) and borrows from it: reading an attribute copies
//! nothing. A statement that fails on an item says why, and the next one runs or the payload is refused.
//!
//! Source: the documentation of the language at the OpenTelemetry Collector's contrib repository, `pkg/ottl`, v0.158,
//! and the recorded behaviour of Grafana Alloy.

mod coerce;
mod compare;
mod compile;
mod context;
mod error;
mod expression;
mod fault;
mod functions;
mod group;
mod infer;
mod lexer;
mod math;
mod parser;
mod path;
mod run;
mod syntax;
pub mod text;
mod time;
mod value;

pub use context::{Context, Item, On};
pub use error::{Error, Result};
pub use fault::Fault;
pub use group::{Conditions, ErrorMode, Failed, Statements};
pub use run::{Filter, Transform};

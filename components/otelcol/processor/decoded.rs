//! Payloads worked on in decoded form, for statements of OTTL.

use bytes::Bytes;
use sdk_ottl::{Conditions, Failed, Fault, Filter, Statements, Transform};
use sdk_protocols_otlp::model::{Data, LogRecord, Message as _, Metric, Span};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tracing::warn;

/// What came of a payload.
pub(crate) enum Worked {
    /// It stays as it was.
    Same,
    /// It is another, with so many items.
    New(Vec<u8>, usize),
    /// Nothing of it is left.
    Nothing,
}

/// Works on each payload of a batch. What stays the same is handed on as it came; a batch with nothing left in it is
/// empty.
pub(crate) fn each_payload(
    batch: &mut OtlpBatch,
    mut work: impl FnMut(OtlpSignal, &Bytes) -> Result<Worked, Failed>,
) -> Result<(), Refused> {
    let mut failed = None;
    let mut recount = false;
    // How many items each payload has is known only where it was looked into.
    let mut counts = Vec::with_capacity(batch.payload.len());
    let signal = batch.signal;
    batch.payload.retain_mut(|payload| {
        let (kept, count) = match work(signal, payload) {
            Ok(Worked::Same) => (true, None),
            Ok(Worked::New(bytes, items)) => {
                *payload = bytes.into();
                (true, Some(items))
            }
            Ok(Worked::Nothing) => (false, Some(0)),
            Err(error) => {
                failed.get_or_insert(error);
                (true, None)
            }
        };
        recount |= count.is_some();
        if kept {
            counts.push(count);
        }
        kept
    });
    if let Some(failed) = failed {
        // As the Collector: it may go better another time, and the sender keeps the data until then.
        return Err(Refused::retryable(failed.to_string()));
    }
    if recount {
        let counts = batch.payload.iter().zip(counts);
        let items = counts.map(|(payload, count)| count.unwrap_or_else(|| items(signal, payload)));
        batch.items = u32::try_from(items.sum::<usize>()).unwrap_or(u32::MAX);
    }
    Ok(())
}

fn items(signal: OtlpSignal, payload: &Bytes) -> usize {
    sdk_protocols_otlp::check(signal, payload).unwrap_or(0)
}

/// Runs statements on a payload.
pub(crate) fn transform(signal: OtlpSignal, payload: &Bytes, statements: &[Statements]) -> Result<Worked, Failed> {
    match signal {
        OtlpSignal::Traces => transformed(Data::<Span>::decode(payload), statements),
        OtlpSignal::Metrics => transformed(Data::<Metric>::decode(payload), statements),
        OtlpSignal::Logs => transformed(Data::<LogRecord>::decode(payload), statements),
    }
}

fn transformed<I>(mut data: Data<I>, statements: &[Statements]) -> Result<Worked, Failed>
where
    I: sdk_protocols_otlp::model::Item,
    Data<I>: Transform,
{
    let changed = data.transform(statements, &mut tell)?;
    Ok(if changed { Worked::New(data.encode(), data.count()) } else { Worked::Same })
}

/// Drops of a payload what groups of conditions hold for, one group after the other.
pub(crate) fn filter(signal: OtlpSignal, payload: &Bytes, groups: &[Vec<Conditions>]) -> Result<Worked, Failed> {
    match signal {
        OtlpSignal::Traces => filtered(Data::<Span>::decode(payload), groups),
        OtlpSignal::Metrics => filtered(Data::<Metric>::decode(payload), groups),
        OtlpSignal::Logs => filtered(Data::<LogRecord>::decode(payload), groups),
    }
}

fn filtered<I>(mut data: Data<I>, groups: &[Vec<Conditions>]) -> Result<Worked, Failed>
where
    I: sdk_protocols_otlp::model::Item,
    Data<I>: Filter,
{
    let mut dropped = false;
    for group in groups {
        let conditions: Vec<&Conditions> = group.iter().collect();
        dropped |= data.filter(&conditions, &mut tell)?;
    }
    Ok(match dropped {
        false => Worked::Same,
        true if data.resources.is_empty() => Worked::Nothing,
        true => Worked::New(data.encode(), data.count()),
    })
}

fn tell(failed: &Failed) {
    let what = if failed.condition { "failed to eval condition" } else { "failed to execute statement" };
    warn!(statement = failed.text, error = %failed.error, "{what}");
}

/// What is wrong with statements, each with its place.
pub(crate) fn faults(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

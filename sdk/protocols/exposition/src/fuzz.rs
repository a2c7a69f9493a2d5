//! What must hold for any page at all; for fuzzing. It panics if it does not hold.

use crate::protobuf::{self, MetricValue};
use crate::{Entry, Format, Mark, Parser, exemplar_labels, labels};

/// Both formats: the walk ends after no more entries than there are lines, series read again as they were read first,
/// and who knows the series in advance reads the same as who does not.
pub fn page(bytes: &[u8]) {
    for format in [Format::Text, Format::OpenMetrics] {
        let (mut parser, mut knowing) = (Parser::new(bytes, format), Parser::new(bytes, format));
        let mut lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let (mut ahead, mut shortest): (_, Option<&[u8]>) = (Parser::new(bytes, format), None);
        loop {
            // Now the best guess there can be, now the worst: a short series of the page, with which others may begin.
            let series = match ahead.next() {
                Some(Ok(Entry::Sample(sample))) if lines % 2 == 0 => sample.series,
                Some(Ok(Entry::Sample(sample))) => {
                    shortest = shortest.filter(|known| known.len() <= sample.series.len()).or(Some(sample.series));
                    shortest.unwrap_or_default()
                }
                _ => shortest.unwrap_or_default(),
            };
            let entry = parser.next();
            assert_eq!(
                shown(&entry),
                shown(&knowing.next_like(Some(Mark::of(series)))),
                "with {:?} known",
                series.escape_ascii().to_string()
            );
            let Some(Ok(entry)) = entry else { break };
            lines = lines.checked_sub(1).expect("an entry is at least a line");
            if let Entry::Sample(sample) = entry {
                let mut names = 0;
                let read = labels(sample.series, parser.kind(), &mut |_, _| names += 1);
                let text = std::str::from_utf8(sample.series);
                assert!(read.is_some() || text.is_err(), "a series cannot be read: {text:?}");
                if let Some(exemplar) = sample.exemplar {
                    let read = exemplar_labels(exemplar.labels, &mut |_, _| {});
                    let text = std::str::from_utf8(exemplar.labels);
                    assert!(read.is_some() || text.is_err(), "an exemplar cannot be read: {text:?}");
                }
            }
        }
        assert!(parser.next().is_none(), "nothing comes behind the end");
    }
}

/// A page of protobuf: what is shown is no more than what it was made from, and native histograms have the buckets that
/// their spans say.
pub fn protobuf_page(bytes: &[u8]) {
    let (mut metrics, mut parts) = (0, 0);
    let _ = protobuf::visit(bytes, |_, metric| {
        metrics += 1;
        parts += metric.labels.len();
        match &metric.value {
            MetricValue::Number(..) => {}
            MetricValue::Summary(_, _, quantiles) => parts += quantiles.len(),
            MetricValue::Histogram(histogram) => {
                parts += histogram.buckets.len() + histogram.exemplars.len();
                if let Some(native) = &histogram.native {
                    let spans = native.positive_spans.iter().chain(&native.negative_spans);
                    let length: u64 = spans.map(|span| u64::from(span.length)).sum();
                    assert_eq!(length, native.bucket_count() as u64);
                    parts += native.bucket_count();
                }
            }
        }
        Ok(())
    });
    // Buckets may be a byte each, all others have a head of two bytes at least.
    assert!(metrics <= bytes.len() / 2 && parts <= bytes.len(), "{metrics} and {parts} of {} bytes", bytes.len());
}

/// NaN is no reason to differ.
fn shown(entry: &Option<Result<Entry<'_>, crate::Error>>) -> String {
    format!("{entry:?}")
}

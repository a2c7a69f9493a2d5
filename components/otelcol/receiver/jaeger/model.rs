//! A span of Jaeger, whatever it was written in.

use sdk_protocols_otlp::model::{AnyValue, Text};

/// A tag, or a field of a log.
pub(super) type Tag = (Text, AnyValue);

/// A span. Times in nanoseconds, with the wrap of Go.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Span {
    pub(super) trace_id: u128,
    pub(super) id: u64,
    /// The parent, where it does not stand among the references.
    pub(super) parent: u64,
    pub(super) name: Text,
    pub(super) references: Vec<Reference>,
    pub(super) flags: u32,
    /// Since 1970.
    pub(super) start: u64,
    pub(super) duration: u64,
    pub(super) tags: Vec<Tag>,
    pub(super) logs: Vec<Log>,
}

/// Another span that has to do with it.
#[derive(Debug, PartialEq)]
pub(super) struct Reference {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) kind: ReferenceKind,
}

/// How it has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferenceKind {
    ChildOf,
    FollowsFrom,
    /// A number that has no name; told as the one before, but no parent.
    Other,
}

/// What happened meanwhile.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Log {
    /// Nanoseconds since 1970.
    pub(super) timestamp: u64,
    pub(super) fields: Vec<Tag>,
}

/// What made spans.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) service_name: Text,
    pub(super) tags: Vec<Tag>,
}

// === impl Span ===

impl Span {
    /// The parent: the one that is named, else a reference within the trace, one that it is a child of first.
    pub(super) fn parent(&self) -> u64 {
        if self.parent != 0 {
            return self.parent;
        }
        let of = |kind: ReferenceKind| {
            self.references
                .iter()
                .find(|reference| reference.trace_id == self.trace_id && reference.kind == kind)
                .map(|reference| reference.span_id)
        };
        of(ReferenceKind::ChildOf).or_else(|| of(ReferenceKind::FollowsFrom)).unwrap_or_default()
    }
}

// === impl ReferenceKind ===

impl ReferenceKind {
    pub(super) fn of(number: i64) -> ReferenceKind {
        match number {
            0 => ReferenceKind::ChildOf,
            1 => ReferenceKind::FollowsFrom,
            _ => ReferenceKind::Other,
        }
    }
}

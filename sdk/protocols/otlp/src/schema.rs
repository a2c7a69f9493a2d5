//! The messages of OTLP 1.x as tables: what the checker and both directions of the JSON form read.
//!
//! Source: opentelemetry-proto, `opentelemetry/proto/{common,resource,trace,logs,metrics}/v1`. Profiles and the
//! string-index fields that only profiles use are left out; unknown fields pass through everything but JSON.

use Kind::{Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int64, Sfixed64, Sint32, Text, Uint32, Uint64};
use Presence::{Always, Choice, Explicit, List, Set};

/// How a field is written on the wire and in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Message(&'static Message),
    Text,
    /// base64 in JSON.
    Bytes,
    /// Hex in JSON; this many bytes, or none.
    Id(usize),
    Bool,
    Int64,
    Uint64,
    Uint32,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// A number in JSON; a name from the table is understood too.
    Enum(&'static [(&'static str, i32)]),
}

impl Kind {
    /// The wire type of a single value.
    pub(crate) const fn wire(self) -> u8 {
        match self {
            Kind::Message(_) | Text | Bytes | Id(_) => 2,
            Bool | Int64 | Uint64 | Uint32 | Sint32 | Enum(_) => 0,
            Fixed64 | Sfixed64 | Double => 1,
            Fixed32 => 5,
        }
    }
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// When it differs from zero or empty.
    Set,
    /// JSON shows an empty object even when the wire has none.
    Always,
    /// Zero differs from absent.
    Explicit,
    /// As `Explicit`, and the last one of the message's choice wins.
    Choice,
    /// A list.
    List,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u8,
    pub(crate) json: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
}

/// Highest field number in use, plus one.
const NUMBERS: usize = 17;

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    /// Whether each one is an item: a span, a log record, a data point.
    pub(crate) item: bool,
    pub(crate) fields: &'static [Field],
    by_number: [u8; NUMBERS],
    /// What to do with a field, by its tag when that is one byte: all the checker has to ask in nearly all cases.
    pub(crate) by_tag: [Step; 0x80],
}

/// What a checker does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look closer.
    Ask,
    Varint,
    Fixed64,
    /// Text or bytes.
    Skip,
    /// An id of so many bytes.
    Id(u8),
    /// The message of the field at this place in `fields`.
    Enter(u8),
    /// The same, a `KeyValue`.
    EnterPair(u8),
}

impl Message {
    #[inline]
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.get(usize::from(*self.by_number.get(number as usize)?))
    }
}

/// Place in `fields` by field number.
const fn places(numbers: &[u8]) -> [u8; NUMBERS] {
    let mut places = [u8::MAX; NUMBERS];
    let mut i = 0;
    while i < numbers.len() {
        places[numbers[i] as usize] = i as u8;
        i += 1;
    }
    places
}

const fn steps(fields: &[(u8, Kind, bool)]) -> [Step; 0x80] {
    let mut steps = [Step::Ask; 0x80];
    let mut i = 0;
    while i < fields.len() {
        let (number, kind, pair) = (fields[i].0, fields[i].1, fields[i].2);
        if number < 16 {
            let step = match kind {
                Kind::Message(_) if pair => Step::EnterPair(i as u8),
                Kind::Message(_) => Step::Enter(i as u8),
                Text | Bytes => Step::Skip,
                Id(length) => Step::Id(length as u8),
                Bool | Int64 | Uint64 | Uint32 | Sint32 | Enum(_) => Step::Varint,
                Fixed64 | Sfixed64 | Double => Step::Fixed64,
                Fixed32 => Step::Ask,
            };
            steps[(number << 3 | kind.wire()) as usize] = step;
        }
        i += 1;
    }
    steps
}

/// Whether a field holds attributes, by its name: what a table in the making cannot ask of the message that it names.
const fn is_pair(name: &str) -> bool {
    let name = name.as_bytes();
    matches!(name, b"attributes" | b"filtered_attributes" | b"metadata")
}

macro_rules! messages {
    ($($message:ident $name:literal $item:literal { $($number:literal $json:literal $snake:literal $kind:expr, $presence:expr;)* })*) => {
        $(pub(crate) static $message: Message = Message {
            name: $name,
            item: $item,
            fields: &[$(Field { number: $number, json: $json, name: $snake, kind: $kind, presence: $presence }),*],
            by_number: places(&[$($number),*]),
            by_tag: steps(&[$(($number, $kind, is_pair($snake))),*]),
        };)*
    };
}

const fn message(of: &'static Message) -> Kind {
    Kind::Message(of)
}

messages! {
    TRACES "TracesData" false {
        1 "resourceSpans" "resource_spans" message(&RESOURCE_SPANS), List;
    }
    RESOURCE_SPANS "ResourceSpans" false {
        1 "resource" "resource" message(&RESOURCE), Always;
        2 "scopeSpans" "scope_spans" message(&SCOPE_SPANS), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    SCOPE_SPANS "ScopeSpans" false {
        1 "scope" "scope" message(&SCOPE), Always;
        2 "spans" "spans" message(&SPAN), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    SPAN "Span" true {
        1 "traceId" "trace_id" Id(16), Set;
        2 "spanId" "span_id" Id(8), Set;
        3 "traceState" "trace_state" Text, Set;
        4 "parentSpanId" "parent_span_id" Id(8), Set;
        5 "name" "name" Text, Set;
        6 "kind" "kind" Enum(SPAN_KINDS), Set;
        7 "startTimeUnixNano" "start_time_unix_nano" Fixed64, Set;
        8 "endTimeUnixNano" "end_time_unix_nano" Fixed64, Set;
        9 "attributes" "attributes" message(&KEY_VALUE), List;
        10 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
        11 "events" "events" message(&SPAN_EVENT), List;
        12 "droppedEventsCount" "dropped_events_count" Uint32, Set;
        13 "links" "links" message(&SPAN_LINK), List;
        14 "droppedLinksCount" "dropped_links_count" Uint32, Set;
        15 "status" "status" message(&SPAN_STATUS), Always;
        16 "flags" "flags" Fixed32, Set;
    }
    SPAN_EVENT "Span.Event" false {
        1 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        2 "name" "name" Text, Set;
        3 "attributes" "attributes" message(&KEY_VALUE), List;
        4 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
    }
    SPAN_LINK "Span.Link" false {
        1 "traceId" "trace_id" Id(16), Set;
        2 "spanId" "span_id" Id(8), Set;
        3 "traceState" "trace_state" Text, Set;
        4 "attributes" "attributes" message(&KEY_VALUE), List;
        5 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
        6 "flags" "flags" Fixed32, Set;
    }
    SPAN_STATUS "Status" false {
        2 "message" "message" Text, Set;
        3 "code" "code" Enum(STATUS_CODES), Set;
    }
    LOGS "LogsData" false {
        1 "resourceLogs" "resource_logs" message(&RESOURCE_LOGS), List;
    }
    RESOURCE_LOGS "ResourceLogs" false {
        1 "resource" "resource" message(&RESOURCE), Always;
        2 "scopeLogs" "scope_logs" message(&SCOPE_LOGS), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    SCOPE_LOGS "ScopeLogs" false {
        1 "scope" "scope" message(&SCOPE), Always;
        2 "logRecords" "log_records" message(&LOG_RECORD), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    LOG_RECORD "LogRecord" true {
        1 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        11 "observedTimeUnixNano" "observed_time_unix_nano" Fixed64, Set;
        2 "severityNumber" "severity_number" Enum(SEVERITIES), Set;
        3 "severityText" "severity_text" Text, Set;
        5 "body" "body" message(&ANY_VALUE), Always;
        6 "attributes" "attributes" message(&KEY_VALUE), List;
        7 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
        8 "flags" "flags" Fixed32, Set;
        9 "traceId" "trace_id" Id(16), Set;
        10 "spanId" "span_id" Id(8), Set;
        12 "eventName" "event_name" Text, Set;
    }
    METRICS "MetricsData" false {
        1 "resourceMetrics" "resource_metrics" message(&RESOURCE_METRICS), List;
    }
    RESOURCE_METRICS "ResourceMetrics" false {
        1 "resource" "resource" message(&RESOURCE), Always;
        2 "scopeMetrics" "scope_metrics" message(&SCOPE_METRICS), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    SCOPE_METRICS "ScopeMetrics" false {
        1 "scope" "scope" message(&SCOPE), Always;
        2 "metrics" "metrics" message(&METRIC), List;
        3 "schemaUrl" "schema_url" Text, Set;
    }
    METRIC "Metric" false {
        1 "name" "name" Text, Set;
        2 "description" "description" Text, Set;
        3 "unit" "unit" Text, Set;
        5 "gauge" "gauge" message(&GAUGE), Choice;
        7 "sum" "sum" message(&SUM), Choice;
        9 "histogram" "histogram" message(&HISTOGRAM), Choice;
        10 "exponentialHistogram" "exponential_histogram" message(&EXPONENTIAL_HISTOGRAM), Choice;
        11 "summary" "summary" message(&SUMMARY), Choice;
        12 "metadata" "metadata" message(&KEY_VALUE), List;
    }
    GAUGE "Gauge" false {
        1 "dataPoints" "data_points" message(&NUMBER_DATA_POINT), List;
    }
    SUM "Sum" false {
        1 "dataPoints" "data_points" message(&NUMBER_DATA_POINT), List;
        2 "aggregationTemporality" "aggregation_temporality" Enum(TEMPORALITIES), Set;
        3 "isMonotonic" "is_monotonic" Bool, Set;
    }
    HISTOGRAM "Histogram" false {
        1 "dataPoints" "data_points" message(&HISTOGRAM_DATA_POINT), List;
        2 "aggregationTemporality" "aggregation_temporality" Enum(TEMPORALITIES), Set;
    }
    EXPONENTIAL_HISTOGRAM "ExponentialHistogram" false {
        1 "dataPoints" "data_points" message(&EXPONENTIAL_HISTOGRAM_DATA_POINT), List;
        2 "aggregationTemporality" "aggregation_temporality" Enum(TEMPORALITIES), Set;
    }
    SUMMARY "Summary" false {
        1 "dataPoints" "data_points" message(&SUMMARY_DATA_POINT), List;
    }
    NUMBER_DATA_POINT "NumberDataPoint" true {
        7 "attributes" "attributes" message(&KEY_VALUE), List;
        2 "startTimeUnixNano" "start_time_unix_nano" Fixed64, Set;
        3 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        4 "asDouble" "as_double" Double, Choice;
        6 "asInt" "as_int" Sfixed64, Choice;
        5 "exemplars" "exemplars" message(&EXEMPLAR), List;
        8 "flags" "flags" Uint32, Set;
    }
    HISTOGRAM_DATA_POINT "HistogramDataPoint" true {
        9 "attributes" "attributes" message(&KEY_VALUE), List;
        2 "startTimeUnixNano" "start_time_unix_nano" Fixed64, Set;
        3 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        4 "count" "count" Fixed64, Set;
        5 "sum" "sum" Double, Explicit;
        6 "bucketCounts" "bucket_counts" Fixed64, List;
        7 "explicitBounds" "explicit_bounds" Double, List;
        8 "exemplars" "exemplars" message(&EXEMPLAR), List;
        10 "flags" "flags" Uint32, Set;
        11 "min" "min" Double, Explicit;
        12 "max" "max" Double, Explicit;
    }
    EXPONENTIAL_HISTOGRAM_DATA_POINT "ExponentialHistogramDataPoint" true {
        1 "attributes" "attributes" message(&KEY_VALUE), List;
        2 "startTimeUnixNano" "start_time_unix_nano" Fixed64, Set;
        3 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        4 "count" "count" Fixed64, Set;
        5 "sum" "sum" Double, Explicit;
        6 "scale" "scale" Sint32, Set;
        7 "zeroCount" "zero_count" Fixed64, Set;
        8 "positive" "positive" message(&BUCKETS), Always;
        9 "negative" "negative" message(&BUCKETS), Always;
        10 "flags" "flags" Uint32, Set;
        11 "exemplars" "exemplars" message(&EXEMPLAR), List;
        12 "min" "min" Double, Explicit;
        13 "max" "max" Double, Explicit;
        14 "zeroThreshold" "zero_threshold" Double, Set;
    }
    BUCKETS "ExponentialHistogramDataPoint.Buckets" false {
        1 "offset" "offset" Sint32, Set;
        2 "bucketCounts" "bucket_counts" Uint64, List;
    }
    SUMMARY_DATA_POINT "SummaryDataPoint" true {
        7 "attributes" "attributes" message(&KEY_VALUE), List;
        2 "startTimeUnixNano" "start_time_unix_nano" Fixed64, Set;
        3 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        4 "count" "count" Fixed64, Set;
        5 "sum" "sum" Double, Set;
        6 "quantileValues" "quantile_values" message(&VALUE_AT_QUANTILE), List;
        8 "flags" "flags" Uint32, Set;
    }
    VALUE_AT_QUANTILE "SummaryDataPoint.ValueAtQuantile" false {
        1 "quantile" "quantile" Double, Set;
        2 "value" "value" Double, Set;
    }
    EXEMPLAR "Exemplar" false {
        7 "filteredAttributes" "filtered_attributes" message(&KEY_VALUE), List;
        2 "timeUnixNano" "time_unix_nano" Fixed64, Set;
        3 "asDouble" "as_double" Double, Choice;
        6 "asInt" "as_int" Sfixed64, Choice;
        5 "traceId" "trace_id" Id(16), Set;
        4 "spanId" "span_id" Id(8), Set;
    }
    RESOURCE "Resource" false {
        1 "attributes" "attributes" message(&KEY_VALUE), List;
        2 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
        3 "entityRefs" "entity_refs" message(&ENTITY_REF), List;
    }
    ENTITY_REF "EntityRef" false {
        1 "schemaUrl" "schema_url" Text, Set;
        2 "type" "type" Text, Set;
        3 "idKeys" "id_keys" Text, List;
        4 "descriptionKeys" "description_keys" Text, List;
    }
    SCOPE "InstrumentationScope" false {
        1 "name" "name" Text, Set;
        2 "version" "version" Text, Set;
        3 "attributes" "attributes" message(&KEY_VALUE), List;
        4 "droppedAttributesCount" "dropped_attributes_count" Uint32, Set;
    }
    KEY_VALUE "KeyValue" false {
        1 "key" "key" Text, Set;
        2 "value" "value" message(&ANY_VALUE), Always;
    }
    ANY_VALUE "AnyValue" false {
        1 "stringValue" "string_value" Text, Choice;
        2 "boolValue" "bool_value" Bool, Choice;
        3 "intValue" "int_value" Int64, Choice;
        4 "doubleValue" "double_value" Double, Choice;
        5 "arrayValue" "array_value" message(&ARRAY_VALUE), Choice;
        6 "kvlistValue" "kvlist_value" message(&KEY_VALUE_LIST), Choice;
        7 "bytesValue" "bytes_value" Bytes, Choice;
    }
    ARRAY_VALUE "ArrayValue" false {
        1 "values" "values" message(&ANY_VALUE), List;
    }
    KEY_VALUE_LIST "KeyValueList" false {
        1 "values" "values" message(&KEY_VALUE), List;
    }
}

const SPAN_KINDS: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

const STATUS_CODES: &[(&str, i32)] = &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];

const TEMPORALITIES: &[(&str, i32)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];

const SEVERITIES: &[(&str, i32)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];

//! Processors survive what makes no sense: those that batch, choose, keep metrics, edit attributes, and run statements.

use std::slice::from_ref;
use std::time::Duration;

use sdk_component::Component;
use sdk_ottl::{ErrorMode, Statements};
use sdk_signals::OtlpSignal::{self, Logs, Metrics, Traces};
use sdk_testing::hostile::survived_by;

use crate::testing::Bench;

const ALL: &[OtlpSignal] = &[Traces, Metrics, Logs];

async fn check<C: Component>(config: &str, signals: &[OtlpSignal]) {
    let next = |signal: &str| format!("{signal} = [next]\n");
    let output: String = signals.iter().map(|signal| next(&format!("{signal:?}").to_lowercase())).collect();
    let bench = Bench::<C>::start(&format!("{config}\noutput {{\n{output}}}\n"))
        .unwrap_or_else(|error| panic!("{}: {error}", C::NAME));
    survived_by(&bench.alone, signals).await;
    // What is held back for a while.
    tokio::time::sleep(Duration::from_secs(120)).await;
    // What leaves is valid; `out` checks it.
    assert!(!bench.out().is_empty(), "{}", C::NAME);
}

#[tokio::test(start_paused = true)]
async fn batches_and_samples() {
    check::<crate::batch::Batch>("send_batch_size = 3\nsend_batch_max_size = 3", ALL).await;
    check::<crate::probabilistic_sampler::Component>("sampling_percentage = 100", &[Traces, Logs]).await;
    let policies = "policy {\n name = \"slow\"\n type = \"latency\"\n latency {\n threshold_ms = 1\n }\n}\n\
        policy {\n name = \"odd\"\n type = \"numeric_attribute\"\n numeric_attribute {\n key = \"odd\"\n min_value = -1\n max_value = 1\n }\n}\n\
        policy {\n name = \"all\"\n type = \"always_sample\"\n}";
    check::<crate::tail_sampling::Component>(&format!("decision_wait = \"1s\"\n{policies}"), &[Traces]).await;
}

#[tokio::test(start_paused = true)]
async fn metrics_over_time() {
    check::<crate::cumulativetodelta::Component>("", &[Metrics]).await;
    check::<crate::deltatocumulative::Component>("", &[Metrics]).await;
    check::<crate::interval::Component>("interval = \"1s\"", &[Metrics]).await;
}

#[tokio::test(start_paused = true)]
async fn attributes_and_names() {
    let keys = ["odd", "deep", "map", "bytes", "none", "inf", "service.name"];
    let mut actions = String::new();
    for key in keys {
        for rest in [
            "action = \"hash\"",
            "action = \"convert\"\n converted_type = \"int\"",
            "action = \"convert\"\n converted_type = \"double\"",
            "action = \"convert\"\n converted_type = \"string\"",
            "action = \"extract\"\n pattern = \"(?P<first>.)(?P<odd>.*)\"",
            "action = \"insert\"\n from_attribute = \"deep\"",
            "action = \"update\"\n from_attribute = \"map\"",
            "action = \"upsert\"\n from_attribute = \"bytes\"",
            "action = \"delete\"",
            "action = \"insert\"\n value = -1",
        ] {
            actions.push_str(&format!("action {{\n key = {key:?}\n {rest}\n}}\n"));
        }
    }
    actions.push_str("action {\n pattern = \"^(odd|)$\"\n action = \"delete\"\n}\n");
    // Those that match, and those that do not, go the same way.
    let some = |what: &str| format!("include {{\n match_type = \"regexp\"\n {what}\n}}\n{actions}");
    let odd = "attribute {\n key = \"odd\"\n value = \".*\"\n}";
    check::<crate::attributes::Component>(&actions, ALL).await;
    check::<crate::attributes::Component>(&some(&format!("span_names = [\".*\"]\n {odd}")), &[Traces]).await;
    check::<crate::attributes::Component>(&some(&format!("log_bodies = [\".*\"]\n {odd}")), &[Logs]).await;
    check::<crate::attributes::Component>(&some("metric_names = [\".*\"]"), &[Metrics]).await;

    let name = "name {\n from_attributes = [\"odd\", \"deep\", \"map\", \"bytes\", \"inf\", \"none\"]\n separator = \"::\"\n \
        to_attributes {\n rules = [\"^(?P<odd>.*?)::(?P<service>.*)$\", \"(?P<all>.*)\"]\n }\n}\n";
    check::<crate::span::Component>(name, &[Traces]).await;
    let rules = "name {\n to_attributes {\n rules = [\"^(?P<odd>.*)$\"]\n }\n}\nstatus {\n code = \"Error\"\n description = \"odd\"\n}\n";
    check::<crate::span::Component>(rules, &[Traces]).await;
    check::<crate::groupbyattrs::Component>("keys = [\"odd\", \"deep\", \"\", \"none\"]", ALL).await;
}

/// Paths of all contexts that have attributes, and such as only some have.
const PATHS: &[&str] = &[
    "attributes",
    "attributes[\"odd\"]",
    "attributes[\"deep\"]",
    "attributes[\"map\"]",
    "attributes[\"bytes\"]",
    "attributes[\"none\"]",
    "attributes[\"inf\"]",
    "attributes[\"\"]",
    "resource.attributes",
    "resource.attributes[\"deep\"][0][0]",
    "resource.attributes[\"map\"][\"\"]",
    "instrumentation_scope.name",
];
const SPAN_PATHS: &[&str] = &[
    "name",
    "kind",
    "kind.string",
    "trace_id",
    "trace_id.string",
    "span_id",
    "parent_span_id",
    "trace_state",
    "trace_state[\"a\"]",
    "start_time",
    "end_time",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "status",
    "status.code",
    "status.message",
    "events",
    "links",
    "dropped_attributes_count",
    "end_time - start_time",
    "end_time_unix_nano * 9223372036854775807",
    "(end_time_unix_nano - start_time_unix_nano) / dropped_attributes_count",
];
const LOG_PATHS: &[&str] = &[
    "body",
    "body.string",
    "body[\"\"]",
    "severity_number",
    "severity_text",
    "time",
    "observed_time",
    "time_unix_nano",
    "observed_time_unix_nano + time_unix_nano",
    "trace_id",
    "span_id.string",
    "flags",
    "event_name",
];
const POINT_PATHS: &[&str] = &[
    "metric.name",
    "metric.unit",
    "metric.type",
    "start_time",
    "time",
    "time_unix_nano",
    "flags",
    "time - start_time",
];

/// What is made of a value.
const CONVERTERS: &[&str] = &[
    "@",
    "Len(@)",
    "IsEmpty(@)",
    "IsMap(@)",
    "IsList(@)",
    "Int(@)",
    "Double(@)",
    "Bool(@)",
    "String(@)",
    "Hex(@)",
    "Log(@)",
    "FNV(@)",
    "MD5(@)",
    "SHA256(@)",
    "XXH3(@)",
    "Murmur3Hash128(@)",
    "ConvertCase(@, \"snake\")",
    "ToCamelCase(@)",
    "Split(@, \"\")",
    "Substring(@, 1, 2)",
    "Substring(@, 9223372036854775807, 9223372036854775807)",
    "Trim(@)",
    "Concat([@, @], \"-\")",
    "Format(\"%s %d %v %5.2f\", [@, @, @, @])",
    "IsMatch(@, \"^.+$\")",
    "IsValidLuhn(@)",
    "Base64Encode(@)",
    "Base64Decode(@)",
    "Decode(@, \"base64\")",
    "Keys(@)",
    "Values(@)",
    "Sort(@)",
    "Coalesce([@, 1])",
    "ContainsValue(@, 1)",
    "Index(@, 1)",
    "SliceToMap(@)",
    "ToKeyValueString(@)",
    "ParseInt(@, 36)",
    "ParseJSON(@)",
    "ParseCSV(@, \"a,b\")",
    "ParseKeyValue(@)",
    "ParseXML(@)",
    "ParseSimplifiedXML(@)",
    "GetXML(@, \"/a\")",
    "RemoveXML(@, \"//a\")",
    "ExtractPatterns(@, \"(?P<a>.)\")",
    "ExtractGrokPatterns(@, \"%{WORD:a}\")",
    "URL(@)",
    "UserAgent(@)",
    "IsInCIDR(@, [\"10.0.0.0/8\"])",
    "Time(@, \"%Y-%m-%d\")",
    "Duration(@)",
    "Unix(@)",
    "UnixNano(@)",
    "Year(@)",
    "Nanosecond(@)",
    "Hours(@)",
    "FormatTime(@, \"%Y-%m-%dT%H:%M:%S\")",
    "TruncateTime(@, Duration(\"1h\"))",
    "TraceID(@)",
    "SpanID(@)",
    "CommunityID(@, 1, @, 2)",
    "-9223372036854775807 / @",
    "@ * 9223372036854775807 + 1",
];

const EDITORS: &[&str] = &[
    "replace_pattern(attributes[\"odd\"], \".\", \"$0$0\")",
    "replace_all_patterns(attributes, \"value\", \".*\", \"$$0\")",
    "replace_all_patterns(attributes, \"key\", \"^$\", \"empty\")",
    "replace_all_matches(attributes, \"*\", \"all\")",
    "append(attributes[\"odd\"], \"more\")",
    "append(attributes[\"deep\"], values = [1, true])",
    "delete_index(attributes[\"deep\"], 0)",
    "delete_index(attributes[\"deep\"], 9223372036854775807)",
    "merge_maps(attributes, attributes[\"map\"], \"upsert\")",
    "merge_maps(attributes, resource.attributes, \"insert\")",
    "set(attributes[\"map\"][\"a\"][\"b\"], attributes)",
    "set(attributes[\"deep\"][0], attributes[\"deep\"])",
    "flatten(attributes, \"x\", 3)",
    "truncate_all(attributes, 1)",
    "stringify_all(attributes)",
    "limit(attributes, 5, [\"odd\"])",
    "keep_matching_keys(attributes, \".*\")",
    "delete_matching_keys(attributes, \"^$\")",
    "delete_key(attributes, \"odd\")",
    "keep_keys(attributes, [\"deep\", \"made\"])",
];

const METRIC_EDITORS: &[&str] = &[
    "copy_metric(name = \"copy\") where name != \"copy\"",
    "extract_sum_metric(true)",
    "extract_count_metric(false)",
    "extract_percentile_metric(99.9)",
    "convert_summary_quantile_val_to_gauge()",
    "scale_metric(1.5)",
    "aggregate_on_attributes(\"sum\", [\"odd\"])",
    "aggregate_on_attribute_value(\"max\", \"odd\", [\"\"], \"new\")",
    "convert_exponential_histogram_to_histogram(\"uniform\", [1.0, 0.5, 2.0])",
    "convert_exponential_histogram_to_histogram(\"midpoint\", [0.0])",
    "convert_gauge_to_sum(\"delta\", true)",
    "aggregate_on_attributes(\"median\")",
    "convert_sum_to_gauge()",
];

const POINT_EDITORS: &[&str] = &[
    "merge_histogram_buckets(1.0)",
    "convert_summary_count_val_to_sum(\"delta\", true)",
    "convert_summary_sum_val_to_sum(\"cumulative\", false)",
    "set(explicit_bounds, [3.0, 1.0])",
    "set(bucket_counts, [1])",
    "set(scale, 20)",
];

/// All of these as statements, each made of something else, but not those that are refused: not every path is a text or a time.
fn statements(signal: OtlpSignal, context: &str, paths: &[&str], editors: &[&[&str]]) -> String {
    let context = crate::transform::context(signal, context).unwrap();
    let compiles = |statement: &String| Statements::new(context, from_ref(statement), &[], ErrorMode::Silent).is_ok();
    let mut all = String::new();
    for converter in CONVERTERS {
        let made = PATHS.iter().chain(paths).map(|path| converter.replace('@', path));
        let made = made.map(|value| format!("set(attributes[\"made\"], {value})")).filter(compiles);
        let made: String = made.map(|statement| format!("`{statement}`,\n")).collect();
        assert!(!made.is_empty(), "{converter} is made of nothing");
        all.push_str(&made);
    }
    all.extend(editors.iter().copied().flatten().map(|editor| format!("`{editor}`,\n")));
    all
}

async fn check_statements(signal: OtlpSignal, context: &str, statements: &str) {
    let block = match signal {
        Traces => "trace_statements",
        Metrics => "metric_statements",
        Logs => "log_statements",
    };
    let config =
        format!("error_mode = \"silent\"\n{block} {{\n context = \"{context}\"\n statements = [\n{statements}]\n}}\n");
    check::<crate::transform::Component>(&config, &[signal]).await;
}

#[tokio::test(start_paused = true)]
async fn statements_about_spans() {
    check_statements(Traces, "span", &statements(Traces, "span", SPAN_PATHS, &[EDITORS])).await;
    check_statements(
        Traces,
        "spanevent",
        &statements(Traces, "spanevent", &["name", "time", "span.end_time"], &[EDITORS]),
    )
    .await;
    check_statements(Traces, "resource", &statements(Traces, "resource", &[], &[EDITORS])).await;
}

#[tokio::test(start_paused = true)]
async fn statements_about_log_records() {
    check_statements(Logs, "log", &statements(Logs, "log", LOG_PATHS, &[EDITORS])).await;
    check_statements(Logs, "scope", &statements(Logs, "scope", &["name", "version"], &[EDITORS])).await;
}

#[tokio::test(start_paused = true)]
async fn statements_about_metrics() {
    check_statements(Metrics, "datapoint", &statements(Metrics, "datapoint", POINT_PATHS, &[EDITORS, POINT_EDITORS]))
        .await;
    let editors: String = METRIC_EDITORS.iter().map(|editor| format!("`{editor}`,\n")).collect();
    check_statements(Metrics, "metric", &editors).await;
    for editor in METRIC_EDITORS {
        check_statements(Metrics, "metric", &format!("`{editor}`")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn conditions() {
    // None of them holds for the one that makes sense.
    let of = |paths: &[&str]| -> String {
        let of_path =
            |path: &&str| format!("`{path} == \"never\"`, `IsMatch({path}, \"never\")`, `Len({path}) > 1000`,\n");
        PATHS.iter().chain(paths).map(of_path).collect()
    };
    let (spans, records, points) = (of(SPAN_PATHS), of(LOG_PATHS), of(POINT_PATHS));
    let config = format!(
        "error_mode = \"silent\"\ntraces {{\n span = [{spans}]\n spanevent = [{}]\n}}\nmetrics {{\n datapoint = [{points}]\n}}\nlogs {{\n log_record = [{records}]\n}}\n",
        of(&["name"])
    );
    check::<crate::filter::Component>(&config, ALL).await;
}

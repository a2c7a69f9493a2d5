//! What must hold for any log lines at all; for fuzzing. It panics if it does not hold.

use bytes::Bytes;
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

use super::Pipeline;
use super::stage::cri;

/// The body of a `loki.process` with everything that takes lines apart. What one stage cannot read goes on to the next as
/// it was.
pub const STAGES: &str = r#"
stage.cri {
	max_partial_line_size          = 64
	max_partial_line_size_truncate = true
}

stage.docker { }

stage.json {
	expressions = {level = "", a = "b.c[0]"}
}

stage.logfmt {
	mapping = {msg = "", level = ""}
}

stage.regex {
	expression = `(?P<ip>\S+) (?P<rest>.*)`
}

stage.pattern {
	pattern = "<ip> - <user> <_>"
}

stage.timestamp {
	source = "time"
	format = "RFC3339Nano"
}

stage.template {
	source   = "out"
	template = "{{ .level | ToUpper }} {{ .Entry | trunc 7 }}"
}

stage.labels {
	values = {level = "", ip = ""}
}

stage.structured_metadata {
	values = {msg = ""}
}

stage.decolorize { }

stage.replace {
	expression = `(\d+)`
	replace    = "<{{ .Value }}>"
}

stage.match {
	selector = `{level="error"} |~ "x+"`

	stage.pack {
		labels = ["level"]
	}
}

stage.output {
	source = "out"
}
"#;

/// Runs the lines of a text through a pipeline of [`STAGES`]: none of them is one too many.
pub fn lines(pipeline: &mut Pipeline, text: &[u8]) {
    let text = Bytes::copy_from_slice(text);
    let entries: Vec<LogEntry> =
        text.split(|byte| *byte == b'\n').map(|line| LogEntry::new(0, text.slice_ref(line))).collect();
    for entry in &entries {
        if let Some(parsed) = cri::parse(&entry.line) {
            assert!(parsed.time < parsed.text && parsed.text <= entry.line.len(), "a part of the line is not in it");
        }
    }
    let (labels, came) = (Labels::from_pairs([("app", "fuzz")]), entries.len());
    // What was held back of the lines before may leave with these.
    let left = pipeline.run(LogBatch::of(labels, entries)).batch.len();
    assert!(left <= came + MAX_HELD, "{left} lines of {came}");
}

/// `stage.cri` holds back the parts of one line for each stream, and there is one stream.
const MAX_HELD: usize = 1;

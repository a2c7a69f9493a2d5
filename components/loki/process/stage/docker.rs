//! `stage.docker`: lines of Docker's json-file driver.

use language_eval::Block;
use sdk_component::Problem;

use crate::process::json::{Kind, Malformed, Raw, Scanner, unescape};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Changes;
use crate::process::work::{Span, Store, Value, Work};

/// Reads `{"log": …, "stream": …, "time": …}`, the format of Docker's `json-file` driver.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct DockerStage {}

struct Docker {
    output: Option<Slot>,
    stream: Option<Slot>,
    timestamp: Option<Slot>,
    changes: Changes,
    scratch: Vec<u8>,
}

/// Where the three fields of a line are.
struct Fields {
    log: Raw,
    stream: Raw,
    time: Raw,
}

impl StageConfig for DockerStage {
    fn names(&self, plan: &mut Plan) {
        for name in ["output", "stream", "timestamp"] {
            plan.write(name);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        Ok(Box::new(Docker {
            output: site.plan.slot("output"),
            stream: site.plan.slot("stream"),
            timestamp: site.plan.slot("timestamp"),
            changes: Changes::default(),
            scratch: Vec::new(),
        }))
    }
}

// === impl Docker ===

impl Stage for Docker {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let Ok(fields) = parse(store.text(line)) else { continue };
            if fields.log.range().is_empty() {
                continue;
            }
            let whole = line.text;
            let mut text = |store: &mut Store, line: &_, raw: &Raw| -> Option<Span> {
                if !raw.escaped {
                    return Some(whole.part(raw.range()));
                }
                self.scratch.clear();
                unescape(&store.bytes(line, whole)[raw.range()], &mut self.scratch);
                store.push(&self.scratch)
            };
            let (Some(log), Some(stream), Some(time)) =
                (text(store, line, &fields.log), text(store, line, &fields.stream), text(store, line, &fields.time))
            else {
                continue;
            };
            store.set_if_read(line, self.output, Value::Text(log));
            store.set_if_read(line, self.stream, Value::Text(stream));
            store.set_if_read(line, self.timestamp, Value::Text(time));
            if let Some(timestamp) = base_gotime::rfc3339(store.bytes(line, time)) {
                line.timestamp = timestamp;
            }
            self.changes.begin(line.stream);
            self.changes.set("stream", &String::from_utf8_lossy(store.bytes(line, stream)));
            line.stream = streams.changed(&self.changes);
            line.text = log;
        }
    }
}

/// Finds the fields; keys in any case, later ones win. A field of another type than text makes the line malformed.
fn parse(line: &[u8]) -> Result<Fields, Malformed> {
    let nothing = Raw::new(Kind::String, 0..0);
    let mut fields = Fields { log: nothing, stream: nothing, time: nothing };
    let mut scanner = Scanner::new(line);
    scanner.object(|key, _, scanner| {
        let name = scanner.bytes(key);
        let value = scanner.value()?;
        let field = if name.eq_ignore_ascii_case(b"log") {
            &mut fields.log
        } else if name.eq_ignore_ascii_case(b"stream") {
            &mut fields.stream
        } else if name.eq_ignore_ascii_case(b"time") {
            &mut fields.time
        } else {
            return Ok(());
        };
        match value.kind {
            Kind::String => *field = value,
            // Null leaves a text as it was.
            Kind::Null => {}
            _ => return Err(Malformed),
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = super::parse(&line);
        }
    }
}

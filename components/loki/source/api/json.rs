//! A push request in JSON: `{"streams": [{"stream": {"a": "b"}, "values": [["<ns>", "line", {"k": "v"}]]}]}`.
//!
//! As lenient as Alloy where clients rely on it: labels may be numbers or words, a value may lack its line, what is not
//! known is passed over.

use bytes::Bytes;
use sdk_labels::{Labels, is_legacy_label_name};
use sdk_protocols_loki::{MAX_ENTRIES, NoLabels};
use sdk_signals::{LogEntry, Metadata};

use super::decode::{Pushed, StreamLabels};
use crate::process::json::{Kind, Malformed, Raw, Scanner, unescape};

/// Err: a sentence for the sender.
pub fn decode(body: &Bytes) -> Result<Vec<Pushed>, String> {
    let mut reader = Reader { body, left: MAX_ENTRIES, why: None };
    let mut scanner = Scanner::new(body);
    let mut streams = Vec::new();
    let read = match scanner.peek() {
        Ok(Kind::Object) => scanner.object(|key, _, scanner| {
            let key = scanner.bytes(key);
            if !key.eq_ignore_ascii_case(b"streams") {
                return scanner.value().map(drop);
            }
            streams.clear();
            reader.list(scanner, |reader, scanner| {
                streams.push(reader.stream(scanner)?);
                Ok(())
            })
        }),
        other => other.and_then(|_| reader.fail("a push request is an object")),
    };
    match read {
        Ok(()) => Ok(streams),
        Err(Malformed) => {
            let why = reader.why.unwrap_or("this is not JSON");
            Err(format!("cannot read the push request: {why}, at byte {}", scanner.position()))
        }
    }
}

struct Reader<'a> {
    body: &'a Bytes,
    left: usize,
    why: Option<&'static str>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn fail<T>(&mut self, why: &'static str) -> Result<T, Malformed> {
        self.why.get_or_insert(why);
        Err(Malformed)
    }

    fn spend(&mut self) -> Result<(), Malformed> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.fail("it has too many entries"),
        }
    }

    /// A list, or null for an empty one.
    fn list(
        &mut self,
        scanner: &mut Scanner<'a>,
        mut each: impl FnMut(&mut Self, &mut Scanner<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match scanner.peek()? {
            Kind::Null => scanner.value().map(drop),
            Kind::Array => scanner.array(|scanner| each(self, scanner)),
            _ => self.fail("a list was expected"),
        }
    }

    fn stream(&mut self, scanner: &mut Scanner<'a>) -> Result<Pushed, Malformed> {
        self.spend()?;
        let mut stream = Pushed { labels: StreamLabels::Read(Ok(Labels::empty())), entries: Vec::new() };
        if scanner.peek()? != Kind::Object {
            return self.fail("a stream is an object");
        }
        scanner.object(|key, _, scanner| match scanner.bytes(key) {
            b"stream" => {
                stream.labels = StreamLabels::Read(self.labels(scanner)?);
                Ok(())
            }
            b"values" => {
                stream.entries.clear();
                self.list(scanner, |reader, scanner| {
                    if scanner.peek()? == Kind::Null {
                        return scanner.value().map(drop);
                    }
                    stream.entries.push(reader.entry(scanner)?);
                    Ok(())
                })
            }
            _ => scanner.value().map(drop),
        })?;
        Ok(stream)
    }

    fn labels(&mut self, scanner: &mut Scanner<'a>) -> Result<Result<Labels, NoLabels>, Malformed> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut wrong = None;
        match scanner.peek()? {
            Kind::Null => return scanner.value().map(|_| Ok(Labels::empty())),
            Kind::Object => {}
            _ => return self.fail("the labels of a stream are an object"),
        }
        scanner.object(|key, _, scanner| {
            let name = self.text(scanner, key);
            let value = scanner.value()?;
            let value = self.text(scanner, &value);
            let (name, value) =
                (String::from_utf8_lossy(&name).into_owned(), String::from_utf8_lossy(&value).into_owned());
            if !is_legacy_label_name(&name) {
                let what = format!("{name:?} is no name of a label");
                wrong = Some(NoLabels { at: scanner.position(), what });
            }
            pairs.push((name, value));
            Ok(())
        })?;
        Ok(match wrong {
            Some(wrong) => Err(wrong),
            None => Ok(Labels::from_pairs(pairs)),
        })
    }

    fn entry(&mut self, scanner: &mut Scanner<'a>) -> Result<LogEntry, Malformed> {
        self.spend()?;
        if scanner.peek()? != Kind::Array {
            return self.fail("a value is a list of time and line");
        }
        let mut entry = LogEntry::new(0, Bytes::new());
        let mut place = 0;
        scanner.array(|scanner| {
            match (place, scanner.peek()?) {
                (0, Kind::String) => {
                    let raw = scanner.value()?;
                    let time = std::str::from_utf8(scanner.bytes(&raw)).ok().and_then(|digits| digits.parse().ok());
                    match time {
                        Some(time) => entry.timestamp = time,
                        None => return self.fail("a time is a number of nanoseconds, in quotes"),
                    }
                }
                (1, Kind::String) => {
                    let raw = scanner.value()?;
                    entry.line = self.text(scanner, &raw);
                }
                (0 | 1, _) => return self.fail("time and line are texts, in quotes"),
                (2, Kind::Object) => entry.metadata = self.metadata(scanner)?,
                (2, _) => return self.fail("structured metadata is an object"),
                _ => scanner.value().map(drop)?,
            }
            place += 1;
            Ok(())
        })?;
        Ok(entry)
    }

    fn metadata(&mut self, scanner: &mut Scanner<'a>) -> Result<Metadata, Malformed> {
        let mut pairs = Vec::new();
        scanner.object(|key, _, scanner| {
            if scanner.peek()? != Kind::String {
                return self.fail("the values of structured metadata are texts, in quotes");
            }
            let value = scanner.value()?;
            pairs.push((self.text(scanner, key), self.text(scanner, &value)));
            Ok(())
        })?;
        Ok(pairs.into_iter().collect())
    }

    /// A slice of the body where nothing is escaped. What is no string is its JSON text.
    fn text(&self, scanner: &Scanner<'a>, raw: &Raw) -> Bytes {
        let bytes = scanner.bytes(raw);
        if !raw.escaped {
            return self.body.slice_ref(bytes);
        }
        let mut plain = Vec::with_capacity(bytes.len());
        unescape(bytes, &mut plain);
        plain.into()
    }
}

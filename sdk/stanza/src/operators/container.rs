//! `container`: what Docker, CRI-O and containerd write around the lines of containers.

use base_re2::Regex;
use language_eval::ValueError;
use sdk_ottl::text::json;
use sdk_ottl::text::strptime::Reader;
use sdk_protocols_otlp::model::{AnyValue, Map};

use super::parsers::{Parser, groups};
use super::recombine::Recombine;
use crate::entry::{Entry, type_of};
use crate::field::Field;
use crate::options::{Options, bytes};

/// Takes the line out of what an engine wrote, and joins lines that it cut.
pub(crate) struct Container {
    parser: Parser,
    format: Option<Format>,
    /// The path tells the pod.
    metadata: bool,
    pub(crate) parts: Recombine,
    crio: Regex,
    containerd: Regex,
    path: Regex,
    crio_time: Reader,
    other_time: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Docker,
    Crio,
    Containerd,
}

/// CRI's form of a log: time, stream, tag, line. CRI-O writes its times with an offset, containerd in UTC.
const CRIO: &str = "^(?P<time>[^ Z]+) (?P<stream>stdout|stderr) (?P<logtag>[^ ]*) ?(?P<log>.*)$";
const CONTAINERD: &str = "^(?P<time>[^ ^Z]+Z) (?P<stream>stdout|stderr) (?P<logtag>[^ ]*) ?(?P<log>.*)$";

/// The kubelet's paths: `…/<namespace>_<pod>_<uid>/<container>/<restarts>.log`, with a time behind it when rotated.
const POD_PATH: &str = r"^.*[/\\](?P<namespace>[^_]+)_(?P<pod_name>[^_]+)_(?P<uid>[a-f0-9\-]+)[/\\](?P<container_name>[^\._]+)[/\\](?P<restart_count>\d+)\.log(\.\d{8}-\d{6})?$";

/// Names of the path's parts in the resource.
const RESOURCE: [(&str, &str); 5] = [
    ("container_name", "k8s.container.name"),
    ("namespace", "k8s.namespace.name"),
    ("pod_name", "k8s.pod.name"),
    ("restart_count", "k8s.container.restart_count"),
    ("uid", "k8s.pod.uid"),
];

const MAX_LOG_SIZE: usize = 1 << 20;

impl Container {
    pub(crate) fn read(options: &Options<'_>) -> Result<Container, ValueError> {
        let format = match options.text("format")?.as_deref() {
            None | Some("") => None,
            Some("docker") => Some(Format::Docker),
            Some("crio") => Some(Format::Crio),
            Some("containerd") => Some(Format::Containerd),
            Some(other) => {
                let what = format!("{other:?} is none of \"docker\", \"crio\" and \"containerd\"");
                return Err(ValueError::new(what).at_field("format"));
            }
        };
        let own = "a pattern of our own";
        Ok(Container {
            parser: Parser::read(options)?,
            format,
            metadata: options.flag("add_metadata_from_filepath")?.unwrap_or(true),
            parts: Recombine::of_container(options.read("max_log_size", bytes)?.unwrap_or(MAX_LOG_SIZE)),
            crio: Regex::new(CRIO).expect(own),
            containerd: Regex::new(CONTAINERD).expect(own),
            path: Regex::new(POD_PATH).expect(own),
            crio_time: Reader::of_go("2006-01-02T15:04:05.999999999Z07:00", None).expect(own),
            other_time: Reader::of_go("2006-01-02T15:04:05.999Z", None).expect(own),
        })
    }

    /// Takes a record, and gives on what is whole.
    pub(crate) fn take(&mut self, mut entry: Entry, out: &mut Vec<Entry>) -> Result<(), Box<(Entry, String)>> {
        let format = match self.act(&mut entry) {
            Ok(format) => format,
            Err(error) => return Err(Box::new((entry, error))),
        };
        if format == Format::Docker {
            out.push(entry);
            return Ok(());
        }
        self.parts.take(entry, out)
    }

    fn act(&self, entry: &mut Entry) -> Result<Format, String> {
        let format = match self.format {
            Some(format) => format,
            None => {
                let text = self.parser.from.text(entry);
                text.and_then(|text| self.detect(&text)).ok_or("failed to detect a valid container log format")?
            }
        };
        self.parser.parse(entry, |text, _| {
            let unlike = || "regex pattern does not match".to_owned();
            match format {
                Format::Docker => match json::read::<false>(text.as_bytes())? {
                    AnyValue::Map(map) => Ok(map),
                    other => Err(format!("json: a {} is no object", type_of(&other))),
                },
                Format::Crio => groups(&self.crio, text).ok_or_else(unlike),
                Format::Containerd => groups(&self.containerd, text).ok_or_else(unlike),
            }
        })?;
        let time = Field::attribute("time");
        let written = time.text(entry).ok_or("failed to parse time: there is none")?;
        let reader = if format == Format::Crio { &self.crio_time } else { &self.other_time };
        let at = reader.nanoseconds(&written).map_err(|error| format!("failed to parse time: {error}"))?;
        entry.timestamp = Some(at);
        time.delete(entry);
        move_to(entry, "log", &Field::body())?;
        move_to(entry, "stream", &Field::attribute("log.iostream"))?;
        if self.metadata {
            self.add_metadata(entry)?;
        }
        Ok(format)
    }

    fn detect(&self, text: &str) -> Option<Format> {
        Some(match text {
            _ if text.starts_with('{') => Format::Docker,
            _ if self.crio.is_match(text) => Format::Crio,
            _ if self.containerd.is_match(text) => Format::Containerd,
            _ => return None,
        })
    }

    fn add_metadata(&self, entry: &mut Entry) -> Result<(), String> {
        let path = Field::attribute("log.file.path");
        let Some(path) = path.text(entry) else {
            return Err("the record attribute 'log.file.path' is missing, which tells the pod: set include_file_path \
                        of the component, or add_metadata_from_filepath = false"
                .to_owned());
        };
        let found: Map = groups(&self.path, &path).ok_or("failed to detect a valid log path")?;
        for (part, name) in RESOURCE {
            entry.resource.set(name, found.get(part).cloned().unwrap_or_default());
        }
        Ok(())
    }
}

fn move_to(entry: &mut Entry, attribute: &str, to: &Field) -> Result<(), String> {
    let value = Field::attribute(attribute).delete(entry);
    to.set(entry, value.ok_or_else(|| format!("move: field {attribute} does not exist"))?)
}

//! Which group a process belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;

use base_re2::{Regex, Slots};
use gotmpl::{Template, Value};

use super::MatcherBlock;
use super::proc::Static;

/// Names are for people; a template that makes more than this is cut.
const MAX_NAME: usize = 4096;

/// The matchers, in their order.
pub(super) struct Namer(Vec<Matcher>);

struct Matcher {
    comm: Vec<String>,
    exe: Vec<String>,
    cmdline: Vec<Regex>,
    name: Template,
}

/// A text of at most [`MAX_NAME`] bytes.
#[derive(Default)]
struct Name(String);

// === impl Namer ===

impl Namer {
    pub(super) fn new(blocks: &[MatcherBlock]) -> Result<Namer, String> {
        blocks.iter().map(Matcher::new).collect::<Result<_, _>>().map(Namer)
    }

    /// The name of its group, if one matches.
    pub(super) fn name(&self, process: &Static, pid: u32, user: &str) -> Option<String> {
        self.0.iter().find_map(|matcher| Some(matcher.name(process, pid, user, matcher.matches(process)?)))
    }
}

// === impl Matcher ===

impl Matcher {
    fn new(block: &MatcherBlock) -> Result<Matcher, String> {
        if block.comm.is_empty() && block.exe.is_empty() && block.cmdline.is_empty() {
            return Err("process_names is invalid: no matchers provided".to_owned());
        }
        let regex = |text: &String| {
            Regex::new(text).map_err(|error| format!("process_names is invalid: bad cmdline regex {text:?}: {error}"))
        };
        let text = if block.name.is_empty() { "{{.ExeBase}}" } else { &block.name };
        let name = Template::new("cmdname")
            .max_range_iters(1000)
            .parse(text)
            .map_err(|error| format!("process_names is invalid: bad name template {text:?}: {error}"))?;
        let cmdline = block.cmdline.iter().map(regex).collect::<Result<_, _>>()?;
        Ok(Matcher { comm: block.comm.clone(), exe: block.exe.clone(), cmdline, name })
    }

    /// What the named groups of its expressions matched, if all of it matches.
    fn matches(&self, process: &Static) -> Option<BTreeMap<Arc<str>, Value>> {
        if !self.comm.is_empty() && !self.comm.contains(&process.comm) {
            return None;
        }
        if !self.exe.is_empty() {
            let exe = process.cmdline.first()?;
            let is = |wanted: &String| if wanted.contains('/') { wanted == exe } else { wanted == base(exe) };
            if !self.exe.iter().any(is) {
                return None;
            }
        }
        let (line, mut slots, mut found) = (process.cmdline.join(" "), Slots::default(), BTreeMap::new());
        for regex in &self.cmdline {
            if !regex.captures(&line, &mut slots) {
                return None;
            }
            for (group, name) in regex.group_names().enumerate() {
                if let Some(name) = name {
                    let text = slots.get(group).and_then(|range| line.get(range)).unwrap_or_default();
                    found.insert(Arc::from(name), Value::String(text.into()));
                }
            }
        }
        Some(found)
    }

    fn name(&self, process: &Static, pid: u32, user: &str, matches: BTreeMap<Arc<str>, Value>) -> String {
        let exe = process.cmdline.first().unwrap_or(&process.comm);
        let text = |text: &str| Value::String(text.into());
        let data = [
            ("Comm", text(&process.comm)),
            ("Cgroups", Value::List(process.cgroups.iter().map(|path| text(path)).collect())),
            ("ExeBase", text(base(exe))),
            ("ExeFull", text(exe)),
            ("Matches", Value::Map(Arc::new(matches))),
            ("Username", text(user)),
            ("PID", Value::Int(pid.into())),
            ("StartTime", text(&process.start_text())),
        ];
        let data = data.into_iter().map(|(name, value)| (Arc::from(name), value)).collect();
        let mut name = Name::default();
        // What was made before a fault is the name, as there.
        if let Err(error) = self.name.execute_fmt(&mut name, &Value::Map(Arc::new(data))) {
            tracing::debug!(%error, "the template of a name does not fit a process");
        }
        name.0
    }
}

impl std::fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_NAME {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The last name of a path.
fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(block: MatcherBlock, comm: &str, cmdline: &[&str]) -> Option<String> {
        let process = Static {
            comm: comm.to_owned(),
            cmdline: cmdline.iter().map(|&word| word.to_owned()).collect(),
            cgroups: vec!["/a".to_owned(), "/b".to_owned()],
            parent: 1,
            user: 0,
            started: 1_700_000_000_250,
        };
        Namer::new(&[block]).expect("a good matcher").name(&process, 42, "root")
    }

    fn block(name: &str, comm: &[&str], exe: &[&str], cmdline: &[&str]) -> MatcherBlock {
        let list = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        MatcherBlock { name: name.to_owned(), comm: list(comm), exe: list(exe), cmdline: list(cmdline) }
    }

    #[test]
    fn all_that_is_given_must_match() {
        let java = ["/usr/bin/java", "-jar", "shop.jar"];
        for (rules, expected) in [
            (block("", &["java"], &[], &[]), Some("java")),
            (block("", &["jav"], &[], &[]), None),
            (block("", &[], &["java"], &[]), Some("java")),
            (block("", &[], &["/usr/bin/java"], &[]), Some("java")),
            (block("", &[], &["/opt/java"], &[]), None),
            (block("x", &["java"], &["java"], &["-jar"]), Some("x")),
            (block("x", &["java"], &["java"], &["-jar", "-war"]), None),
            (block("{{.Matches.jar}}", &[], &[], &[r"-jar (?P<jar>\w+)\.jar"]), Some("shop")),
            (
                block("{{.Comm}} {{.ExeBase}} {{.ExeFull}} {{.Username}} {{.PID}}", &["java"], &[], &[]),
                Some("java java /usr/bin/java root 42"),
            ),
            (
                block("{{index .Cgroups 1}} {{.StartTime}}", &["java"], &[], &[]),
                Some("/b 2023-11-14 22:13:20.25 +0000 UTC"),
            ),
            (block("a{{index .Cgroups 7}}b", &["java"], &[], &[]), Some("a")),
        ] {
            assert_eq!(name(rules.clone(), "java", &java).as_deref(), expected, "{rules:?}");
        }
        assert_eq!(name(block("", &["kthread"], &[], &[]), "kthread", &[]).as_deref(), Some("kthread"));
        assert_eq!(name(block("", &[], &["kthread"], &[]), "kthread", &[]), None);
    }

    #[test]
    fn what_cannot_match_is_refused() {
        let refused = |block| Namer::new(&[block]).err().unwrap_or_default();
        assert!(refused(block("x", &[], &[], &[])).contains("no matchers provided"));
        assert!(refused(block("x", &[], &[], &["("])).contains("bad cmdline regex \"(\""));
        assert!(refused(block("{{.Comm", &["a"], &[], &[])).contains("bad name template"));
    }
}

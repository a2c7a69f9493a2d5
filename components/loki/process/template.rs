//! Go templates, as `stage.template` and `stage.replace` take them: the language from a crate, the functions here.

mod functions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, PipeNode};
use gotmpl::{TemplateError, Value};

/// Longest text that one template makes. Beyond it the run fails, and the value stays as it was.
const MAX_OUTPUT: usize = 16 << 20;

/// How many rounds of `range` one run may take.
const MAX_ROUNDS: u64 = 100_000;

/// A compiled template.
pub struct Template {
    template: gotmpl::Template,
    uses: Uses,
}

/// What of the data a template looks at.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// Names of fields.
    pub names: BTreeSet<String>,
    /// The data as a whole.
    pub everything: bool,
    functions: BTreeSet<String>,
}

/// A text that cannot grow beyond a bound.
struct Output {
    text: String,
}

// === impl Template ===

impl Template {
    /// Compiles. Functions that do not exist are refused here, as in Go.
    pub fn new(text: &str) -> Result<Template, String> {
        let mut template = gotmpl::Template::new("pipeline_template")
            .funcs(functions::all())
            .max_range_iters(MAX_ROUNDS)
            .parse(text)
            .map_err(|error| match error {
                TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
                    format!("template: pipeline_template:{line}: {message}")
                }
                other => other.to_string(),
            })?;
        let mut uses = Uses::default();
        for name in template.templates() {
            if let Some(body) = template.lookup(name) {
                uses.list(body);
            }
        }
        for name in &uses.functions {
            if !functions::exists(name) {
                return Err(format!("template: pipeline_template:1: function {name:?} not defined"));
            }
        }
        // An empty text is a template that makes nothing.
        if text.is_empty() {
            template = gotmpl::Template::new("pipeline_template").parse("").map_err(|error| error.to_string())?;
        }
        Ok(Template { template, uses })
    }

    /// What it looks at.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Runs; `None` when something fails on the way.
    pub fn run(&self, data: BTreeMap<Arc<str>, Value>) -> Option<String> {
        let mut output = Output { text: String::new() };
        let data = Value::Map(Arc::new(data));
        // A function that panics, in a crate that is not ours, fails the run and not the line's task.
        let run = std::panic::AssertUnwindSafe(|| self.template.execute_fmt(&mut output, &data));
        match std::panic::catch_unwind(run) {
            Ok(Ok(())) => Some(output.text),
            _ => None,
        }
    }
}

impl std::fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if text.len() > MAX_OUTPUT - self.text.len() {
            return Err(std::fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

// === impl Uses ===

impl Uses {
    fn list(&mut self, list: &ListNode) {
        list.nodes.iter().for_each(|node| self.node(node));
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                self.pipe(&branch.pipe);
                self.list(&branch.body);
                branch.else_body.iter().for_each(|body| self.list(body));
            }
            Node::Template(call) => call.pipe.iter().for_each(|pipe| self.pipe(pipe)),
            Node::Define(define) => self.list(&define.body),
            _ => {}
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) {
        pipe.commands.iter().for_each(|command: &CommandNode| command.args.iter().for_each(|arg| self.expression(arg)));
    }

    /// Whatever the dot is at that place: too many names cost a little, a missing one would be an error.
    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Dot(_) => self.everything = true,
            Expr::Field(_, names) => self.names.extend(names.first().map(|name| name.to_string())),
            Expr::Variable(_, variable, names) if variable.trim_start_matches('$').is_empty() => match names.first() {
                Some(name) => {
                    self.names.insert(name.to_string());
                }
                None => self.everything = true,
            },
            Expr::Identifier(_, name) => {
                self.functions.insert(name.to_string());
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expression(inner),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> String {
        let data = [("a", "x y"), ("n", "42")].map(|(name, value)| (name.into(), Value::String(value.into())));
        let template = Template::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        template.run(data.into_iter().collect()).unwrap_or_else(|| "failed".to_owned())
    }

    #[test]
    fn functions_of_every_kind() {
        for (text, expect) in [
            ("{{ .a | ToUpper }} {{ .missing }}", "X Y <no value>"),
            ("{{ Replace .a \"\" \"-\" -1 }}", "-x- -y-"),
            ("{{ title \"ab cd\" }} {{ wrap 3 \"aa bb\" }} {{ abbrev 5 \"abcdefgh\" }}", "Ab Cd aa\nbb ab..."),
            ("{{ split \",\" \"a,b\" }} {{ (split \",\" \"a,b\")._1 }}", "map[_0:a _1:b] b"),
            ("{{ add 1 2 }} {{ div 7 2 }} {{ round 1.256 2 }} {{ floor 1.9 }} {{ seq 3 }}", "3 3 1.26 1 1 2 3"),
            ("{{ list 1 2 3 | rest }} {{ uniq (list 1 1 2) }} {{ dict \"a\" 1 | toJson }}", "[2 3] [1 2] {\"a\":1}"),
            (
                "{{ date \"02 Jan 2006\" (toDate \"2006-01-02\" \"2026-03-04\") }} {{ duration \"95\" }}",
                "04 Mar 2026 1m35s",
            ),
            ("{{ b64enc \"a?b>\" }} {{ sha1sum \"a\" }}", "YT9iPg== 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
            ("{{ semverCompare \">=1.2.0\" \"1.3.0\" }} {{ semverCompare \"~1.2\" \"1.3.0\" }}", "true false"),
            (
                "{{ default \"d\" .missing }} {{ coalesce .missing \"\" \"c\" }} {{ ternary \"a\" \"b\" false }}",
                "d c b",
            ),
            (
                "{{ snakecase \"HTTPServer2xx userID_x\" }} {{ snakecase \"Bld4Floor-GetHTTPCode\" }}",
                "http_server_2xx_user_id_x bld4_floor_get_http_code",
            ),
            ("{{ kebabcase \"a1b2 IPv4Addr __x\" }}", "a-1b2-i-pv4-addr---x"),
            ("{{ camelcase \"_lead user_name HTTPServer  userID v2_\" }}", "_LeadUserNameHttpserver UserIDV2_"),
            ("{{ div 1 0 }}", "failed"),
            ("{{ repeat 100000000 .a }}", "failed"),
        ] {
            assert_eq!(run(text), expect, "{text}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused_at_once() {
        for bad in ["{{ nosuch . }}", "{{ .a ", "{{ md5sum \"a\" }}", "{{ if true }}{{ (list 1 | nope) }}{{ end }}"] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_tells_what_it_looks_at() {
        let template =
            Template::new("{{ .a }}{{ $.b.c }}{{ if eq .d \"x\" }}{{ with .e }}y{{ end }}{{ end }}").unwrap();
        assert_eq!(template.uses().names.iter().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
        assert!(!template.uses().everything && Template::new("{{ range . }}x{{ end }}").unwrap().uses().everything);
    }
}

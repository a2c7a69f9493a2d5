//! What the recordings' prelude declares, as a scope: files, a relabelling, two log receivers.

use std::any::Any;

use language_eval::value::{Secret, SecretKind};
use language_eval::{Capsule, CapsuleObject, Scope, Target, Value};
use language_syntax::ast::{Attribute, File, Statement};
use language_syntax::{Diagnostic, Diagnostics, Source, parse};

/// The ids of the components in the prelude.
const COMPONENTS: [&str; 5] =
    ["local.file.secret", "local.file.plain", "discovery.relabel.two", "loki.echo.one", "loki.echo.other"];

struct Fake {
    type_name: &'static str,
    id: &'static str,
}

impl CapsuleObject for Fake {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<Fake>().is_some_and(|other| other.id == self.id))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub fn scope() -> Scope {
    let object = |fields: Vec<(&str, Value)>| Value::Object(fields.into_iter().collect());
    let secret = |text: &str, kind| Value::Secret(Secret { value: text.into(), kind });
    let target = |labels: &[(&str, &str)]| Value::Target(labels.iter().copied().collect::<Target>());
    let capsule = |type_name, id| Value::Capsule(Capsule::new(Fake { type_name, id }));
    let mut scope = Scope::new();
    let mut set = |id: &str, value| scope.set(id, value).expect("no id inside another");
    set("local.file.secret", object(vec![("content", secret("hunter2", SecretKind::OptionalSecret))]));
    set("local.file.plain", object(vec![("content", secret("visible", SecretKind::OptionalPlain))]));
    let output = vec![
        target(&[("__address__", "a:1"), ("job", "x"), ("port", "1")]),
        target(&[("__address__", "b:2"), ("job", "y")]),
    ];
    let rules = capsule("relabel.Rules", "rules");
    set("discovery.relabel.two", object(vec![("output", Value::from(output)), ("rules", rules)]));
    set("loki.echo.one", object(vec![("receiver", capsule("loki.logsReceiver", "one"))]));
    set("loki.echo.other", object(vec![("receiver", capsule("loki.logsReceiver", "other"))]));
    set("module_path", Value::from("/etc/ferroalloy"));
    scope
}

/// A text that must parse.
pub fn parsed(text: impl Into<Vec<u8>>) -> (File, std::sync::Arc<Source>) {
    let source = Source::new("config.alloy", text);
    let (file, diagnostics) = parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    (file, source)
}

/// The only attribute of the only block.
pub fn only_attribute(file: &File) -> &Attribute {
    let [Statement::Block(block)] = &file.body.statements[..] else { panic!("one block") };
    let [Statement::Attribute(attribute)] = &block.body.statements[..] else { panic!("one attribute") };
    attribute
}

/// What the graph says of names that no component and no function has, before anything is evaluated.
pub fn unresolved(file: &File, source: &std::sync::Arc<Source>, scope: &Scope) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    for traversal in language_eval::body_references(&file.body) {
        let component = traversal.prefixes().any(|prefix| COMPONENTS.contains(&prefix.as_str()));
        let first = traversal.names[0].name.as_str();
        let other = first == "module_path" || (scope.knows(first) && !scope.sets(first));
        if !component && !other {
            let message = format!("component {:?} does not exist or is out of scope", traversal.text());
            diagnostics.push(Diagnostic::error(traversal.span().in_source(source), message));
        }
    }
    diagnostics
}

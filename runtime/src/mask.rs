//! A configuration's text without its secrets, to be shown to somebody else.
//!
//! Masked is what a schema calls a secret, and text whose name sounds like one (arguments of custom components and keys of
//! maps have no schema). What only refers to a secret, such as `local.file.key.content` or `sys.env("KEY")`, stays.
//! Comments are left out: old passwords rest there.

use std::sync::Arc;

use language_eval::schema::FieldKind;
use language_eval::{BlockSchema, TypeSchema};
use language_syntax::ast::{Body, Expr, ExprKind, Literal, Statement};
use language_syntax::{Source, Span};

use crate::plan::Catalogue;

const MASK: &str = "\"(secret)\"";

/// Parts of names that sound like secrets.
const TELLING: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "credential", "auth"];

/// The text, with secrets masked.
pub(crate) fn masked(catalogue: &Catalogue, source: &Arc<Source>) -> String {
    let (file, _) = language_syntax::parse(source.clone());
    let mut cuts: Vec<(Span, &str)> = file.comments.iter().map(|comment| (comment.span, "")).collect();
    Masker { catalogue, cuts: &mut cuts }.top(&file.body);
    cuts.sort_by_key(|(span, _)| span.start);
    let (bytes, mut text, mut at) = (source.bytes(), Vec::new(), 0);
    for (span, replacement) in cuts {
        let (start, end) = (span.start as usize, span.end as usize);
        if start < at {
            continue; // inside of what is masked already
        }
        text.extend(&bytes[at..start]);
        text.extend(replacement.as_bytes());
        at = end;
    }
    text.extend(&bytes[at..]);
    String::from_utf8_lossy(&text).into_owned()
}

struct Masker<'a> {
    catalogue: &'a Catalogue,
    cuts: &'a mut Vec<(Span, &'static str)>,
}

impl Masker<'_> {
    /// Where components and services may stand.
    fn top(&mut self, body: &Body) {
        for statement in &body.statements {
            match statement {
                Statement::Attribute(attribute) => self.value(&attribute.name.name, None, &attribute.value),
                Statement::Block(block) => {
                    let name = block.full_name();
                    if matches!(&*name, "declare" | "foreach" | "template") {
                        self.top(&block.body);
                        continue;
                    }
                    let component = self.catalogue.components.get(&*name).map(|component| component.arguments);
                    let service = self.catalogue.services.get(&*name).map(|service| service.arguments);
                    self.body(&block.body, component.or(service).map(|schema| schema()).as_ref());
                }
            }
        }
    }

    fn body(&mut self, body: &Body, schema: Option<&BlockSchema>) {
        let field = |name: &str| schema.and_then(|schema| schema.fields.iter().find(|field| field.name == name));
        for statement in &body.statements {
            match statement {
                Statement::Attribute(attribute) => {
                    let value = match field(&attribute.name.name).map(|field| &field.kind) {
                        Some(FieldKind::Attribute { value, .. }) => Some(value),
                        _ => None,
                    };
                    self.value(&attribute.name.name, value, &attribute.value);
                }
                Statement::Block(block) => {
                    let inner = match field(&block.full_name()).map(|field| &field.kind) {
                        Some(FieldKind::Block { schema, .. }) => Some(schema()),
                        _ => None,
                    };
                    self.body(&block.body, inner.as_ref());
                }
            }
        }
    }

    fn value(&mut self, name: &str, schema: Option<&TypeSchema>, value: &Expr) {
        let is_secret = match schema {
            Some(TypeSchema::Secret) => true,
            Some(TypeSchema::List(item) | TypeSchema::Map(item)) if matches!(**item, TypeSchema::Secret) => true,
            // An optional secret is shown if the expression is none; as text, nobody can tell.
            Some(TypeSchema::Bool | TypeSchema::Int | TypeSchema::Uint | TypeSchema::Float | TypeSchema::Word(_)) => {
                false
            }
            Some(TypeSchema::Duration | TypeSchema::Capsule(_)) => false,
            _ => sounds_secret(name),
        };
        if is_secret {
            if holds_text(value) {
                self.cuts.push((value.span, MASK));
            }
            return;
        }
        self.inside(value);
    }

    /// Keys of objects have names, too.
    fn inside(&mut self, value: &Expr) {
        match &value.kind {
            ExprKind::Object(fields) => {
                fields.iter().for_each(|field| self.value(&field.name.name, None, &field.value))
            }
            ExprKind::Array(items) => items.iter().for_each(|item| self.inside(item)),
            ExprKind::Paren(inner) => self.inside(inner),
            ExprKind::Call { arguments, .. } => arguments.iter().for_each(|argument| self.inside(argument)),
            ExprKind::Binary { left, right, .. } => {
                self.inside(left);
                self.inside(right);
            }
            _ => {}
        }
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // The name of a file with a secret is none.
    !name.ends_with("_file") && (name.ends_with("key") || TELLING.iter().any(|part| name.contains(part)))
}

/// Whether some of it is text that stands in the file, other than the name of a variable.
fn holds_text(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Literal(literal) => *literal == Literal::String,
        ExprKind::Array(items) => items.iter().any(holds_text),
        ExprKind::Object(fields) => fields.iter().any(|field| holds_text(&field.value)),
        ExprKind::Access { value, .. } | ExprKind::Paren(value) | ExprKind::Unary { operand: value, .. } => {
            holds_text(value)
        }
        ExprKind::Index { value, .. } => holds_text(value),
        ExprKind::Call { callee, arguments, .. } => {
            let asks_environment = matches!(&callee.kind, ExprKind::Access { name, .. } if name.name == "env")
                || matches!(&callee.kind, ExprKind::Ident(name) if name == "env");
            !asks_environment && arguments.iter().any(holds_text)
        }
        ExprKind::Binary { left, right, .. } => holds_text(left) || holds_text(right),
        ExprKind::Ident(_) | ExprKind::Missing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked_text(text: &str) -> String {
        let catalogue = Catalogue {
            components: Default::default(),
            not_yet: &[],
            services: Default::default(),
            minimum_stability: sdk_component::Stability::GenerallyAvailable,
            community: false,
        };
        masked(&catalogue, &Source::new("config.alloy", text.as_bytes().to_vec()))
    }

    #[test]
    fn what_sounds_like_a_secret_is_masked_and_references_stay() {
        let text = r#"
// password = "old"
my.module "a" {
	password = "pre" + "fix"
	token    = local.file.t.content
	api_key  = sys.env("KEY")
	key_file = "/etc/key"
	headers  = {"X-Api-Key" = "k", "Accept" = "x"}
	inner {
		secrets = ["a", "b"]
	}
}
"#;
        let expected = r#"

my.module "a" {
	password = "(secret)"
	token    = local.file.t.content
	api_key  = sys.env("KEY")
	key_file = "/etc/key"
	headers  = {"X-Api-Key" = "(secret)", "Accept" = "x"}
	inner {
		secrets = "(secret)"
	}
}
"#;
        assert_eq!(masked_text(text), expected);
    }

    #[test]
    fn what_is_no_configuration_does_not_panic() {
        masked_text("a { password = ");
        masked_text("\u{0}\"");
    }
}

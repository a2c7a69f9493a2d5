//! The tree of a configuration file.
//!
//! Every node keeps its span, every literal its text as written; comments are kept in source order beside the tree.
//! Together with the [`Source`] nothing is lost, so the printer can rebuild the file and an error can point into it.

use std::sync::Arc;

use crate::source::{Location, Source, Span};

/// One parsed file.
#[derive(Clone, Debug)]
pub struct File {
    /// The text it was parsed from.
    pub source: Arc<Source>,
    /// Its statements.
    pub body: Body,
    /// All comments, in source order.
    pub comments: Vec<Comment>,
}

/// A `// …` or `/* … */` comment; the span includes its markers, not the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands.
    pub span: Span,
    /// `/* … */` rather than `// …`.
    pub block: bool,
}

/// Statements between braces, or of a whole file.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// In source order.
    pub statements: Vec<Statement>,
    /// From the first byte inside to the last.
    pub span: Span,
}

/// An attribute or a block.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `name = expression`
    Attribute(Attribute),
    /// `name "label" { … }`
    Block(Block),
}

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The text.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// `name = expression`
#[derive(Clone, Debug)]
pub struct Attribute {
    /// What is set.
    pub name: Ident,
    /// To what.
    pub value: Expr,
}

/// `a.b.c "label" { … }`
#[derive(Clone, Debug)]
pub struct Block {
    /// The parts between the dots.
    pub name: Vec<Ident>,
    /// The label, without its quotes.
    pub label: Option<Ident>,
    /// What stands between the braces.
    pub body: Body,
    /// The opening brace.
    pub open: Span,
    /// The closing brace (empty, at the end of the file, when it is missing).
    pub close: Span,
}

/// An expression with its place; parentheses belong to the span of [`ExprKind::Paren`] only.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The whole of it.
    pub span: Span,
}

/// The kinds of expression (spec §1.5).
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `name`
    Ident(String),
    /// `null`, `true`, `1`, `1.5`, `"text"`: the text as written is under the span.
    Literal(Literal),
    /// `[a, b]`
    Array(Vec<Expr>),
    /// `{ a = 1, "b" = 2 }`
    Object(Vec<Field>),
    /// `value.name`
    Access {
        /// What is looked into.
        value: Box<Expr>,
        /// For which field.
        name: Ident,
    },
    /// `value[index]`
    Index {
        /// What is looked into.
        value: Box<Expr>,
        /// At which place.
        index: Box<Expr>,
    },
    /// `callee(arguments)`
    Call {
        /// The function.
        callee: Box<Expr>,
        /// What it is given.
        arguments: Vec<Expr>,
        /// The closing parenthesis.
        close: Span,
    },
    /// `!x`, `-x`
    Unary {
        /// Which.
        operator: UnaryOperator,
        /// On what.
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        /// Which.
        operator: BinaryOperator,
        /// Where the operator stands.
        operator_span: Span,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `(x)`
    Paren(Box<Expr>),
    /// What could not be parsed; a diagnostic says why.
    Missing,
}

/// One field of an object literal.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key: an identifier, or the text between the quotes *as written* (spec §1.5, Q: not unescaped).
    pub name: Ident,
    /// The key was written in quotes.
    pub quoted: bool,
    /// Its value.
    pub value: Expr,
}

/// What kind of literal; its text is under the expression's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A run of digits; `010` is octal (spec §1.2, Q).
    Number,
    /// Digits with a point or an exponent.
    Float,
    /// `"…"` or `` `…` ``, escapes still in place.
    String,
}

/// `!` and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UnaryOperator {
    Not,
    Negate,
}

/// The binary operators, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOperator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

// === impl Block ===

impl Block {
    /// The name as written: `a.b.c`.
    pub fn full_name(&self) -> String {
        self.name.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Name and label joined: the id of a component node, `loki.write.default`.
    pub fn id(&self) -> String {
        match &self.label {
            Some(label) if !label.name.is_empty() => format!("{}.{}", self.full_name(), label.name),
            _ => self.full_name(),
        }
    }

    /// The dotted name alone: what an error about the name underlines.
    pub fn name_span(&self) -> Span {
        let part = |part: Option<&Ident>| part.map_or(self.open, |part| part.span);
        part(self.name.first()).to(part(self.name.last()))
    }

    /// From the first name part to the label (or the name's end): what an error about the block underlines.
    pub fn header_span(&self) -> Span {
        let label = self.label.as_ref().map(|label| label.span);
        label.map_or(self.name_span(), |label| self.name_span().to(label))
    }

    /// From the first name part to the closing brace.
    pub fn span(&self) -> Span {
        self.header_span().to(self.close)
    }
}

// === impl Attribute ===

impl Attribute {
    /// From the name to the end of the value.
    pub fn span(&self) -> Span {
        self.name.span.to(self.value.span)
    }
}

// === impl Statement ===

impl Statement {
    /// The whole statement.
    pub fn span(&self) -> Span {
        match self {
            Statement::Attribute(attribute) => attribute.span(),
            Statement::Block(block) => block.span(),
        }
    }
}

// === impl Expr ===

impl Expr {
    /// The expression as written.
    pub fn text<'s>(&self, source: &'s Source) -> std::borrow::Cow<'s, str> {
        source.slice(self.span)
    }

    /// Its place in a source.
    pub fn location(&self, source: &Arc<Source>) -> Location {
        self.span.in_source(source)
    }
}

// === impl BinaryOperator ===

impl BinaryOperator {
    /// As written.
    pub fn as_str(self) -> &'static str {
        use BinaryOperator::*;
        match self {
            Or => "||",
            And => "&&",
            Equal => "==",
            NotEqual => "!=",
            Less => "<",
            LessOrEqual => "<=",
            Greater => ">",
            GreaterOrEqual => ">=",
            Add => "+",
            Subtract => "-",
            Multiply => "*",
            Divide => "/",
            Modulo => "%",
            Power => "^",
        }
    }
}

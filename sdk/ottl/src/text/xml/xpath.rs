//! XPath 1.0, as far as paths to elements, attributes and text need it: all axes but namespaces, predicates, unions,
//! comparisons, and the functions about positions, names, counts and texts. Arithmetic is left out.

use super::{Document, Kind, local};

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct XPath(Expression);

/// A node, or one of its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub node: usize,
    /// 0 is the node itself, more is an attribute by its place from 1 on.
    pub attribute: usize,
}

#[derive(Clone, Debug)]
enum Expression {
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Compare(Box<Expression>, Relation, Box<Expression>),
    Union(Vec<Expression>),
    Path(Option<Box<Expression>>, bool, Vec<Step>),
    Text(String),
    Number(f64),
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
struct Step {
    axis: Axis,
    test: Test,
    predicates: Vec<Expression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Itself,
    Parent,
    Ancestor,
    AncestorOrSelf,
    Attribute,
    FollowingSibling,
    PrecedingSibling,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Any,
    Name(String),
    Node,
    Text,
    Comment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Position,
    Last,
    Count,
    Not,
    True,
    False,
    Contains,
    StartsWith,
    EndsWith,
    Name,
    LocalName,
    StringLength,
    NormalizeSpace,
    Text,
    Number,
    Concat,
}

const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("position", Function::Position, 0, 0),
    ("last", Function::Last, 0, 0),
    ("count", Function::Count, 1, 1),
    ("not", Function::Not, 1, 1),
    ("true", Function::True, 0, 0),
    ("false", Function::False, 0, 0),
    ("contains", Function::Contains, 2, 2),
    ("starts-with", Function::StartsWith, 2, 2),
    ("ends-with", Function::EndsWith, 2, 2),
    ("name", Function::Name, 0, 1),
    ("local-name", Function::LocalName, 0, 1),
    ("string-length", Function::StringLength, 0, 1),
    ("normalize-space", Function::NormalizeSpace, 0, 1),
    ("string", Function::Text, 0, 1),
    ("number", Function::Number, 0, 1),
    ("concat", Function::Concat, 2, 16),
];

const AXES: &[(&str, Axis)] = &[
    ("child", Axis::Child),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("self", Axis::Itself),
    ("parent", Axis::Parent),
    ("ancestor", Axis::Ancestor),
    ("ancestor-or-self", Axis::AncestorOrSelf),
    ("attribute", Axis::Attribute),
    ("following-sibling", Axis::FollowingSibling),
    ("preceding-sibling", Axis::PrecedingSibling),
];

/// How deep an expression may nest.
const MAX_DEPTH: usize = 32;

// === impl XPath ===

impl XPath {
    /// Compiles an expression that gives nodes.
    pub fn new(text: &str) -> Result<XPath, String> {
        let mut parser = Parser { rest: text, depth: 0 };
        let expression = parser.or().map_err(|message| format!("invalid xpath: {message}"))?;
        parser.blanks();
        if !parser.rest.is_empty() {
            return Err(format!("invalid xpath: unexpected {:?}", parser.rest));
        }
        Ok(XPath(expression))
    }

    /// The nodes that it finds in a document, in the document's order.
    pub fn find(&self, document: &Document) -> Vec<Found> {
        let here = Here { document, found: Found { node: 0, attribute: 0 }, position: 1, last: 1 };
        match evaluate(&self.0, &here) {
            Object::Nodes(nodes) => nodes,
            _ => Vec::new(),
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("expected {sign:?} before {:?}", self.rest)) }
    }

    /// A word that is an operator, such as `and`.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '(') => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn name(&mut self) -> Option<&'t str> {
        self.blanks();
        let mut end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(self.rest.len());
        // A prefix belongs to the name; two colons end an axis.
        if self.rest[end..].starts_with(':') && !self.rest[end..].starts_with("::") {
            let local = &self.rest[end + 1..];
            let length = local.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(local.len());
            if length > 0 {
                end += 1 + length;
            }
        }
        let name = &self.rest[..end];
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric() || c == '.' || c == '-') {
            return None;
        }
        self.rest = &self.rest[end..];
        Some(name)
    }

    fn or(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression nests too deeply".to_owned());
        }
        let mut left = self.and()?;
        let mut parts = 0;
        while self.word("or") {
            parts += 1;
            if parts > MAX_DEPTH {
                return Err("the expression is too long".to_owned());
            }
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.comparison()?;
        let mut parts = 0;
        while self.word("and") {
            parts += 1;
            if parts > MAX_DEPTH {
                return Err("the expression is too long".to_owned());
            }
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let left = self.union()?;
        const RELATIONS: [(&str, Relation); 6] = [
            ("!=", Relation::Unequal),
            ("<=", Relation::LessOrEqual),
            (">=", Relation::GreaterOrEqual),
            ("=", Relation::Equal),
            ("<", Relation::Less),
            (">", Relation::Greater),
        ];
        for (sign, relation) in RELATIONS {
            if self.sign(sign) {
                return Ok(Expression::Compare(Box::new(left), relation, Box::new(self.union()?)));
            }
        }
        Ok(left)
    }

    fn union(&mut self) -> Result<Expression, String> {
        let first = self.path()?;
        let mut all = vec![first];
        while self.sign("|") {
            all.push(self.path()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Union(all) })
    }

    fn path(&mut self) -> Result<Expression, String> {
        self.blanks();
        match self.rest.chars().next() {
            None => return Err("the expression ends too early".to_owned()),
            Some(quote @ ('"' | '\'')) => {
                let end = self.rest[1..].find(quote).ok_or("a text has no closing quote")?;
                let text = self.rest[1..=end].to_owned();
                self.rest = &self.rest[end + 2..];
                return Ok(Expression::Text(text));
            }
            Some(digit) if digit.is_ascii_digit() => {
                let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
                let number = self.rest[..end].parse().map_err(|_| format!("{:?} is no number", &self.rest[..end]))?;
                self.rest = &self.rest[end..];
                return Ok(Expression::Number(number));
            }
            Some('(') => {
                self.rest = &self.rest[1..];
                let inner = self.or()?;
                self.expect(")")?;
                let mut steps = Vec::new();
                let predicates = self.predicates()?;
                if !predicates.is_empty() {
                    steps.push(Step { axis: Axis::Itself, test: Test::Node, predicates });
                }
                self.steps(&mut steps, false)?;
                return Ok(if steps.is_empty() {
                    inner
                } else {
                    Expression::Path(Some(Box::new(inner)), false, steps)
                });
            }
            _ => {}
        }
        if let Some(call) = self.call()? {
            return Ok(call);
        }
        let mut steps = Vec::new();
        let absolute = self.rest.starts_with('/');
        if absolute && !self.rest.starts_with("//") {
            self.rest = &self.rest[1..];
            self.blanks();
            if !self.rest.starts_with(|c: char| c.is_alphabetic() || "_*@.".contains(c)) {
                return Ok(Expression::Path(None, true, steps));
            }
        }
        self.steps(&mut steps, !self.rest.starts_with("//"))?;
        Ok(Expression::Path(None, absolute, steps))
    }

    fn call(&mut self) -> Result<Option<Expression>, String> {
        let before = self.rest;
        let Some(name) = self.name() else { return Ok(None) };
        if !self.sign("(") || matches!(name, "text" | "node" | "comment") {
            self.rest = before;
            return Ok(None);
        }
        let Some((_, function, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            return Err(format!("the function {name}() is not known"));
        };
        let mut arguments = Vec::new();
        while !self.sign(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.or()?);
        }
        if arguments.len() < *least || arguments.len() > *most {
            return Err(format!("{name}() takes other arguments"));
        }
        Ok(Some(Expression::Call(*function, arguments)))
    }

    fn steps(&mut self, steps: &mut Vec<Step>, mut at_once: bool) -> Result<(), String> {
        loop {
            if !at_once {
                if self.sign("//") {
                    steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() });
                } else if !self.sign("/") {
                    return Ok(());
                }
            }
            at_once = false;
            let step = self.step()?;
            steps.push(step);
        }
    }

    fn step(&mut self) -> Result<Step, String> {
        if self.sign("..") {
            return Ok(Step { axis: Axis::Parent, test: Test::Node, predicates: self.predicates()? });
        }
        if self.sign(".") {
            return Ok(Step { axis: Axis::Itself, test: Test::Node, predicates: self.predicates()? });
        }
        let mut axis = if self.sign("@") { Axis::Attribute } else { Axis::Child };
        if let Some((name, found)) = AXES
            .iter()
            .find(|(name, _)| self.rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with("::")))
        {
            axis = *found;
            self.rest = self.rest[name.len()..].trim_start().strip_prefix("::").unwrap_or(self.rest);
        }
        let test = if self.sign("*") {
            Test::Any
        } else {
            let name = self.name().ok_or_else(|| format!("expected a name before {:?}", self.rest))?;
            if self.sign("(") {
                self.expect(")")?;
                match name {
                    "text" => Test::Text,
                    "node" => Test::Node,
                    "comment" => Test::Comment,
                    other => return Err(format!("{other}() is no test of nodes")),
                }
            } else {
                Test::Name(name.to_owned())
            }
        };
        Ok(Step { axis, test, predicates: self.predicates()? })
    }

    fn predicates(&mut self) -> Result<Vec<Expression>, String> {
        let mut predicates = Vec::new();
        while self.sign("[") {
            predicates.push(self.or()?);
            self.expect("]")?;
        }
        Ok(predicates)
    }
}

enum Object {
    Nodes(Vec<Found>),
    Text(String),
    Number(f64),
    Bool(bool),
}

struct Here<'d> {
    document: &'d Document,
    found: Found,
    position: usize,
    last: usize,
}

fn text_of(document: &Document, found: Found) -> String {
    match &document.nodes[found.node].kind {
        Kind::Element(_, attributes) if found.attribute > 0 => {
            attributes.get(found.attribute - 1).map(|(_, value)| value.clone()).unwrap_or_default()
        }
        _ => document.inner_text(found.node),
    }
}

fn name_of(document: &Document, found: Found) -> String {
    match &document.nodes[found.node].kind {
        Kind::Element(_, attributes) if found.attribute > 0 => {
            attributes.get(found.attribute - 1).map(|(name, _)| name.clone()).unwrap_or_default()
        }
        Kind::Element(name, _) => name.clone(),
        _ => String::new(),
    }
}

impl Object {
    fn text(&self, document: &Document) -> String {
        match self {
            Object::Nodes(nodes) => nodes.first().map(|found| text_of(document, *found)).unwrap_or_default(),
            Object::Text(text) => text.clone(),
            Object::Number(number) => number.to_string(),
            Object::Bool(value) => value.to_string(),
        }
    }

    fn number(&self, document: &Document) -> f64 {
        match self {
            Object::Number(number) => *number,
            Object::Bool(value) => f64::from(u8::from(*value)),
            other => other.text(document).trim().parse().unwrap_or(f64::NAN),
        }
    }

    fn truth(&self) -> bool {
        match self {
            Object::Nodes(nodes) => !nodes.is_empty(),
            Object::Text(text) => !text.is_empty(),
            Object::Number(number) => *number != 0.0 && !number.is_nan(),
            Object::Bool(value) => *value,
        }
    }
}

fn evaluate(expression: &Expression, here: &Here<'_>) -> Object {
    match expression {
        Expression::Or(left, right) => Object::Bool(evaluate(left, here).truth() || evaluate(right, here).truth()),
        Expression::And(left, right) => Object::Bool(evaluate(left, here).truth() && evaluate(right, here).truth()),
        Expression::Compare(left, relation, right) => {
            Object::Bool(compare(&evaluate(left, here), *relation, &evaluate(right, here), here.document))
        }
        Expression::Union(all) => {
            let mut nodes = Vec::new();
            for one in all {
                if let Object::Nodes(found) = evaluate(one, here) {
                    nodes.extend(found);
                }
            }
            Object::Nodes(ordered(here.document, nodes))
        }
        Expression::Path(start, absolute, steps) => {
            let mut nodes = match start {
                Some(start) => match evaluate(start, here) {
                    Object::Nodes(nodes) => nodes,
                    other => return other,
                },
                None if *absolute => vec![Found { node: 0, attribute: 0 }],
                None => vec![here.found],
            };
            for step in steps {
                let mut next = Vec::new();
                // Predicates behind parentheses see all that was found at once.
                if start.is_some() && step.axis == Axis::Itself {
                    next = filtered(here.document, nodes, &step.predicates);
                } else {
                    for found in nodes {
                        next.extend(filtered(here.document, along(here.document, found, step), &step.predicates));
                    }
                }
                nodes = ordered(here.document, next);
            }
            Object::Nodes(nodes)
        }
        Expression::Text(text) => Object::Text(text.clone()),
        Expression::Number(number) => Object::Number(*number),
        Expression::Call(function, arguments) => call(*function, arguments, here),
    }
}

/// The candidates of a step from a node, the nearest first.
fn along(document: &Document, from: Found, step: &Step) -> Vec<Found> {
    let node = |node: usize| Found { node, attribute: 0 };
    let mut found = Vec::new();
    let siblings = || {
        let siblings = &document.nodes[document.nodes[from.node].parent].children;
        let at = siblings.iter().position(|sibling| *sibling == from.node).unwrap_or(0);
        (siblings, at)
    };
    match step.axis {
        Axis::Itself => found.push(from),
        Axis::Attribute => {
            if let (Kind::Element(_, attributes), 0) = (&document.nodes[from.node].kind, from.attribute) {
                found.extend((1..=attributes.len()).map(|attribute| Found { node: from.node, attribute }));
            }
        }
        Axis::Parent if from.attribute > 0 => found.push(node(from.node)),
        Axis::Parent if from.node != 0 => found.push(node(document.nodes[from.node].parent)),
        Axis::Ancestor | Axis::AncestorOrSelf => {
            let mut at = from;
            if step.axis == Axis::AncestorOrSelf {
                found.push(at);
            }
            while at.node != 0 || at.attribute > 0 {
                at = node(if at.attribute > 0 { at.node } else { document.nodes[at.node].parent });
                found.push(at);
            }
        }
        _ if from.attribute > 0 => {}
        Axis::Child => found.extend(document.nodes[from.node].children.iter().copied().map(node)),
        Axis::Descendant | Axis::DescendantOrSelf => {
            let mut todo = vec![from.node];
            while let Some(at) = todo.pop() {
                if at != from.node || step.axis == Axis::DescendantOrSelf {
                    found.push(node(at));
                }
                todo.extend(document.nodes[at].children.iter().rev());
            }
        }
        Axis::FollowingSibling if from.node != 0 => {
            let (siblings, at) = siblings();
            found.extend(siblings[at + 1..].iter().copied().map(node));
        }
        Axis::PrecedingSibling if from.node != 0 => {
            let (siblings, at) = siblings();
            found.extend(siblings[..at].iter().rev().copied().map(node));
        }
        _ => {}
    }
    found.retain(|found| fits(document, *found, step));
    found
}

fn fits(document: &Document, found: Found, step: &Step) -> bool {
    let kind = &document.nodes[found.node].kind;
    let named = matches!(kind, Kind::Element(..));
    match &step.test {
        Test::Node => true,
        Test::Any => named && (step.axis == Axis::Attribute) == (found.attribute > 0),
        Test::Text => found.attribute == 0 && matches!(kind, Kind::Text(_) | Kind::Data(_)),
        Test::Comment => found.attribute == 0 && matches!(kind, Kind::Comment(_)),
        Test::Name(name) => {
            let known = name_of(document, found);
            named && (known == *name || (!name.contains(':') && local(&known) == name && found.attribute == 0))
        }
    }
}

fn filtered(document: &Document, mut nodes: Vec<Found>, predicates: &[Expression]) -> Vec<Found> {
    for predicate in predicates {
        let last = nodes.len();
        let mut position = 0;
        nodes.retain(|found| {
            position += 1;
            match evaluate(predicate, &Here { document, found: *found, position, last }) {
                Object::Number(number) => number == position as f64,
                other => other.truth(),
            }
        });
    }
    nodes
}

/// In the document's order, each once.
fn ordered(document: &Document, mut nodes: Vec<Found>) -> Vec<Found> {
    if nodes.len() < 2 {
        return nodes;
    }
    let mut ranks = vec![usize::MAX; document.nodes.len()];
    let (mut todo, mut rank) = (vec![0], 0);
    while let Some(node) = todo.pop() {
        ranks[node] = rank;
        rank += 1;
        todo.extend(document.nodes[node].children.iter().rev());
    }
    nodes.sort_by_key(|found| (ranks[found.node], found.attribute));
    nodes.dedup();
    nodes
}

fn compare(left: &Object, relation: Relation, right: &Object, document: &Document) -> bool {
    // A set of nodes compares as any of its nodes.
    if let Object::Nodes(nodes) = left {
        return nodes.iter().any(|found| compare(&Object::Text(text_of(document, *found)), relation, right, document));
    }
    if let Object::Nodes(nodes) = right {
        return nodes.iter().any(|found| compare(left, relation, &Object::Text(text_of(document, *found)), document));
    }
    let numbers = || (left.number(document), right.number(document));
    let equal = || match (left, right) {
        (Object::Bool(_), _) | (_, Object::Bool(_)) => left.truth() == right.truth(),
        (Object::Number(_), _) | (_, Object::Number(_)) => {
            let (left, right) = numbers();
            left == right
        }
        _ => left.text(document) == right.text(document),
    };
    let (first, second) = numbers();
    match relation {
        Relation::Equal => equal(),
        Relation::Unequal => !equal(),
        Relation::Less => first < second,
        Relation::LessOrEqual => first <= second,
        Relation::Greater => first > second,
        Relation::GreaterOrEqual => first >= second,
    }
}

fn call(function: Function, arguments: &[Expression], here: &Here<'_>) -> Object {
    let document = here.document;
    let object = |at: usize| arguments.get(at).map(|argument| evaluate(argument, here));
    let text = |at: usize| match object(at) {
        Some(object) => object.text(document),
        None => text_of(document, here.found),
    };
    let node = || match object(0) {
        Some(Object::Nodes(nodes)) => nodes.first().copied(),
        Some(_) => None,
        None => Some(here.found),
    };
    match function {
        Function::Position => Object::Number(here.position as f64),
        Function::Last => Object::Number(here.last as f64),
        Function::Count => Object::Number(match object(0) {
            Some(Object::Nodes(nodes)) => nodes.len() as f64,
            _ => f64::NAN,
        }),
        Function::Not => Object::Bool(!object(0).is_some_and(|object| object.truth())),
        Function::True => Object::Bool(true),
        Function::False => Object::Bool(false),
        Function::Contains => Object::Bool(text(0).contains(&text(1))),
        Function::StartsWith => Object::Bool(text(0).starts_with(&text(1))),
        Function::EndsWith => Object::Bool(text(0).ends_with(&text(1))),
        Function::Name => Object::Text(node().map(|found| name_of(document, found)).unwrap_or_default()),
        Function::LocalName => {
            Object::Text(node().map(|found| local(&name_of(document, found)).to_owned()).unwrap_or_default())
        }
        Function::StringLength => Object::Number(text(0).chars().count() as f64),
        Function::NormalizeSpace => Object::Text(text(0).split_whitespace().collect::<Vec<_>>().join(" ")),
        Function::Text => Object::Text(text(0)),
        Function::Number => Object::Number(match object(0) {
            Some(object) => object.number(document),
            None => text(0).trim().parse().unwrap_or(f64::NAN),
        }),
        Function::Concat => Object::Text((0..arguments.len()).map(text).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(xpath: &str) -> String {
        let document = Document::parse(
            "<a x=\"1\"><b k=\"m\">one</b><b k=\"n\">two<c>three</c></b><!--note--><d><b>four</b></d></a>",
        )
        .unwrap();
        let texts = XPath::new(xpath).unwrap().find(&document);
        texts.into_iter().map(|found| text_of(&document, found)).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn paths_find_nodes() {
        for (xpath, expected) in [
            ("/a/b", "one|twothree"),
            ("//b", "one|twothree|four"),
            ("/a/b[2]", "twothree"),
            ("//b[last()]", "twothree|four"),
            ("(//b)[last()]", "four"),
            ("//b[@k='n']/c", "three"),
            ("//@k", "m|n"),
            ("/a/@x", "1"),
            ("//c/..", "twothree"),
            ("//b[contains(., 'o') and not(c)]", "one|four"),
            ("//b/text()", "one|two|four"),
            ("/a/*[name()='d']//b | //c", "three|four"),
            ("/a/b/following-sibling::d", "four"),
            ("//comment()", "note"),
            ("//b[string-length(@k) > 0][position() = 1]", "one"),
            ("/", "onetwothreefour"),
        ] {
            assert_eq!(found(xpath), expected, "{xpath}");
        }
        for bad in ["", "/a[", "//", "/a/b[@x=]", "foo(1)", "/a]", "(((("] {
            assert!(XPath::new(bad).is_err(), "{bad}");
        }
        assert!(XPath::new(&"(".repeat(10_000)).is_err());
    }
}

use std::fmt::Write;

use super::*;
use crate::ast::*;

/// The errors of a text, as `line:column: message` lines.
fn errors(text: &str) -> String {
    let (_, diagnostics) = parse(Source::new("test", text));
    diagnostics.0.iter().fold(String::new(), |mut lines, diagnostic| {
        let _ = writeln!(lines, "{}", diagnostic.to_string().trim_start_matches("test:"));
        lines
    })
}

fn shape(text: &str) -> String {
    let source = Source::new("test", text);
    let (expression, diagnostics) = parse_expression(source.clone());
    assert!(diagnostics.is_empty(), "{text}: {diagnostics}");
    draw(&expression, &source)
}

fn draw(expression: &Expr, source: &Source) -> String {
    match &expression.kind {
        ExprKind::Binary { operator, left, right, .. } => {
            format!("({} {} {})", draw(left, source), operator.as_str(), draw(right, source))
        }
        ExprKind::Unary { operand, .. } => format!("({:.1}{})", expression.text(source), draw(operand, source)),
        ExprKind::Access { value, name } => format!("{}.{}", draw(value, source), name.name),
        ExprKind::Index { value, index } => format!("{}[{}]", draw(value, source), draw(index, source)),
        ExprKind::Call { callee, arguments, .. } => {
            let arguments: Vec<_> = arguments.iter().map(|argument| draw(argument, source)).collect();
            format!("{}({})", draw(callee, source), arguments.join(","))
        }
        ExprKind::Paren(inner) => draw(inner, source),
        _ => expression.text(source).into_owned(),
    }
}

/// The hints of a text, in order.
fn hints(text: &str) -> Vec<String> {
    let (_, diagnostics) = parse(Source::new("test", text));
    diagnostics.0.into_iter().flat_map(|diagnostic| diagnostic.hints).collect()
}

#[test]
fn what_people_write_by_habit_is_answered_with_what_to_write() {
    for (text, expected) in [
        ("a = \"b\nc = 1\n", "a text ends on its line, with a second \"; one of several lines stands between two `"),
        ("a = `b\n", "the ` that begins here has no second one"),
        ("a = \"^\\d+$\"\n", "write \\\\d, or put the text between two `, where \\ is a character like any other"),
        ("b {\n url \"http://x\"\n}\n", "an attribute is written url = …"),
        ("b {\n url \"http://x\" // c\n}\n", "an attribute is written url = …"),
        ("loki.write \"a-b\" {\n}\n", "a valid label is \"a_b\""),
        ("a {\n b: 1\n}\n", "a name and its value are joined with =, and a text stands in double quotes"),
    ] {
        assert_eq!(hints(text).first().map(String::as_str), Some(expected), "{text}");
    }
}

#[test]
fn yaml_is_recognised_and_answered_once() {
    for text in [
        "# a comment\n\nserver:\n  port: 1\nclients:\n  - url: x\n",
        "---\na: b\n",
        "\u{feff}receivers:\r\n  otlp:\r\n",
    ] {
        let (_, diagnostics) = parse(Source::new("test", text));
        assert_eq!(diagnostics.0.len(), 1, "{text}");
        assert!(diagnostics.0[0].hints[0].contains("YAML"), "{text}");
    }
    for text in ["a {\n b: 1\n}\n", "b: 1\n", "b: 1\nc = 2\n"] {
        assert!(hints(text)[0].contains("joined with ="), "{text}");
    }
    assert_eq!(errors("a = 1\n"), "");
}

#[test]
fn operators_bind_as_in_alloy() {
    for (text, expected) in [
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("2 ^ 3 ^ 4", "(2 ^ (3 ^ 4))"),
        ("-5 ^ 2", "((-5) ^ 2)"),
        ("1 < 2 < 3", "((1 < 2) < 3)"),
        ("a || b && !c == d", "(a || (b && ((!c) == d)))"),
        ("a.b[1](2, 3).c", "a.b[1](2,3).c"),
        ("2 * 3 ^ 4 * 5", "((2 * (3 ^ 4)) * 5)"),
        ("(1 +\n2) * 3", "((1 + 2) * 3)"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn goes_on_after_an_error_and_names_every_one() {
    assert_eq!(
        errors("a = [1 2]\nb = * 1\nloki.write \"x y\" {\n  c = 1 d = 2\n}\ne = )\n"),
        "1:8: missing ',' in expression list\n\
         2:5: expected expression, got *\n\
         3:12: expected block label to be a valid identifier, but got \"x y\"\n\
         4:9: expected TERMINATOR, got IDENT\n\
         6:5: expected expression, got )\n"
    );
}

#[test]
fn what_was_understood_is_in_the_tree() {
    let (file, _) = parse(Source::new("test", "a = 1 +\nb \"l\" {\n  c = {x = 1, 2 = 3}\n}\n"));
    let names: Vec<_> = file
        .body
        .statements
        .iter()
        .map(|statement| match statement {
            Statement::Attribute(attribute) => attribute.name.name.clone(),
            Statement::Block(block) => block.id(),
        })
        .collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn comments_are_kept_in_order_without_their_line_end() {
    let text = "// one\r\na = /* two */ 1 // three\n/* four\n */";
    let (file, diagnostics) = parse(Source::new("test", text));
    assert!(diagnostics.is_empty());
    let comments: Vec<_> = file.comments.iter().map(|comment| file.source.slice(comment.span)).collect();
    assert_eq!(comments, ["// one", "/* two */", "// three", "/* four\n */"]);
}

#[test]
fn what_is_left_open_is_named() {
    for (text, hint) in [
        ("a \"x\" {\n b = 1\n", "the { on line 1 is not closed"),
        ("\na = [1,\n", "the [ on line 2 is not closed"),
        ("a = f(1,", "the ( on line 1 is not closed"),
    ] {
        let (_, diagnostics) = parse(Source::new("test", text));
        assert_eq!(diagnostics.0.last().unwrap().hints, [hint]);
    }
}

#[test]
fn hostile_nesting_is_an_error_and_not_a_crash() {
    let deep = |opener: &str| errors(&format!("a = {}", opener.repeat(50_000)));
    for opener in ["[", "(", "{a=", "f(", "a[", "-", "!", "b {a=", "b \"\" {a ="] {
        let errors = deep(opener);
        assert!(errors.contains("nested too deeply"), "{opener}: {:.300}", errors);
        assert!(errors.lines().count() < 10, "{opener}: {:.300}", errors);
    }
    assert!(errors(&"b {\n".repeat(50_000)).contains("nested too deeply"));
    for link in ["+1", "^1", ".a", "[0]", "()", "&& 1"] {
        assert!(errors(&format!("a = x{}", link.repeat(50_000))).contains("too long"), "{link}");
        assert_eq!(errors(&format!("a = x{}", link.repeat(900))), "", "{link}");
    }
    let nested = format!("a = {}1{}", "[".repeat(MAX_NESTING), "]".repeat(MAX_NESTING));
    assert_eq!(errors(&nested), "");
}

#[test]
fn errors_without_end_are_cut() {
    let (_, diagnostics) = parse(Source::new("test", vec![0u8; 100_000]));
    assert_eq!(diagnostics.0.len(), MAX_DIAGNOSTICS + 1);
    assert!(diagnostics.0.last().unwrap().message.starts_with("too many errors"));
}

#[test]
fn parsing_takes_time_in_proportion_to_the_text() {
    // Each of these once made some parser or other look at the same bytes again and again.
    for unit in ["/* c */ ", "a /* c */ ", "(", "\"", "`", "'", "/*", "a.", "{", "a b ", "a = [", "#", "\u{1F600}"] {
        let text = unit.repeat(1 << 16);
        parse(Source::new("test", text));
    }
}

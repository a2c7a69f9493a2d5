use super::*;
use crate::parser::parse;
use crate::source::Span;

const PLAIN: Style = Style { colors: false, hints: true };

fn drawn(text: &str, start: u32, end: u32, add: impl FnOnce(Diagnostic) -> Diagnostic) -> String {
    let source = Source::new("f", text);
    let diagnostic = Diagnostic::error(Span::new(start, end).in_source(&source), "wrong");
    render(&add(diagnostic).into(), PLAIN)
}

#[test]
fn a_place_with_label_and_hints() {
    let text = "a = 1\n\tb = nam\nc = 2\n";
    let drawn = drawn(text, 11, 14, |d| {
        d.with_label("not known here").with_hint("did you mean name?").with_hint("names are declared first")
    });
    assert_eq!(
        drawn,
        "Error: f:2:6: wrong\n\n\
         1 | a = 1\n\
         2 |     b = nam\n  \
           |         ^^^ not known here\n\
         3 | c = 2\n  \
           = did you mean name?\n  \
           = help: names are declared first\n"
    );
}

#[test]
fn a_range_over_lines_is_drawn_at_the_left() {
    let text = "x\na \"b\" {\n  c = 1\n}\n";
    assert_eq!(
        drawn(text, 2, 19, |d| d),
        "Error: f:2:1: wrong\n\n\
         1 |   x\n\
         2 |   a \"b\" {\n  \
           |  _^^^^^^^\n\
         3 | |   c = 1\n\
         4 | | }\n  \
           | |_^\n\
         5 |   \n"
    );
}

#[test]
fn the_end_of_a_line_is_a_place_too() {
    assert_eq!(drawn("a = ", 4, 5, |d| d), "Error: f:1:5: wrong\n\n1 | a = \n  |     ^\n");
}

#[test]
fn long_lines_are_shown_in_part() {
    let text = format!("{}é!{}", "x".repeat(5000), "ü".repeat(5000));
    let drawn = drawn(&text, 5002, 5003, |d| d);
    let lines: Vec<_> = drawn.lines().collect();
    assert!(lines[2].chars().count() < MAX_LINE + 20);
    assert!(lines[2].contains("xé!ü") && lines[2].starts_with("1 | …x") && lines[2].ends_with("ü…"));
    let place = lines[2].chars().position(|c| c == '!');
    assert_eq!(lines[3].chars().position(|c| c == '^'), place);
    assert_eq!(lines[3].matches('^').count(), 1);
}

#[test]
fn a_terminal_is_not_spoken_to() {
    let drawn = drawn("a = \"\x1b[2J\" + \n", 4, 5, |d| d);
    assert!(!drawn.contains('\x1b'));
}

#[test]
fn what_is_drawn_has_a_bound() {
    for text in [
        "#\n".repeat(50_000),
        "# ".repeat(50_000),
        format!("a = [{}", "1 \n".repeat(30_000)),
        "a \"b\" {\n".repeat(150),
    ] {
        let (_, diagnostics) = parse(Source::new("f", text));
        let drawn = render(&diagnostics, PLAIN);
        assert!(drawn.len() < 400_000, "{}", drawn.len());
    }
    let text = "x\n".repeat(10_000);
    assert!(drawn(&text, 0, 20_000, |d| d).lines().count() < 100);
}

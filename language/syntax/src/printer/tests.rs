use proptest::prelude::*;

use super::*;

fn formatted(text: &str) -> String {
    let (file, diagnostics) = parse(Source::new("test", text));
    assert!(diagnostics.is_empty(), "{diagnostics}\n{text}");
    String::from_utf8(format(&file).unwrap_or_else(|error| panic!("{error}\n{text}"))).unwrap()
}

fn check(text: &str, expected: &str) {
    assert_eq!(formatted(text), expected, "{text:?}");
    assert_eq!(formatted(expected), expected, "a second time");
}

#[test]
fn strings_keep_every_byte() {
    check("a=`x\t\n  \t\n\ty`//c\nbb=2//d\n", "a = `x\t\n  \t\n\ty` //c\nbb = 2 //d\n");
    check("a = {b = `1\t\n`, c = 2,\n}\n", "a = {b = `1\t\n`,\n\tc = 2,\n}\n");
    check("a = \"one\ttwo\"\n", "a = \"one\ttwo\"\n");
}

#[test]
fn a_line_comment_never_swallows_what_follows() {
    check("a = foo.// c\n  bar\n", "a = foo. // c\nbar\n");
    check("a = f(b,// c\n)\n", "a = f(b, // c\n)\n");
    check("a = f(\n  b,\n) // c\n", "a = f(\n\tb,\n) // c\n");
    check("a = f( // c\n) + 1\n", "a = f( // c\n) + 1\n");
}

#[test]
fn a_comment_may_stand_inside_a_name() {
    check("a .// c\n b \"d\" {\n}\n", "a. // c\nb \"d\" { }\n");
    check("a /* c */ . b {\n}\n", "a.b /* c */ { }\n");
}

#[test]
fn a_file_with_errors_is_refused() {
    let (file, diagnostics) = parse(Source::new("test", "a = )\n"));
    assert!(diagnostics.has_errors());
    assert_eq!(format(&file), Err(FormatError::Incomplete));
}

#[test]
fn keys_and_numbers_stay_what_they_are() {
    check(
        "a = {`b c` = 1, \"d\\\"e\" = 2, `f\"` = 3, \"\" = 4}\n",
        "a = {\"b c\" = 1, \"d\\\"e\" = 2, `f\"` = 3, \"\" = 4}\n",
    );
    check("a = 1 .b\n", "a = 1 .b\n");
}

/// Writes a configuration as a list of choices tells it to.
struct Author<'c> {
    choices: &'c [u8],
    text: String,
}

impl Author<'_> {
    fn choose(&mut self, count: u8) -> u8 {
        let Some((first, rest)) = self.choices.split_first() else { return 0 };
        self.choices = rest;
        first % count
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Where no line may end.
    fn gap(&mut self) {
        let gap = ["", " ", "\t ", "/* i */", " /* i */ ", " /* i *//* j */ "][self.choose(6) as usize];
        self.push(gap);
    }

    /// Where a line may end.
    fn break_(&mut self) {
        let gaps =
            ["", " ", "\n", "// l\n", " // l\r\n", "/* i */", "/* m\n\tm */", "\n\n\n", "\n// k\n\n// l\n", "\r\n\t"];
        let gap = gaps[self.choose(10) as usize];
        self.push(gap);
    }

    fn line_end(&mut self) {
        let ends = ["\n", "\n\n", " // t\n", " /* t */\n", "/* t\n t */\n", "\n\n\n// u\n", "// t  \n\n// u\n// v\n"];
        let end = ends[self.choose(7) as usize];
        self.push(end);
    }

    fn name(&mut self) {
        let name = ["a", "bb", "long_name", "ünï"][self.choose(4) as usize];
        self.push(name);
    }

    fn expression(&mut self, depth: u8) {
        let kinds = if depth == 0 { 7 } else { 14 };
        match self.choose(kinds) {
            0 => self.push("1"),
            1 => self.name(),
            2 => self.push("\"text\\n\""),
            3 => self.push("`raw\t \n\n\traw`"),
            4 => self.push("1.5"),
            5 => self.push("null"),
            6 => self.push("\"世界\""),
            7 => self.list("[", "]", depth),
            8 => {
                self.name();
                self.gap();
                self.list("(", ")", depth);
            }
            9 => self.object(depth),
            10 => {
                self.expression(depth - 1);
                self.gap();
                self.push(["+", "&&", "==", "^"][self.choices.len() % 4]);
                self.break_();
                self.expression(depth - 1);
            }
            11 => {
                self.push(["-", "!"][self.choices.len() % 2]);
                self.break_();
                self.expression(depth - 1);
            }
            12 => {
                self.push("(");
                self.break_();
                self.expression(depth - 1);
                self.gap();
                self.push(")");
            }
            _ => {
                self.name();
                self.gap();
                self.push(".");
                self.break_();
                self.name();
                self.gap();
                self.push("[");
                self.break_();
                self.expression(depth - 1);
                self.gap();
                self.push("]");
            }
        }
    }

    fn list(&mut self, open: &str, close: &str, depth: u8) {
        self.push(open);
        self.break_();
        let count = self.choose(4);
        for index in 0..count {
            self.expression(depth - 1);
            self.gap();
            if index + 1 < count || self.choose(2) == 0 {
                self.push(",");
                self.break_();
            }
        }
        self.push(close);
    }

    fn object(&mut self, depth: u8) {
        self.push("{");
        self.break_();
        let count = self.choose(4);
        for index in 0..count {
            match self.choose(3) {
                0 => self.push("\"quoted \\\" key\""),
                1 => self.push("`raw`"),
                _ => self.name(),
            }
            self.gap();
            self.push("=");
            self.break_();
            self.expression(depth - 1);
            self.gap();
            if index + 1 < count || self.choose(2) == 0 {
                self.push(",");
                self.break_();
            }
        }
        self.push("}");
    }

    fn body(&mut self, depth: u8) {
        for _ in 0..self.choose(5) {
            self.name();
            self.gap();
            if depth > 0 && self.choose(3) == 0 {
                let label = ["", "\"l\"", "\"\""][self.choose(3) as usize];
                self.push(label);
                self.gap();
                self.push("{");
                self.break_();
                self.body(depth - 1);
                self.push("}");
            } else {
                self.push("=");
                self.break_();
                self.expression(3);
            }
            self.line_end();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 20_000, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn formatting_keeps_the_meaning_and_settles_at_once(choices in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut author = Author { choices: &choices, text: String::new() };
        author.break_();
        author.body(3);
        let (file, diagnostics) = parse(Source::new("test", author.text.as_bytes()));
        prop_assume!(diagnostics.is_empty());
        let once = match format(&file) {
            Ok(once) => once,
            Err(error) => return Err(TestCaseError::fail(format!("{error}: {:?}", author.text))),
        };
        let (again, diagnostics) = parse(Source::new("test", once.clone()));
        prop_assert!(diagnostics.is_empty(), "{diagnostics}");
        prop_assert!(same(&file, &again));
        let twice = format(&again).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice), "of {:?}", author.text);
        // Nothing blank at a line's end, but in strings and comments.
        let last_line = once.rsplit(|byte| *byte == b'\n').nth(1).unwrap_or_default();
        prop_assert!(!last_line.ends_with(b"\t"), "{:?}", String::from_utf8_lossy(&once));
    }
}

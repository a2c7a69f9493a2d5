//! JMESPath over borrowed JSON, in the community dialect that Alloy takes: `let`, arithmetic, string slices, and its
//! functions beside those of the original.
//!
//! Nearly all expressions in the field are a path of keys; [`Expression::keys`] says so, and the caller looks those up
//! without decoding anything.

mod eval;
mod functions;
mod parse;

use super::json::Json;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    root: parse::Node,
}

/// Why an expression could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SyntaxError: {0}")]
pub struct SyntaxError(String);

/// Evaluation failed: an argument of a wrong type, an unknown function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

// === impl Expression ===

impl Expression {
    /// Compiles.
    pub fn new(text: &str) -> Result<Expression, SyntaxError> {
        Ok(Expression { root: parse::parse(text)? })
    }

    /// The keys, when the expression is nothing but keys joined by dots.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let mut keys = Vec::new();
        let mut node = &self.root;
        loop {
            match node {
                parse::Node::Field(name) => {
                    keys.push(name.as_str());
                    keys.reverse();
                    return Some(keys);
                }
                parse::Node::Sub(left, right) => match &**right {
                    parse::Node::Field(name) => {
                        keys.push(name.as_str());
                        node = left;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// Evaluates.
    pub fn search<'a>(&self, data: &Json<'a>) -> Result<Json<'a>, Failed> {
        eval::search(&self.root, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::json::encode;

    fn check(expression: &str, data: &str, expect: &str) {
        let data = Json::parse(data.as_bytes()).unwrap();
        let result = Expression::new(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).search(&data);
        let mut text = Vec::new();
        match result {
            Ok(value) => encode(&value, &mut text),
            Err(Failed) => text.extend_from_slice(b"failed"),
        }
        assert_eq!(String::from_utf8(text).unwrap(), expect, "{expression}");
    }

    #[test]
    fn paths_indexes_and_slices() {
        let data = r#"{"a":{"b":[1,{"c":"x"},3]},"dotted.key":"D","n":null}"#;
        check("a.b[1].c", data, r#""x""#);
        check("a.b[-1]", data, "3");
        check("a.b[9]", data, "null");
        check("a.b[0:2]", data, r#"[1,{"c":"x"}]"#);
        check("a.b[::-1]", data, r#"[3,{"c":"x"},1]"#);
        check("\"dotted.key\"", data, r#""D""#);
        check("\"dotted.key\"[0:1]", data, r#""D""#);
        check("nope.x.y", data, "null");
        check("a.b[*].c", data, r#"["x"]"#);
        check("@.n", data, "null");
    }

    #[test]
    fn projections_filters_and_pipes() {
        let data =
            r#"{"p":[{"n":"a","v":1},{"n":"b","v":2},{"n":"c"}],"l":[[1,2],[3,[4]]],"o":{"x":{"y":1},"z":{"y":2}}}"#;
        check("p[*].n", data, r#"["a","b","c"]"#);
        check("p[?v > `1`].n", data, r#"["b"]"#);
        check("p[?n == 'a' || v == `2`].n | [0]", data, r#""a""#);
        check("l[]", data, "[1,2,3,[4]]");
        check("l[][]", data, "[1,2,3,4]");
        check("o.*.y", data, "[1,2]");
        check("p[?!v].n", data, r#"["c"]"#);
        check("{a: p[0].n, b: length(p)}", data, r#"{"a":"a","b":3}"#);
        check("[p[0].v, p[1].v]", data, "[1,2]");
        check("p[?v].v | sum(@)", data, "3");
    }

    #[test]
    fn operators_and_functions() {
        let data = r#"{"a":null,"b":{"c":1},"s":"nasty","n":-1.5,"l":["b","a"],"m":[1,2,4]}"#;
        check("a || b", data, r#"{"c":1}"#);
        check("b && s", data, r#""nasty""#);
        check("type(a)", data, r#""null""#);
        check("to_string(b)", data, r#""{\"c\":1}""#);
        check("sort(l)", data, r#"["a","b"]"#);
        check("avg(m)", data, "2.3333333333333335");
        check("ceil(n)", data, "-1");
        check("merge({a:'1'}, {b:'2'})", data, r#"{"a":"1","b":"2"}"#);
        check("not_null(zip, s)", data, r#""nasty""#);
        check("to_number('12.5')", data, "12.5");
        check("sort_by([{k:'b'},{k:'a'}], &k)[0].k", data, r#""a""#);
        check("max_by([{k:`1`},{k:`3`}], &k).k", data, "3");
        check("map(&[0], [`[1]`, `[2]`])", data, "[1,2]");
        check("join('-', l)", data, r#""b-a""#);
        check("upper(s)", data, r#""NASTY""#);
        check("split(s, 's')", data, r#"["na","ty"]"#);
        check("n + `2` * `3`", data, "4.5");
        check("let $x = s in [$x, $x]", data, r#"["nasty","nasty"]"#);
        check("abs(s)", data, "failed");
        check("nosuch(s)", data, "failed");
    }

    #[test]
    fn what_does_not_parse_is_said() {
        for bad in ["a[", "a.", "", "a b", "{a}", "'x", "`1", "foo(", "a[?", "&"] {
            assert!(Expression::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_paths_are_recognised() {
        assert_eq!(Expression::new("a.b.\"c d\"").unwrap().keys(), Some(vec!["a", "b", "c d"]));
        assert_eq!(Expression::new("a[0]").unwrap().keys(), None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_expressions_never_panic(text in "[a-b.\\[\\]\\*:?@|&!={}(),'`\" 0-2+/$<-]{0,16}") {
            if let Ok(expression) = Expression::new(&text) {
                let data = Json::parse(br#"{"a":[1,2,{"b":"x"}],"b":"text"}"#).unwrap();
                let _ = expression.search(&data);
            }
        }
    }
}

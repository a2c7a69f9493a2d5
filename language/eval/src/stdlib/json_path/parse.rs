//! The text of a path to its steps.

use super::filter::{Comparison, Filter, Function, Operand};
use super::{MAX_STEPS, Selector, Step};
use crate::stdlib::json::Json;
use crate::value::Number;

pub fn path(text: &str) -> Result<Vec<Step>, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if !parser.eat("$") {
        parser.eat("@");
    }
    let steps = parser.steps(true)?;
    match parser.at {
        at if at == text.len() => Ok(steps),
        _ => Err(parser.error("unexpected character")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn steps(&mut self, at_start: bool) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut bare = at_start && self.at == 0;
        loop {
            if steps.len() > MAX_STEPS {
                return Err(self.error("too many steps"));
            }
            if self.eat("..") {
                steps.push(Step::Descend);
                if !self.looking_at("[") {
                    steps.push(self.name_step()?);
                }
            } else if self.eat(".") {
                steps.push(self.name_step()?);
            } else if self.eat("[") {
                steps.push(Step::Pick(self.selectors()?));
            } else if bare && self.at < self.text.len() {
                steps.push(self.name_step()?);
            } else {
                return Ok(steps);
            }
            bare = false;
        }
    }

    fn name_step(&mut self) -> Result<Step, String> {
        if self.eat("*") {
            return Ok(Step::Pick(vec![Selector::All]));
        }
        let rest = self.rest();
        let end = rest.find(|letter: char| " \t\n.[](){}'\"=<>!&|,?*@$+/".contains(letter)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("expected a name"));
        }
        let name = rest[..end].to_owned();
        self.at += end;
        Ok(Step::Pick(vec![Selector::Name(name)]))
    }

    fn selectors(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        loop {
            self.blanks();
            selectors.push(self.selector()?);
            self.blanks();
            if self.eat("]") {
                return Ok(selectors);
            }
            if !self.eat(",") {
                return Err(self.error("not terminated"));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        if self.eat("*") {
            return Ok(Selector::All);
        }
        if self.eat("?") {
            return Ok(Selector::Filter(Box::new(self.filter()?)));
        }
        if self.looking_at("'") || self.looking_at("\"") {
            return self.quoted().map(Selector::Name);
        }
        let start = self.whole()?;
        if !self.eat(":") {
            return start.map(Selector::Index).ok_or_else(|| self.error("not terminated"));
        }
        let end = self.whole()?;
        let step = if self.eat(":") { self.whole()? } else { None };
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    fn filter(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > MAX_STEPS {
            return Err(self.error("nests too deep"));
        }
        let mut alternatives = vec![self.conjunction()?];
        while self.eat_token("||") {
            alternatives.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(Filter::Or(alternatives))
    }

    fn conjunction(&mut self) -> Result<Filter, String> {
        let mut terms = vec![self.term()?];
        while self.eat_token("&&") {
            terms.push(self.term()?);
        }
        Ok(Filter::And(terms))
    }

    fn term(&mut self) -> Result<Filter, String> {
        self.blanks();
        if !self.looking_at("!=") && self.eat("!") {
            self.depth += 1;
            if self.depth > MAX_STEPS {
                return Err(self.error("nests too deep"));
            }
            let negated = self.term()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(negated)));
        }
        if self.eat("(") {
            let inner = self.filter()?;
            return if self.eat_token(")") { Ok(inner) } else { Err(self.error("expected )")) };
        }
        let left = self.operand()?;
        self.blanks();
        let operators = [
            ("in ", Comparison::In),
            ("empty ", Comparison::Empty),
            ("has ", Comparison::Exists),
            ("exists ", Comparison::Exists),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        match operators.into_iter().find(|(written, _)| self.eat(written)) {
            Some((_, operator)) => Ok(Filter::Compare { left, operator, right: self.operand()? }),
            None => Ok(Filter::Exists(left)),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.blanks();
        if self.eat("@") {
            return self.steps(false).map(Operand::Here);
        }
        if self.eat("$") {
            return self.steps(false).map(Operand::Root);
        }
        if self.looking_at("'") || self.looking_at("\"") {
            return Ok(Operand::Literal(Json::String(self.quoted()?)));
        }
        if self.eat("[") {
            return self.list().map(Operand::Literal);
        }
        if let Some((_, function)) = Function::ALL.into_iter().find(|(written, _)| self.eat(written)) {
            return self.call(function);
        }
        for (word, literal) in [("true", Json::Bool(true)), ("false", Json::Bool(false)), ("null", Json::Null)] {
            if self.eat(word) {
                return Ok(Operand::Literal(literal));
            }
        }
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && !"+-.eE".contains(letter)).unwrap_or(rest.len());
        let number = match rest[..end].parse::<i64>() {
            Ok(number) => Number::Int(number),
            Err(_) => Number::Float(rest[..end].parse().map_err(|_| self.error("expected a value"))?),
        };
        self.at += end;
        Ok(Operand::Literal(Json::Number(number)))
    }

    /// The literals of a list, behind its `[`.
    fn list(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        while !self.eat_token("]") {
            if !items.is_empty() && !self.eat(",") {
                return Err(self.error("not terminated"));
            }
            let Operand::Literal(item) = self.nested(Parser::operand)? else {
                return Err(self.error("expected a value"));
            };
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    /// The operand of a function, behind its `(`.
    fn call(&mut self, function: Function) -> Result<Operand, String> {
        let operand = self.nested(Parser::operand)?;
        if !self.eat_token(")") {
            return Err(self.error("expected )"));
        }
        Ok(Operand::Call(function, Box::new(operand)))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > MAX_STEPS {
            return Err(self.error("nests too deep"));
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.rest().chars().next().unwrap_or('\'');
        let mut name = String::new();
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
                letter if letter == quote => {
                    self.at += at + 1;
                    return Ok(name);
                }
                letter => name.push(letter),
            }
        }
        Err(self.error("string not terminated"))
    }

    fn whole(&mut self) -> Result<Option<i64>, String> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '-').unwrap_or(rest.len());
        let digits = &rest[..end];
        if digits.is_empty() {
            return Ok(None);
        }
        let number = digits.parse().map_err(|_| self.error("expected a number"))?;
        self.at += end;
        self.blanks();
        Ok(Some(number))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn looking_at(&self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.looking_at(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn eat_token(&mut self, token: &str) -> bool {
        self.blanks();
        self.eat(token)
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, message: &str) -> String {
        format!("{message} at {} in {}", self.at + 1, self.text)
    }
}

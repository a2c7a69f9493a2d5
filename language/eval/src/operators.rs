//! Operators on values (spec §2.2, §2.3).

use language_syntax::ast::{BinaryOperator, UnaryOperator};

use crate::value::{Number, Secret, SecretKind, Text, Value};

/// Why an operator does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorError {
    /// Which operand is to blame.
    pub side: Side,
    /// What is wrong with it.
    pub message: String,
}

/// Which operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side {
    Left,
    Right,
}

/// `left operator right`
pub fn binary(operator: BinaryOperator, left: &Value, right: &Value) -> Result<Value, OperatorError> {
    use BinaryOperator::*;
    match operator {
        Equal => return Ok(Value::Bool(equal(left, right))),
        NotEqual => return Ok(Value::Bool(!equal(left, right))),
        Add => {
            if let (Some(left), Some(right)) = (Written::of(left), Written::of(right)) {
                return Ok(left.join(right));
            }
        }
        Less | LessOrEqual | Greater | GreaterOrEqual => {
            if let (Some(left), Some(right)) = (Written::shown(left), Written::shown(right)) {
                return Ok(Value::Bool(ordered(operator, Some(left.cmp(right)))));
            }
        }
        _ => {}
    }
    for (side, value) in [(Side::Left, left), (Side::Right, right)] {
        let allowed = operands(operator);
        if !allowed.contains(&value.kind()) {
            let message = format!(
                "should be one of [{}] for binop {}, got {}",
                allowed.join(" "),
                operator.as_str(),
                value.kind()
            );
            return Err(OperatorError { side, message });
        }
    }
    match (operator, left, right) {
        (Or, Value::Bool(left), Value::Bool(right)) => Ok(Value::Bool(*left || *right)),
        (And, Value::Bool(left), Value::Bool(right)) => Ok(Value::Bool(*left && *right)),
        (Less | LessOrEqual | Greater | GreaterOrEqual, Value::Number(left), Value::Number(right)) => {
            Ok(Value::Bool(ordered(operator, compare(*left, *right))))
        }
        (_, Value::Number(left), Value::Number(right)) => arithmetic(operator, *left, *right),
        (_, left, right) if left.kind() == right.kind() => Err(OperatorError {
            side: Side::Left,
            message: format!(
                "could not perform binop {} for unknown types lhs {} rhs {}",
                operator.as_str(),
                left.kind(),
                right.kind()
            ),
        }),
        (_, left, right) => Err(OperatorError {
            side: Side::Right,
            message: format!("should be {}, got {}", left.kind(), right.kind()),
        }),
    }
}

/// `operator value`
pub fn unary(operator: UnaryOperator, value: &Value) -> Result<Value, String> {
    match (operator, value) {
        (UnaryOperator::Not, Value::Bool(truth)) => Ok(Value::Bool(!truth)),
        (UnaryOperator::Not, other) => Err(format!("should be bool, got {}", other.kind())),
        (UnaryOperator::Negate, Value::Number(number)) => Ok(Value::Number(match *number {
            Number::Int(number) => Number::Int(number.wrapping_neg()),
            Number::Uint(number) => Number::Int((number as i64).wrapping_neg()),
            Number::Float(number) => Number::Float(-number),
        })),
        (UnaryOperator::Negate, other) => Err(format!("should be number, got {}", other.kind())),
    }
}

/// `==`: numbers across kinds, secrets by their text, functions never.
pub fn equal(left: &Value, right: &Value) -> bool {
    if let (Some(left), Some(right)) = (Written::of(left), Written::of(right)) {
        return left.text == right.text;
    }
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(*left, *right).is_some_and(|order| order.is_eq()),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|((left_name, left), (right_name, right))| left_name == right_name && equal(left, right))
        }
        (Value::Function(_), Value::Function(_)) => false,
        (left, right) => left == right,
    }
}

fn operands(operator: BinaryOperator) -> &'static [&'static str] {
    use BinaryOperator::*;
    match operator {
        Or | And => &["bool"],
        Add => &["number", "string", "capsule"],
        Less | LessOrEqual | Greater | GreaterOrEqual => &["number", "string"],
        _ => &["number"],
    }
}

// === Texts and secrets ===

/// A string or a secret.
struct Written<'v> {
    text: &'v Text,
    kind: Option<SecretKind>,
}

impl<'v> Written<'v> {
    fn of(value: &'v Value) -> Option<Written<'v>> {
        match value {
            Value::String(text) => Some(Written { text, kind: None }),
            Value::Secret(secret) => Some(Written { text: &secret.value, kind: Some(secret.kind) }),
            _ => None,
        }
    }

    /// The text of what may be shown.
    fn shown(value: &'v Value) -> Option<&'v Text> {
        Written::of(value)
            .filter(|written| !matches!(written.kind, Some(SecretKind::Always | SecretKind::OptionalSecret)))
            .map(|written| written.text)
    }

    fn join(self, other: Written<'_>) -> Value {
        let text = Text::from([self.text.as_bytes(), other.text.as_bytes()].concat());
        let kind = match (self.kind, other.kind) {
            (Some(SecretKind::Always), _) | (_, Some(SecretKind::Always)) => SecretKind::Always,
            (Some(SecretKind::OptionalSecret), _) | (_, Some(SecretKind::OptionalSecret)) => SecretKind::OptionalSecret,
            (Some(SecretKind::OptionalPlain), Some(SecretKind::OptionalPlain)) => SecretKind::OptionalPlain,
            _ => return Value::String(text),
        };
        Value::Secret(Secret { value: text, kind })
    }
}

// === Numbers ===

fn ordered(operator: BinaryOperator, order: Option<std::cmp::Ordering>) -> bool {
    let Some(order) = order else { return false };
    match operator {
        BinaryOperator::Less => order.is_lt(),
        BinaryOperator::LessOrEqual => order.is_le(),
        BinaryOperator::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// Integers exactly, which Alloy does not (there, 18446744073709551615 is -1); with a float, as floats.
fn compare(left: Number, right: Number) -> Option<std::cmp::Ordering> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

fn whole(number: Number) -> Option<i128> {
    match number {
        Number::Int(number) => Some(number.into()),
        Number::Uint(number) => Some(number.into()),
        Number::Float(_) => None,
    }
}

fn arithmetic(operator: BinaryOperator, left: Number, right: Number) -> Result<Value, OperatorError> {
    use BinaryOperator::*;
    let divide_by_zero = || Err(OperatorError { side: Side::Right, message: "divide by zero error".to_owned() });
    if matches!(operator, Divide | Modulo) && right.as_f64() == 0.0 {
        return divide_by_zero();
    }
    // Two numbers from 2^63 on stay what they are; beside any other number they wrap around, as in Alloy.
    if let (Number::Uint(left), Number::Uint(right)) = (left, right) {
        return Ok(Value::Number(Number::from(match operator {
            Add => left.wrapping_add(right),
            Subtract => left.wrapping_sub(right),
            Multiply => left.wrapping_mul(right),
            Divide => left / right,
            Modulo => left % right,
            _ => unsigned_power(left, right),
        })));
    }
    let (Some(left), Some(right)) = (wrapped(left), wrapped(right)) else {
        let (left, right) = (left.as_f64(), right.as_f64());
        return Ok(Value::from(match operator {
            Add => left + right,
            Subtract => left - right,
            Multiply => left * right,
            Divide => left / right,
            Modulo => left % right,
            _ => left.powf(right),
        }));
    };
    Ok(Value::from(match operator {
        Add => left.wrapping_add(right),
        Subtract => left.wrapping_sub(right),
        Multiply => left.wrapping_mul(right),
        Divide => left.wrapping_div(right),
        Modulo => left.wrapping_rem(right),
        // Alloy gives the base back for a negative exponent, and multiplies in a loop for a large one.
        _ => match u64::try_from(right) {
            Ok(exponent) => power(left, exponent),
            Err(_) if left == 0 => return divide_by_zero(),
            Err(_) => return Ok(Value::from((left as f64).powf(right as f64))),
        },
    }))
}

/// As int64: what Alloy computes with as soon as no float is involved.
fn wrapped(number: Number) -> Option<i64> {
    match number {
        Number::Int(number) => Some(number),
        Number::Uint(number) => Some(number as i64),
        Number::Float(_) => None,
    }
}

fn power(base: i64, exponent: u64) -> i64 {
    // What wraps around is the same bits, with and without a sign.
    unsigned_power(base as u64, exponent) as i64
}

fn unsigned_power(base: u64, exponent: u64) -> u64 {
    let (mut result, mut square, mut exponent) = (1_u64, base, exponent);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        exponent >>= 1;
    }
    result
}

//! Arithmetic with numbers, times and durations.

use crate::error::{Error, Result};
use crate::syntax::Operator;
use crate::value::Value;

/// `left operator right`. Whole numbers stay whole and wrap around; with a float, the result is one.
pub(crate) fn calculate(left: &Value<'_>, operator: Operator, right: &Value<'_>) -> Result<Value<'static>> {
    use Operator::*;
    use Value::*;
    match (left, right) {
        (Int(left), Int(right)) => Ok(Int(match operator {
            Add => left.wrapping_add(*right),
            Subtract => left.wrapping_sub(*right),
            Multiply => left.wrapping_mul(*right),
            Divide if *right == 0 => return Err("attempted to divide by 0".into()),
            Divide => left.wrapping_div(*right),
        })),
        (Int(left), Double(right)) => floats(*left as f64, operator, *right),
        (Double(left), Int(right)) => floats(*left, operator, *right as f64),
        (Double(left), Double(right)) => floats(*left, operator, *right),
        (Time(_) | Duration(_), _) if matches!(operator, Multiply | Divide) => {
            Err("only addition and subtraction supported for time.Time and time.Duration".into())
        }
        (Time(left), Time(right)) if operator == Subtract => Ok(Duration(left.since(right))),
        (Time(time), Duration(duration)) => {
            Ok(Time(time.plus(if operator == Add { *duration } else { duration.wrapping_neg() })))
        }
        (Duration(duration), Time(time)) if operator == Add => Ok(Time(time.plus(*duration))),
        (Duration(left), Duration(right)) if operator == Add => Ok(Duration(left.wrapping_add(*right))),
        (Duration(left), Duration(right)) => Ok(Duration(left.wrapping_sub(*right))),
        (Int(_) | Double(_), _) => Err(Error::new(format!("{} must be int64 or float64", shown(right)))),
        (Time(_), _) if operator == Add => {
            Err(Error::new(format!("time.Time must be added to time.Duration; found {} instead", shown(right))))
        }
        (Time(_), _) => Err(Error::new(format!(
            "time.Time or time.Duration must be subtracted from time.Time; found {} instead",
            shown(right)
        ))),
        (Duration(_), _) if operator == Add => Err(Error::new(format!(
            "time.Duration must be added to time.Duration or time.Time; found {} instead",
            shown(right)
        ))),
        (Duration(_), _) => Err(Error::new(format!(
            "time.Duration must be subtracted from time.Duration; found {} instead",
            shown(right)
        ))),
        _ => Err(Error::new(format!("{} must be int64, float64, time.Time or time.Duration", shown(left)))),
    }
}

/// `-value`.
pub(crate) fn negate(value: &Value<'_>) -> Result<Value<'static>> {
    match value {
        Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(Error::new(format!("unsupported unary minus operation on type {}", value.type_name()))),
    }
}

fn floats(left: f64, operator: Operator, right: f64) -> Result<Value<'static>> {
    Ok(Value::Double(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right == 0.0 => return Err("attempted to divide by 0".into()),
        Operator::Divide => left / right,
    }))
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.as_str().into_owned(),
        other => other.type_name().to_owned(),
    }
}

//! Numbers.

use base_sys::chance::Chance;
use gotmpl::Value;

use super::{Functions, MANY, Result, fail, shown};

pub fn add(functions: &mut Functions) {
    functions.add(&["add"], 0..=MANY, |a| whole(a, 0, i64::wrapping_add));
    functions.add(&["add1"], 1..=1, |a| Ok(Value::Int(int(&a[0]).wrapping_add(1))));
    functions.add(&["sub"], 2..=2, |a| Ok(Value::Int(int(&a[0]).wrapping_sub(int(&a[1])))));
    functions.add(&["mul"], 1..=MANY, |a| whole(&a[1..], int(&a[0]), i64::wrapping_mul));
    functions.add(&["div"], 2..=2, |a| match int(&a[0]).checked_div(int(&a[1])) {
        Some(value) => Ok(Value::Int(value)),
        None => fail("division by zero"),
    });
    functions.add(&["mod"], 2..=2, |a| match int(&a[0]).checked_rem(int(&a[1])) {
        Some(value) => Ok(Value::Int(value)),
        None => fail("division by zero"),
    });
    functions.add(&["max", "biggest"], 1..=MANY, |a| whole(&a[1..], int(&a[0]), i64::max));
    functions.add(&["min"], 1..=MANY, |a| whole(&a[1..], int(&a[0]), i64::min));
    functions.add(&["add1f"], 1..=1, |a| Ok(Value::Float(float(&a[0]) + 1.0)));
    functions.add(&["addf"], 0..=MANY, |a| fraction(a, 0.0, |x, y| x + y));
    functions.add(&["subf"], 1..=MANY, |a| fraction(&a[1..], float(&a[0]), |x, y| x - y));
    functions.add(&["mulf"], 1..=MANY, |a| fraction(&a[1..], float(&a[0]), |x, y| x * y));
    functions.add(&["divf"], 1..=MANY, |a| fraction(&a[1..], float(&a[0]), |x, y| x / y));
    functions.add(&["maxf"], 1..=MANY, |a| fraction(&a[1..], float(&a[0]), f64::max));
    functions.add(&["minf"], 1..=MANY, |a| fraction(&a[1..], float(&a[0]), f64::min));
    functions.add(&["ceil"], 1..=1, |a| Ok(Value::Float(float(&a[0]).ceil())));
    functions.add(&["floor"], 1..=1, |a| Ok(Value::Float(float(&a[0]).floor())));
    functions.add(&["round"], 2..=3, |a| {
        let scale = 10f64.powi(i32::try_from(int(&a[1])).unwrap_or(0).clamp(-300, 300));
        let round_on = a.get(2).map_or(0.5, float);
        let scaled = float(&a[0]) * scale;
        let rounded = if scaled - scaled.trunc() >= round_on { scaled.ceil() } else { scaled.floor() };
        Ok(Value::Float(rounded / scale))
    });
    functions.add(&["int", "int64"], 1..=1, |a| Ok(Value::Int(int(&a[0]))));
    functions.add(&["float64"], 1..=1, |a| Ok(Value::Float(float(&a[0]))));
    functions.add(&["atoi"], 1..=1, |a| match &a[0] {
        Value::String(text) => Ok(Value::Int(text.parse().unwrap_or(0))),
        other => fail(format!("expected string, got {}", other.type_name())),
    });
    functions.add(&["toDecimal"], 1..=1, |a| Ok(Value::Int(i64::from_str_radix(&shown(&a[0]), 8).unwrap_or(0))));
    functions.add(&["randInt"], 2..=2, |a| {
        let (low, high) = (int(&a[0]), int(&a[1]));
        if high <= low {
            return fail("randInt: the second number must be larger");
        }
        Ok(Value::Int(low.wrapping_add((Chance::new().number() % high.abs_diff(low)) as i64)))
    });
}

fn whole(values: &[Value], start: i64, step: fn(i64, i64) -> i64) -> Result<Value> {
    Ok(Value::Int(values.iter().fold(start, |so_far, next| step(so_far, int(next)))))
}

fn fraction(values: &[Value], start: f64, step: fn(f64, f64) -> f64) -> Result<Value> {
    Ok(Value::Float(values.iter().fold(start, |so_far, next| step(so_far, float(next)))))
}

/// Anything as a whole number; what is none is 0.
fn int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Uint(number) => *number as i64,
        Value::Float(number) => *number as i64,
        Value::Bool(value) => i64::from(*value),
        Value::String(text) => {
            // Zeros behind a point do not make a fraction.
            let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|digit| digit == b'0'));
            whole.map_or(&**text, |(whole, _)| whole).parse().unwrap_or(0)
        }
        _ => 0,
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::String(text) => text.parse().unwrap_or(0.0),
        other => int(other) as f64,
    }
}

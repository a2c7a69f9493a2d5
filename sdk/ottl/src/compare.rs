//! Comparison of two values.

use std::cmp::Ordering;

use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::syntax::Comparison;
use crate::value::Value;

/// Compares. What cannot be compared is unequal; nil equals nil alone.
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>, comparison: Comparison) -> bool {
    match order(left, right) {
        Some(Order::By(ordering)) => fits(ordering, comparison),
        // NaN is unequal to everything, itself too.
        Some(Order::Unordered) => comparison == Comparison::NotEqual,
        Some(Order::Same(same)) => match comparison {
            Comparison::Equal => same,
            Comparison::NotEqual => !same,
            _ => false,
        },
        None => comparison == Comparison::NotEqual,
    }
}

/// Whether two values are equal.
pub(crate) fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    compare(left, right, Comparison::Equal)
}

enum Order {
    By(Ordering),
    Unordered,
    /// Equal or not, but neither greater.
    Same(bool),
}

fn fits(ordering: Ordering, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Order> {
    use Value::*;
    let floats = |left: f64, right: f64| left.partial_cmp(&right).map_or(Order::Unordered, Order::By);
    Some(match (left, right) {
        (Nil, Nil) => Order::By(Ordering::Equal),
        (Bool(left), Bool(right)) => Order::By(left.cmp(right)),
        (Int(left), Int(right)) => Order::By(left.cmp(right)),
        (Int(left), Double(right)) => floats(*left as f64, *right),
        (Double(left), Int(right)) => floats(*left, *right as f64),
        (Double(left), Double(right)) => floats(*left, *right),
        (Text(left), Text(right)) => Order::By(left.as_bytes().cmp(right.as_bytes())),
        (Bytes(left), Bytes(right)) => Order::By(left.cmp(right)),
        (Time(left), Time(right)) => Order::By(left.cmp_moment(right)),
        (Duration(left), Duration(right)) => Order::By(left.cmp(right)),
        (TraceId(left), TraceId(right)) | (ProfileId(left), ProfileId(right)) => Order::Same(left == right),
        (SpanId(left), SpanId(right)) => Order::Same(left == right),
        (Map(left), Map(right)) => Order::Same(same_map(left, right)),
        (Slice(left), Slice(right)) => Order::Same(same_list(left, right)),
        (List(left), List(right)) => {
            Order::Same(left.len() == right.len() && left.iter().zip(right).all(|(left, right)| identical(left, right)))
        }
        (List(list), Slice(slice)) | (Slice(slice), List(list)) => Order::Same(
            list.len() == slice.len()
                && list.iter().zip(slice.iter()).all(|(left, right)| identical(left, &Value::of(right))),
        ),
        (Floats(left), Floats(right)) => Order::Same(left == right),
        (Counts(left), Counts(right)) => Order::Same(left == right),
        (Buckets(left), Buckets(right)) => Order::Same(left == right),
        _ => return None,
    })
}

/// Equal, and of one type: inside lists `1` is not `1.0`.
fn identical(left: &Value<'_>, right: &Value<'_>) -> bool {
    !matches!((left, right), (Value::Int(_), Value::Double(_)) | (Value::Double(_), Value::Int(_)))
        && equal(left, right)
}

fn same(left: &AnyValue, right: &AnyValue) -> bool {
    match (left, right) {
        (AnyValue::Map(left), AnyValue::Map(right)) => same_map(left, right),
        (AnyValue::Array(left), AnyValue::Array(right)) => same_list(left, right),
        _ => left == right,
    }
}

fn same_list(left: &[AnyValue], right: &[AnyValue]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
}

/// The same pairs in any order.
fn same_map(left: &Map, right: &Map) -> bool {
    if left.0.len() != right.0.len() {
        return false;
    }
    // Mostly they are in the same order.
    if left.0.iter().zip(&right.0).all(|(left, right)| left.key == right.key) {
        return left.0.iter().zip(&right.0).all(|(left, right)| same(left.value(), right.value()));
    }
    let sorted = |map: &Map| {
        let mut order: Vec<usize> = (0..map.0.len()).collect();
        order.sort_by(|a, b| map.0[*a].key.cmp(&map.0[*b].key));
        order
    };
    sorted(left).into_iter().zip(sorted(right)).all(|(l, r)| {
        let (l, r) = (&left.0[l], &right.0[r]);
        l.key == r.key && same(l.value(), r.value())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_different_types_are_unequal_and_numbers_are_not_different() {
        use Comparison::*;
        let text = |text: &str| Value::text(text);
        for (left, comparison, right, expected) in [
            (Value::Int(1), Equal, Value::Double(1.0), true),
            (Value::Int(2), Less, Value::Double(2.5), true),
            (Value::Double(f64::NAN), Equal, Value::Double(f64::NAN), false),
            (Value::Double(f64::NAN), NotEqual, Value::Double(f64::NAN), true),
            (text("b"), Greater, text("a"), true),
            (Value::Int(404), Greater, text("300"), false),
            (Value::Int(404), NotEqual, text("300"), true),
            (Value::Nil, Equal, Value::Nil, true),
            (Value::Nil, LessOrEqual, Value::Nil, true),
            (Value::Nil, Less, Value::Int(1), false),
            (Value::Nil, NotEqual, text(""), true),
            (Value::Bool(false), Less, Value::Bool(true), true),
            (Value::SpanId([0; 8]), LessOrEqual, Value::SpanId([0; 8]), false),
            (Value::SpanId([0; 8]), Equal, Value::SpanId([0; 8]), true),
            (Value::List(vec![Value::Int(1)]), Equal, Value::list(vec![AnyValue::Int(1)]), true),
            (Value::List(vec![Value::Int(1)]), Equal, Value::list(vec![AnyValue::Double(1.0)]), false),
            (Value::List(vec![]), Less, Value::list(vec![AnyValue::Int(1)]), false),
        ] {
            assert_eq!(compare(&left, &right, comparison), expected, "{left:?} {comparison:?} {right:?}");
        }
        let map = |pairs: &[(&str, i64)]| Value::map(pairs.iter().copied().collect());
        assert!(equal(&map(&[("a", 1), ("b", 2)]), &map(&[("b", 2), ("a", 1)])));
        assert!(!equal(&map(&[("a", 1), ("b", 2)]), &map(&[("b", 2), ("c", 1)])));
    }
}

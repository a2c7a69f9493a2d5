//! How operators lead to each other, and running them on a batch.

use std::collections::HashMap;
use std::sync::Arc;

use language_eval::{FromValue, ToValue, TypeSchema, Value, ValueError};

use crate::entry::Entry;
use crate::operators::{Kind, Operator, Recombine};

/// A list of operators as it is configured, checked.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Operators(Option<Arc<[Value]>>);

/// Operators, ready to run. Each leads to the next one of the list, or to those that its `output` names; the last one leads
/// out.
#[derive(Default)]
pub struct Pipeline {
    nodes: Vec<Node>,
    /// Each operator comes behind all that lead to it.
    order: Vec<usize>,
    counts: Counts,
}

struct Node {
    operator: Operator,
    /// The operators that it leads to; the number of operators is the way out. One list for each route of a router.
    outputs: Vec<Vec<usize>>,
}

/// Records that went no further, since they were last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// A `filter` dropped them.
    pub filtered: u64,
    /// No route of a `router` took them.
    pub unrouted: u64,
    /// An operator failed whose `on_error` drops.
    pub failed: u64,
}

/// Faults of one operator in one batch.
#[derive(Default)]
struct Faults {
    count: u64,
    first: Option<String>,
}

/// More operators than this are no pipeline.
const MAX_OPERATORS: usize = 1000;

// === impl Operators ===

impl Operators {
    /// The operators.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        let list = self.0.as_deref().unwrap_or_default();
        Pipeline::new(list).expect("they were read when they were decoded")
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|list| list.is_empty())
    }

    /// Whether one of them is of this type.
    #[must_use]
    pub fn have(&self, kind: &str) -> bool {
        let is = |operator: &Value| match operator {
            Value::Object(object) => {
                matches!(object.get("type"), Some(Value::String(text)) if text.as_str() == Some(kind))
            }
            _ => false,
        };
        self.0.iter().flat_map(|list| list.iter()).any(is)
    }
}

impl FromValue for Operators {
    fn from_value(value: &Value) -> Result<Operators, ValueError> {
        let Value::Array(list) = value else { return Err(ValueError::mismatch("array", value)) };
        Pipeline::new(list)?;
        Ok(Operators(Some(list.clone())))
    }

    fn zero() -> Option<Operators> {
        Some(Operators(None))
    }

    fn schema() -> TypeSchema {
        TypeSchema::List(Box::new(TypeSchema::Map(Box::new(TypeSchema::Any))))
    }
}

impl ToValue for Operators {
    fn to_value(&self) -> Value {
        self.0.clone().map_or(Value::Null, Value::Array)
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Reads operators.
    ///
    /// # Errors
    /// What is wrong, and in which of them.
    pub fn new(list: &[Value]) -> Result<Pipeline, ValueError> {
        if list.len() > MAX_OPERATORS {
            return Err(ValueError::new(format!("there may be {MAX_OPERATORS} operators")));
        }
        let read = |(at, value): (usize, &Value)| Operator::read(value).map_err(|error| error.at_index(at));
        let mut operators = list.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        number(&mut operators, list);
        let mut ids = HashMap::new();
        for (at, operator) in operators.iter().enumerate() {
            if ids.insert(operator.id.clone(), at).is_some() {
                let what = format!("there is another operator with the id {:?}", operator.id);
                return Err(ValueError::new(what).at_field("id").at_index(at));
            }
        }
        let find = |at: usize, names: &[String]| -> Result<Vec<usize>, ValueError> {
            let find = |name: &String| {
                ids.get(name).copied().ok_or_else(|| {
                    let error =
                        ValueError::new(format!("there is no operator {name:?}")).at_field("output").at_index(at);
                    match base_stdx::nearest(name, ids.keys().map(String::as_str)) {
                        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                        None => error,
                    }
                })
            };
            names.iter().map(find).collect()
        };
        let mut nodes = Vec::with_capacity(operators.len());
        for (at, operator) in operators.into_iter().enumerate() {
            let outputs = match (&operator.kind, &operator.output) {
                (Kind::Router(router), _) => {
                    router.routes.iter().map(|route| find(at, &route.output)).collect::<Result<_, _>>()?
                }
                (_, Some(names)) => vec![find(at, names)?],
                (_, None) => vec![vec![at + 1]],
            };
            nodes.push(Node { operator, outputs });
        }
        let order = order(&nodes).map_err(|at| {
            ValueError::new("leads back to itself; operators must lead one way").at_field("output").at_index(at)
        })?;
        Ok(Pipeline { nodes, order, counts: Counts::default() })
    }

    /// Runs a batch through; what comes out, in order. Records that are joined with later ones are held.
    #[must_use]
    pub fn process(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut inboxes: Vec<Vec<Entry>> = (0..=self.nodes.len()).map(|_| Vec::new()).collect();
        inboxes[0] = entries;
        self.run(inboxes, |_, _| ())
    }

    /// What has waited long enough to be joined comes out.
    #[must_use]
    pub fn flush_due(&mut self, now: i64) -> Vec<Entry> {
        self.flush(|held, out| held.flush_due(now, out))
    }

    /// All that waits comes out.
    #[must_use]
    pub fn flush_all(&mut self) -> Vec<Entry> {
        self.flush(|held, out| held.flush_all(out))
    }

    fn flush(&mut self, flush: impl Fn(&mut Recombine, &mut Vec<Entry>)) -> Vec<Entry> {
        if self.held() == 0 {
            return Vec::new();
        }
        let inboxes = (0..=self.nodes.len()).map(|_| Vec::new()).collect();
        self.run(inboxes, |operator, out| {
            if let Some(held) = operator.held_mut() {
                flush(held, out);
            }
        })
    }

    fn run(&mut self, mut inboxes: Vec<Vec<Entry>>, also: impl Fn(&mut Operator, &mut Vec<Entry>)) -> Vec<Entry> {
        for at in self.order.clone() {
            let inbox = std::mem::take(&mut inboxes[at]);
            let node = &mut self.nodes[at];
            let mut out: Vec<Vec<Entry>> = node.outputs.iter().map(|_| Vec::new()).collect();
            node.operator.run(inbox, &mut out, &mut self.counts);
            if let Some(first) = out.first_mut() {
                also(&mut node.operator, first);
            }
            for (entries, targets) in out.into_iter().zip(&node.outputs) {
                let Some((last, others)) = targets.split_last() else { continue };
                for target in others {
                    inboxes[*target].extend(entries.iter().cloned());
                }
                inboxes[*last].extend(entries);
            }
        }
        inboxes.pop().unwrap_or_default()
    }

    /// The oldest reading of which something is held.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.holders().filter_map(|held| held.oldest()).min()
    }

    /// How many records are held, joined ones counted as one.
    #[must_use]
    pub fn held(&self) -> usize {
        self.holders().map(Recombine::held).sum()
    }

    fn holders(&self) -> impl Iterator<Item = &Recombine> {
        self.nodes.iter().filter_map(|node| node.operator.held())
    }

    /// Forgets what is held: it will be read again.
    pub fn forget(&mut self) {
        self.nodes.iter_mut().filter_map(|node| node.operator.held_mut()).for_each(Recombine::forget);
    }

    /// What went no further since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

/// Those without an id that are of one type are numbered from the second on.
fn number(operators: &mut [Operator], list: &[Value]) {
    let mut taken: Vec<String> = operators.iter().map(|operator| operator.id.clone()).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, value) in list.iter().enumerate() {
        let Value::Object(object) = value else { continue };
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.to_string_lossy().into_owned(),
            _ => continue,
        };
        if operators[at].id != kind {
            continue;
        }
        let count = seen.entry(kind.clone()).or_default();
        while *count > 0 && taken.contains(&format!("{kind}{count}")) {
            *count += 1;
        }
        if *count > 0 {
            operators[at].id = format!("{kind}{count}");
            taken.push(operators[at].id.clone());
        }
        *count += 1;
    }
}

/// Each behind all that lead to it; or one that leads to itself.
fn order(nodes: &[Node]) -> Result<Vec<usize>, usize> {
    let mut incoming = vec![0usize; nodes.len() + 1];
    for target in nodes.iter().flat_map(|node| node.outputs.iter().flatten()) {
        incoming[*target] += 1;
    }
    let mut ready: std::collections::VecDeque<usize> = (0..nodes.len()).filter(|at| incoming[*at] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(at) = ready.pop_front() {
        order.push(at);
        for target in nodes[at].outputs.iter().flatten() {
            incoming[*target] -= 1;
            if incoming[*target] == 0 && *target < nodes.len() {
                ready.push_back(*target);
            }
        }
    }
    match (0..nodes.len()).find(|at| incoming[*at] > 0) {
        Some(at) => Err(at),
        None => Ok(order),
    }
}

// === impl Operator ===

impl Operator {
    /// Runs a batch: each record goes to one of the lists, is held, or is dropped and counted.
    fn run(&mut self, entries: Vec<Entry>, out: &mut [Vec<Entry>], counts: &mut Counts) {
        let Operator { id, kind, when, on_error, .. } = self;
        let mut faults = Faults::default();
        for mut entry in entries {
            let applies = when.as_ref().map_or(Ok(true), |when| when.is_true(&entry));
            let failed = match (applies, &mut *kind) {
                (Err(error), _) => Err((entry, format!("running if expr: {error}"))),
                (Ok(_), Kind::Filter(filter)) => {
                    match filter.keeps(&entry) {
                        Ok(true) => out[0].push(entry),
                        Ok(false) => counts.filtered += 1,
                        // As in the Collector: what a filter cannot judge does not pass.
                        Err(error) => {
                            counts.failed += 1;
                            faults.add(error);
                        }
                    }
                    Ok(())
                }
                (Ok(false), _) => {
                    out[0].push(entry);
                    Ok(())
                }
                (Ok(true), Kind::Each(act)) => match act.act(&mut entry) {
                    Ok(()) => {
                        out[0].push(entry);
                        Ok(())
                    }
                    Err(error) => Err((entry, error)),
                },
                (Ok(true), Kind::Router(router)) => {
                    match router.choose(&mut entry) {
                        Ok(Some(route)) => out[route].push(entry),
                        Ok(None) => counts.unrouted += 1,
                        Err(error) => {
                            counts.failed += 1;
                            faults.add(error);
                        }
                    }
                    Ok(())
                }
                (Ok(true), Kind::Recombine(recombine)) => recombine.take(entry, &mut out[0]).map_err(|failed| *failed),
                (Ok(true), Kind::Container(container)) => container.take(entry, &mut out[0]).map_err(|failed| *failed),
            };
            if let Err((entry, error)) = failed {
                faults.add(error);
                if on_error.send {
                    out[0].push(entry);
                } else {
                    counts.failed += 1;
                }
            }
        }
        if let Some(error) = faults.first {
            if on_error.quiet {
                tracing::debug!(operator = %id, error, records = faults.count, "an operator failed");
            } else {
                tracing::error!(operator = %id, error, records = faults.count, "an operator failed");
            }
        }
    }

    fn held(&self) -> Option<&Recombine> {
        match &self.kind {
            Kind::Recombine(recombine) => Some(recombine),
            Kind::Container(container) => Some(&container.parts),
            _ => None,
        }
    }

    fn held_mut(&mut self) -> Option<&mut Recombine> {
        match &mut self.kind {
            Kind::Recombine(recombine) => Some(recombine),
            Kind::Container(container) => Some(&mut container.parts),
            _ => None,
        }
    }
}

impl Faults {
    fn add(&mut self, error: String) {
        self.count += 1;
        self.first.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests;

//! Statements and conditions run over the whole of a payload.

use sdk_protocols_otlp::model::{Data, LogRecord, Map, Metric, MetricData, ResourceGroup, ScopeGroup, Span};

use crate::context::{Context, Item, On};
use crate::group::{Conditions, Failed, Statements};

/// Metrics that statements make are visited by the statements in turn, so a statement could make metrics without end.
const MAX_NEW_METRICS: usize = 10_000;

type Tell<'a> = &'a mut dyn FnMut(&Failed);

/// Items that statements and conditions run on.
trait Items: sdk_protocols_otlp::model::Item {
    /// Runs `each` on the item, or on each of its parts, whichever the context means. Metrics that are made meanwhile
    /// are put into `made`.
    fn visit(
        &mut self,
        context: Context,
        made: &mut Vec<Self>,
        each: &mut dyn FnMut(&mut Self, Option<usize>, &mut Vec<Self>) -> Result<(), Failed>,
    ) -> Result<(), Failed>;

    /// It, or a part of it, as what statements run on.
    fn on(&mut self, part: Option<usize>) -> Item<'_>;

    /// Keeps what was made for items of this kind.
    fn keep(made: Vec<Metric>, to: &mut Vec<Self>);
}

impl Items for Span {
    fn visit(
        &mut self,
        context: Context,
        made: &mut Vec<Span>,
        each: &mut dyn FnMut(&mut Span, Option<usize>, &mut Vec<Span>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if context != Context::SpanEvent {
            return each(self, None, made);
        }
        (0..self.events.len()).try_for_each(|at| each(self, Some(at), made))
    }

    fn on(&mut self, part: Option<usize>) -> Item<'_> {
        match part {
            None => Item::Span(self),
            Some(at) => Item::Event(self, at),
        }
    }

    fn keep(_: Vec<Metric>, _: &mut Vec<Span>) {}
}

impl Items for LogRecord {
    fn visit(
        &mut self,
        _: Context,
        made: &mut Vec<LogRecord>,
        each: &mut dyn FnMut(&mut LogRecord, Option<usize>, &mut Vec<LogRecord>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        each(self, None, made)
    }

    fn on(&mut self, _: Option<usize>) -> Item<'_> {
        Item::Log(self)
    }

    fn keep(_: Vec<Metric>, _: &mut Vec<LogRecord>) {}
}

impl Items for Metric {
    fn visit(
        &mut self,
        context: Context,
        made: &mut Vec<Metric>,
        each: &mut dyn FnMut(&mut Metric, Option<usize>, &mut Vec<Metric>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if context != Context::DataPoint {
            return each(self, None, made);
        }
        (0..self.data.len()).try_for_each(|at| each(self, Some(at), made))
    }

    fn on(&mut self, part: Option<usize>) -> Item<'_> {
        match part {
            None => Item::Metric(self),
            Some(at) => Item::Point(self, at),
        }
    }

    fn keep(made: Vec<Metric>, to: &mut Vec<Metric>) {
        to.extend(made);
    }
}

/// Statements over payloads of spans, log records or metrics.
pub trait Transform: Sized {
    /// Runs groups of statements one after another over the whole payload; whether anything may have changed. A
    /// failure that is propagated stops at once.
    fn transform(&mut self, groups: &[Statements], tell: Tell<'_>) -> Result<bool, Failed>;
}

impl<I: Items> Transform for Data<I> {
    fn transform(&mut self, groups: &[Statements], tell: Tell<'_>) -> Result<bool, Failed> {
        let mut changed = false;
        for statements in groups {
            for group in &mut self.resources {
                changed |= transform_resource(group, statements, tell)?;
            }
        }
        Ok(changed)
    }
}

fn transform_resource<I: Items>(
    group: &mut ResourceGroup<I>,
    statements: &Statements,
    tell: Tell<'_>,
) -> Result<bool, Failed> {
    let ResourceGroup { resource, scopes, schema_url, .. } = group;
    let mut changed = false;
    match statements.context() {
        Context::Resource => {
            let mut on = On::new((resource, schema_url), None, Item::Group);
            statements.run(&mut on, tell)?;
            changed |= on.changed;
        }
        Context::Scope => {
            for ScopeGroup { scope, schema_url: scope_url, .. } in scopes {
                let mut on = On::new((resource, schema_url), Some((scope, scope_url)), Item::Group);
                statements.run(&mut on, tell)?;
                changed |= on.changed;
            }
        }
        context => {
            for ScopeGroup { scope, items, schema_url: scope_url, .. } in scopes {
                // The map of the cache is one for all items, so that it is not made anew for each.
                let mut cache = Map::default();
                let mut at = 0;
                let mut left = MAX_NEW_METRICS;
                while at < items.len() {
                    let mut made = Vec::new();
                    items[at].visit(context, &mut made, &mut |item, part, made| {
                        let mut on = On::new((resource, schema_url), Some((scope, scope_url)), item.on(part));
                        on.cache = std::mem::take(&mut cache);
                        let result = statements.run(&mut on, tell);
                        changed |= on.changed;
                        I::keep(std::mem::take(&mut on.created), made);
                        cache = std::mem::take(&mut on.cache);
                        cache.0.clear();
                        result
                    })?;
                    if made.len() > left {
                        let text = "metrics made by statements".to_owned();
                        let error =
                            format!("more than {MAX_NEW_METRICS} in one scope; does a statement copy its own copies?");
                        let failed = Failed { text, condition: false, error: error.into() };
                        tell(&failed);
                        made.truncate(left);
                    }
                    left -= made.len();
                    items.append(&mut made);
                    at += 1;
                }
            }
        }
    }
    Ok(changed)
}

/// Conditions over payloads of spans, log records or metrics: what they hold for goes.
pub trait Filter: Sized {
    /// Drops what conditions hold for, from the outermost in; whether anything went. Groups that become empty go too,
    /// a span without its events does not. A failure that is propagated drops nothing of its item, and is told in the
    /// end.
    fn filter(&mut self, conditions: &[&Conditions], tell: Tell<'_>) -> Result<bool, Failed>;
}

/// The conditions of a context.
fn of<'c>(conditions: &[&'c Conditions], context: Context) -> Vec<&'c Conditions> {
    conditions.iter().copied().filter(|conditions| conditions.context() == context).collect()
}

/// Evaluates conditions, and remembers the first failure.
struct Judge<'t> {
    tell: Tell<'t>,
    failed: Option<Failed>,
    dropped: bool,
}

impl Judge<'_> {
    /// Whether something goes.
    fn goes(&mut self, conditions: &[&Conditions], on: &On<'_>) -> bool {
        for conditions in conditions {
            match conditions.any(on, self.tell) {
                Ok(false) => {}
                Ok(true) => {
                    self.dropped = true;
                    return true;
                }
                Err(failed) => {
                    self.failed.get_or_insert(failed);
                    return false;
                }
            }
        }
        false
    }
}

impl<I: Parts> Filter for Data<I> {
    fn filter(&mut self, conditions: &[&Conditions], tell: Tell<'_>) -> Result<bool, Failed> {
        let by = |context| of(conditions, context);
        let (resources, scopes) = (by(Context::Resource), by(Context::Scope));
        let (items, parts) = (by(I::CONTEXT), by(I::PARTS));
        let deeper = !(items.is_empty() && parts.is_empty());
        let mut judge = Judge { tell, failed: None, dropped: false };
        self.resources.retain_mut(|group| {
            let ResourceGroup { resource, scopes: scope_groups, schema_url, .. } = group;
            if judge.goes(&resources, &On::new((resource, schema_url), None, Item::Group)) {
                return false;
            }
            if scopes.is_empty() && !deeper {
                judge.dropped |= scope_groups.is_empty();
                return !scope_groups.is_empty();
            }
            scope_groups.retain_mut(|group| {
                let ScopeGroup { scope, items: list, schema_url: scope_url, .. } = group;
                let on = On::new((&mut *resource, &mut *schema_url), Some((&mut *scope, &mut *scope_url)), Item::Group);
                if judge.goes(&scopes, &on) {
                    return false;
                }
                if deeper {
                    list.retain_mut(|item| {
                        let mut on = |item: &mut I, part: Option<usize>, conditions: &[&Conditions]| {
                            let scope = Some((&mut *scope, &mut *scope_url));
                            let on = On::new((&mut *resource, &mut *schema_url), scope, item.on(part));
                            judge.goes(conditions, &on)
                        };
                        if on(item, None, &items) {
                            return false;
                        }
                        parts.is_empty() || item.retain_parts(&mut |item, at| !on(item, Some(at), &parts))
                    });
                }
                judge.dropped |= list.is_empty();
                !list.is_empty()
            });
            judge.dropped |= scope_groups.is_empty();
            !scope_groups.is_empty()
        });
        match judge.failed {
            Some(failed) => Err(failed),
            None => Ok(judge.dropped),
        }
    }
}

/// Items of which parts can be dropped.
trait Parts: Items {
    const CONTEXT: Context;
    const PARTS: Context;

    /// Keeps the parts that `keep` wants; whether the item itself stays.
    fn retain_parts(&mut self, keep: &mut dyn FnMut(&mut Self, usize) -> bool) -> bool;
}

impl Parts for Span {
    const CONTEXT: Context = Context::Span;
    const PARTS: Context = Context::SpanEvent;

    fn retain_parts(&mut self, keep: &mut dyn FnMut(&mut Span, usize) -> bool) -> bool {
        let kept: Vec<bool> = (0..self.events.len()).map(|at| keep(self, at)).collect();
        retain(&mut self.events, &kept);
        true
    }
}

impl Parts for LogRecord {
    const CONTEXT: Context = Context::Log;
    // A record has no parts.
    const PARTS: Context = Context::SpanEvent;

    fn retain_parts(&mut self, _: &mut dyn FnMut(&mut LogRecord, usize) -> bool) -> bool {
        true
    }
}

impl Parts for Metric {
    const CONTEXT: Context = Context::Metric;
    const PARTS: Context = Context::DataPoint;

    fn retain_parts(&mut self, keep: &mut dyn FnMut(&mut Metric, usize) -> bool) -> bool {
        let kept: Vec<bool> = (0..self.data.len()).map(|at| keep(self, at)).collect();
        match &mut self.data {
            // It has no points, and there is none to drop.
            MetricData::None => return true,
            MetricData::Gauge(data) => retain(&mut data.points, &kept),
            MetricData::Sum(data) => retain(&mut data.points, &kept),
            MetricData::Histogram(data) => retain(&mut data.points, &kept),
            MetricData::ExponentialHistogram(data) => retain(&mut data.points, &kept),
            MetricData::Summary(data) => retain(&mut data.points, &kept),
        }
        !self.data.is_empty()
    }
}

fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    list.retain(|_| kept.next().copied().unwrap_or(true));
}

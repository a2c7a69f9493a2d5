//! Metrics of what was counted.

use hashbrown::HashMap;
use sdk_protocols_otlp::model::{Metric, MetricData, Number, NumberPoint, ResourceGroup, Scope, ScopeGroup, Sum};

use super::counting::{Count, Counted};
use super::settings::Settings;
use crate::distribution::Point;
use crate::series::{Now, Series, Table};

/// A flush, of one resource.
pub(super) struct Telling<'a> {
    /// What tells the resource from others.
    pub resource: &'a [u8],
    pub settings: &'a Settings,
    /// With delta temporality: when series were told last, by resource and series.
    pub told_at: &'a mut HashMap<Vec<u8>, u64>,
    pub now: Now,
    /// Nothing will be told after it.
    pub last: bool,
}

// === impl Telling ===

impl Telling<'_> {
    pub(super) fn tell(&mut self, counted: &mut Counted) -> ResourceGroup<Metric> {
        let settings = self.settings;
        let mut told = Vec::new();
        let [calls, durations, events] = &settings.names;
        let mut items = vec![self.counts(calls, &mut counted.calls, &mut told)];
        if let Some(shape) = &settings.shape {
            let points = counted.durations.all().into_iter().map(|(key, series)| {
                let point = self.point(key, series, &mut told);
                (point, &series.value)
            });
            let data = shape.data(settings.temporality(), points);
            let (name, unit) = (durations.as_str().into(), settings.unit.as_str().into());
            items.push(Metric { name, unit, data, ..Metric::default() });
        }
        if settings.events.is_some() {
            items.push(self.counts(events, &mut counted.events, &mut told));
        }
        self.told_at.extend(told.into_iter().map(|key| (key, self.now.time)));
        let scope = Scope { name: "spanmetricsconnector".into(), ..Scope::default() };
        let scopes = vec![ScopeGroup { scope, items, ..ScopeGroup::default() }];
        ResourceGroup { resource: counted.resource.clone(), scopes, ..ResourceGroup::default() }
    }

    fn counts(&self, name: &str, table: &mut Table<Count>, told: &mut Vec<Vec<u8>>) -> Metric {
        let points = table.all().into_iter().map(|(key, series)| {
            let Point { attributes, start, time, exemplars } = self.point(key, series, told);
            let begins = !series.value.told && !self.last && !self.settings.is_delta();
            series.value.told = true;
            let value = Number::Int(if begins { 0 } else { i64::try_from(series.value.count).unwrap_or(i64::MAX) });
            let (start_time_unix_nano, time_unix_nano) = (start, time);
            NumberPoint { attributes, start_time_unix_nano, time_unix_nano, value, exemplars, ..NumberPoint::default() }
        });
        let sum = Sum {
            points: points.collect(),
            temporality: self.settings.temporality(),
            is_monotonic: true,
            ..Sum::default()
        };
        Metric { name: name.into(), data: MetricData::Sum(sum), ..Metric::default() }
    }

    /// What the point of a series says besides its value; it takes the examples.
    fn point<V>(&self, key: &[u8], series: &mut Series<V>, told: &mut Vec<Vec<u8>>) -> Point {
        let mut start = series.start;
        if self.settings.is_delta() {
            let mut whole = Vec::with_capacity(self.resource.len() + key.len());
            whole.extend_from_slice(self.resource);
            whole.extend_from_slice(key);
            start = self.told_at.get(&whole[..]).copied().unwrap_or(start);
            told.push(whole);
        }
        let mut exemplars = std::mem::take(&mut series.exemplars);
        exemplars.iter_mut().for_each(|exemplar| exemplar.time_unix_nano = self.now.time);
        Point { attributes: series.attributes.clone(), start, time: self.now.time, exemplars }
    }
}

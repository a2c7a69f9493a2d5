//! Items by resource and scope, as they are told apart by [`Key`]: what is the same is merged.

use std::collections::HashMap;

use sdk_protocols_otlp::model::{Item, Map, Metric, ResourceGroup, ScopeGroup};

use crate::identity::Key;

/// Where a metric is in [`Groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetricPlace {
    resource: usize,
    scope: usize,
    metric: usize,
}

/// What has been grouped, and the way to it.
pub(crate) struct Groups<I: Item> {
    pub(crate) resources: Vec<ResourceGroup<I>>,
    by_resource: HashMap<Key, usize>,
    by_scope: HashMap<(usize, Key), usize>,
    by_metric: HashMap<(usize, usize, Key), usize>,
    /// The groups that an item comes from, without items, ...
    resource: ResourceGroup<I>,
    scope: ScopeGroup<I>,
    /// ... and the places where its neighbours have gone, by the attributes that were moved.
    places: HashMap<Key, (usize, usize)>,
}

impl<I: Item> Default for Groups<I> {
    fn default() -> Self {
        Groups {
            resources: Vec::new(),
            by_resource: HashMap::new(),
            by_scope: HashMap::new(),
            by_metric: HashMap::new(),
            resource: ResourceGroup::default(),
            scope: ScopeGroup::default(),
            places: HashMap::new(),
        }
    }
}

impl<I: Item> Groups<I> {
    /// What comes next is of these groups.
    pub(crate) fn enter(&mut self, resource: &ResourceGroup<I>, scope: ScopeGroup<I>) {
        self.resource = resource.clone();
        self.scope = scope;
        self.places.clear();
    }

    /// Where an item of the group that was entered goes, with these attributes moved to its resource.
    fn place(&mut self, moved: Map) -> (usize, usize) {
        let key = Key::default().attributes(&moved);
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let mut group = self.resource.clone();
        for pair in moved.0 {
            group.resource.attributes.set(pair.key, pair.value.unwrap_or_default());
        }
        let resource = Key::of_resource(&group.resource).text(&group.schema_url);
        let at = *self.by_resource.entry(resource).or_insert(self.resources.len());
        if at == self.resources.len() {
            self.resources.push(group);
        }
        let scope = Key::default().scope(&self.scope.scope).text(&self.scope.schema_url);
        let scopes = &mut self.resources[at].scopes;
        let scope = *self.by_scope.entry((at, scope)).or_insert(scopes.len());
        if scope == scopes.len() {
            scopes.push(self.scope.clone());
        }
        self.places.insert(key, (at, scope));
        (at, scope)
    }

    /// The scope group for an item.
    pub(crate) fn scope(&mut self, moved: Map) -> &mut ScopeGroup<I> {
        let (resource, scope) = self.place(moved);
        &mut self.resources[resource].scopes[scope]
    }
}

impl Groups<Metric> {
    /// Where the metric for a point is; it is made out of `bare` when there is none yet.
    pub(crate) fn metric(&mut self, moved: Map, key: &Key, bare: &Metric) -> MetricPlace {
        let (resource, scope) = self.place(moved);
        let items = &mut self.resources[resource].scopes[scope].items;
        let metric = *self.by_metric.entry((resource, scope, key.clone())).or_insert(items.len());
        if metric == items.len() {
            items.push(bare.clone());
        }
        MetricPlace { resource, scope, metric }
    }

    /// The metric there.
    pub(crate) fn metric_at(&mut self, place: MetricPlace) -> &mut Metric {
        &mut self.resources[place.resource].scopes[place.scope].items[place.metric]
    }
}

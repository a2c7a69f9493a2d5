//! What the metadata services of clouds have in common: a tree below an address, and tags of which the user names some.

use base_re2::Regex;
use http::Method;
use sdk_protocols_otlp::model::AnyValue;
use serde::de::DeserializeOwned;

use super::{Found, Missing, World};

/// A metadata service.
pub(super) struct Service<'w> {
    world: &'w World,
    /// The address that all paths are below.
    base: String,
    /// What it wants to see in every request.
    header: Option<(&'static str, String)>,
}

/// Patterns of the tags that become attributes.
pub(super) struct Tags(Vec<Regex>);

// === impl Service ===

impl<'w> Service<'w> {
    pub(super) fn new(world: &'w World, base: impl Into<String>) -> Service<'w> {
        Service { world, base: base.into(), header: None }
    }

    pub(super) fn with(self, name: &'static str, value: impl Into<String>) -> Service<'w> {
        Service { header: Some((name, value.into())), ..self }
    }

    /// Asks for a token, for as many seconds as the header says.
    pub(super) async fn token(&self, path: &str, lifetime: (&str, &str)) -> Result<String, Missing> {
        self.world.ask(Method::PUT, &self.url(path), &[lifetime]).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<String, Missing> {
        self.world.ask(Method::GET, &self.url(path), &self.headers()).await
    }

    /// What is not there is left out.
    pub(super) async fn optional(&self, path: &str) -> String {
        self.get(path).await.unwrap_or_default()
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Missing> {
        self.world.json(&self.url(path), &self.headers()).await
    }

    /// Whether it is there.
    pub(super) async fn is_there(&self, path: &str) -> bool {
        self.world.ask(Method::HEAD, &self.url(path), &self.headers()).await.is_ok()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        self.header.iter().map(|(name, value)| (*name, &value[..])).collect()
    }
}

// === impl Tags ===

impl Tags {
    pub(super) fn new(patterns: &[String]) -> Result<Tags, Missing> {
        let patterns: Result<_, _> = patterns.iter().map(|pattern| Regex::new(pattern)).collect();
        patterns.map(Tags).map_err(|error| Missing::Failed(format!("tags: {error}")))
    }

    /// Whether none is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(key))
    }

    /// Adds those of these that are asked for.
    pub(super) fn add(&self, found: &mut Found, prefix: &str, tags: impl IntoIterator<Item = (String, String)>) {
        let tags = tags.into_iter().filter(|(key, _)| self.has(key));
        found.extend(tags.map(|(key, value)| (format!("{prefix}{key}"), AnyValue::from(value))));
    }
}

//! `otelcol.auth.headers`: headers that exporters give with each request, or take from it.

use std::sync::Arc;

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};
use language_eval::{Block, Invalid, OptionalSecret, Validate, Word};
use sdk_component::{Context, Problem};
use sdk_otel::auth::{AuthExports, AuthHandler, ClientAuth};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_signals::{BoxFuture, Origin};

use crate::extension::{Extending, Extension};

/// Headers for each request of an exporter.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Arguments {
    /// The headers.
    #[block]
    pub header: Vec<Header>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// One header. Its value comes from one of `value`, `from_context` and `from_attribute`.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Header {
    /// Its name.
    #[attr]
    pub key: String,
    /// Its value.
    #[attr]
    pub value: Option<OptionalSecret>,
    /// A header of the request that brought the data; its receiver needs `include_metadata`, and no processor on the way may
    /// have merged requests. Without such a header the value is empty; with several of them nothing is sent.
    #[attr]
    pub from_context: Option<String>,
    /// What the authenticator of the receiver knows of whoever sent the data, by its name: `username`. Empty where it knows
    /// nothing.
    #[attr]
    pub from_attribute: Option<String>,
    /// What is done. The requests of `otelcol.exporter.otlphttp` have headers of their own that can be changed or removed;
    /// those of `otelcol.exporter.otlp` have what the blocks before this one have added.
    #[attr(default = Action::Upsert)]
    pub action: Action,
}

/// What is done to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
#[word(ignore_case)]
pub enum Action {
    /// Adds it where there is none.
    Insert,
    /// Replaces it where there is one.
    Update,
    /// Adds or replaces it.
    Upsert,
    /// Removes it.
    Delete,
}

/// The component.
pub type Headers = Extending<Arguments>;

/// What is done to the headers of a request, in this order.
struct Client(Vec<Change>);

struct Change {
    name: HeaderName,
    action: Action,
    source: Source,
}

enum Source {
    Value(HeaderValue),
    /// In lower case.
    Context(String),
    Attribute(String),
}

// === impl Header ===

impl Validate for Header {
    fn validate(&self) -> Result<(), Invalid> {
        let sources = [self.value.is_some(), self.from_context.is_some(), self.from_attribute.is_some()];
        let sources = sources.into_iter().filter(|given| *given).count();
        if self.key.is_empty() {
            return Err(Invalid::field("key", "key must be set to a non-empty string"));
        }
        if sources == 0 {
            return Err(Invalid::block("one of value, from_context, or from_attribute must be provided"));
        }
        if sources > 1 {
            return Err(Invalid::block("only one of value, from_context, or from_attribute may be provided"));
        }
        self.change().map(|_| ())
    }
}

impl Header {
    fn change(&self) -> Result<Change, Invalid> {
        let name = self.key.parse();
        let name = name.map_err(|_| Invalid::field("key", format!("{:?} cannot be the name of a header", self.key)))?;
        let source = match (&self.from_context, &self.from_attribute) {
            (Some(header), _) => Source::Context(header.to_lowercase()),
            (None, Some(attribute)) => Source::Attribute(attribute.clone()),
            (None, None) => {
                let value = self.value.as_ref().map(OptionalSecret::expose).unwrap_or_default();
                Source::Value(value_of(&value).map_err(|message| Invalid::field("value", message))?)
            }
        };
        Ok(Change { name, action: self.action, source })
    }
}

fn value_of(text: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "it has a character that no header can have")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Extension for Arguments {
    const NAME: &'static str = "otelcol.auth.headers";
    type Exports = AuthExports;

    fn exports(&self, context: &Context) -> Result<AuthExports, Problem> {
        // Validated: every header can be one.
        let headers = self.header.iter().filter_map(|header| header.change().ok()).collect();
        let client: Arc<dyn ClientAuth> = Arc::new(Client(headers));
        Ok(AuthExports { handler: AuthHandler::new(context.id(), Some(client), None) })
    }
}

// === impl Client ===

impl ClientAuth for Client {
    fn authenticate<'a>(
        &'a self,
        origin: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>> {
        let changed = self.0.iter().try_for_each(|change| change.apply(origin, headers));
        Box::pin(std::future::ready(changed))
    }

    fn needs_tls(&self) -> bool {
        false
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        let wanted = |name: &str, context: bool| {
            self.0.iter().any(|change| match &change.source {
                Source::Value(_) => false,
                Source::Context(header) => context && header == name,
                Source::Attribute(attribute) => !context && attribute == name,
            })
        };
        let kept = Origin {
            peer: None,
            metadata: origin.metadata.iter().filter(|(name, _)| wanted(name, true)).cloned().collect(),
            auth: origin.auth.iter().filter(|(name, _)| wanted(name, false)).cloned().collect(),
        };
        (kept != Origin::default()).then_some(kept)
    }
}

// === impl Change ===

impl Change {
    fn apply(&self, origin: Option<&Origin>, headers: &mut HeaderMap) -> Result<(), String> {
        let value = self.source.value(origin).map_err(|why| format!("header {:?}: {why}", self.name.as_str()))?;
        // An empty header is none, as in Go.
        let is_there = headers.get(&self.name).is_some_and(|value| !value.is_empty());
        match self.action {
            Action::Delete => {
                if let Entry::Occupied(there) = headers.entry(&self.name) {
                    there.remove_entry_mult();
                }
            }
            Action::Insert if is_there => {}
            Action::Update if !is_there => {}
            Action::Insert | Action::Update | Action::Upsert => {
                headers.insert(self.name.clone(), value);
            }
        }
        Ok(())
    }
}

// === impl Source ===

impl Source {
    fn value(&self, origin: Option<&Origin>) -> Result<HeaderValue, String> {
        let text = match self {
            Source::Value(value) => return Ok(value.clone()),
            Source::Context(header) => match origin.and_then(|origin| origin.header(header)).unwrap_or_default() {
                [] => "",
                [value] => value,
                several => {
                    return Err(format!(
                        "{} source keys found in the context, can't determine which one to use",
                        several.len()
                    ));
                }
            },
            Source::Attribute(attribute) => {
                let known = origin.and_then(|origin| origin.auth.iter().find(|(name, _)| name == attribute));
                known.map_or("", |(_, value)| value)
            }
        };
        value_of(text).map_err(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue as _, Scope};
    use sdk_testing::component::Alone;

    use super::*;
    use crate::auth::testing::{changed, given};

    fn handler(headers: &str) -> Result<AuthHandler, String> {
        let alone = Alone::<Headers>::build(headers, &Scope::new())?;
        Ok(AuthHandler::from_value(&alone.export("handler").unwrap()).unwrap())
    }

    fn block(body: &str) -> String {
        format!("header {{\n{body}\n}}\n")
    }

    #[tokio::test]
    async fn exporters_give_the_headers_and_receivers_cannot_use_them() {
        let handler = handler(
            "header {\n key = \"X-Scope-OrgID\"\n value = \"a\"\n}\nheader {\n key = \"x-b\"\n value = \"\"\n}\n",
        )
        .unwrap();
        let headers = given(&handler).await.unwrap();
        assert_eq!(
            (&headers["x-scope-orgid"], &headers["x-b"]),
            (&HeaderValue::from_static("a"), &HeaderValue::from_static(""))
        );
        assert!(handler.server().is_err());
    }

    #[tokio::test]
    async fn each_action_does_its_own_to_what_is_there() {
        for (action, there, absent) in [
            ("insert", Some("old"), Some("new")),
            ("update", Some("new"), None),
            ("upsert", Some("new"), Some("new")),
            ("DELETE", None, None),
        ] {
            let handler = handler(&block(&format!("key = \"A\"\nvalue = \"new\"\naction = {action:?}"))).unwrap();
            let with = HeaderMap::from_iter([(HeaderName::from_static("a"), HeaderValue::from_static("old"))]);
            for (before, after) in [(with, there), (HeaderMap::new(), absent)] {
                let headers = changed(&handler, None, before).await.unwrap();
                assert_eq!(headers.get("a").map(|value| value.to_str().unwrap()), after, "{action}");
            }
        }
    }

    #[tokio::test]
    async fn values_come_from_the_request_and_from_who_sent_it() {
        let config = block("key = \"org\"\nfrom_context = \"X-Scope-OrgID\"")
            + &block("key = \"user\"\nfrom_attribute = \"username\"");
        let handler = handler(&config).unwrap();
        let origin = |values: &[&str]| Origin {
            peer: None,
            metadata: vec![
                ("x-scope-orgid".to_owned(), values.iter().map(|value| (*value).to_owned()).collect()),
                ("cookie".to_owned(), vec!["secret".to_owned()]),
            ],
            auth: vec![("username".to_owned(), "ann".to_owned()), ("raw".to_owned(), "secret".to_owned())],
        };
        let headers = changed(&handler, Some(&origin(&["acme"])), HeaderMap::new()).await.unwrap();
        assert_eq!(
            (&headers["org"], &headers["user"]),
            (&HeaderValue::from_static("acme"), &HeaderValue::from_static("ann"))
        );
        let kept = handler.client().unwrap().remember(&origin(&["acme"])).unwrap();
        assert!(!format!("{kept:?}").contains("secret"), "only what is asked for waits in a queue");
        // Of whom nothing is known, the headers are empty.
        let headers = given(&handler).await.unwrap();
        assert_eq!((&headers["org"], &headers["user"]), (&HeaderValue::from_static(""), &HeaderValue::from_static("")));
        let error = changed(&handler, Some(&origin(&["acme", "globex"])), HeaderMap::new()).await.unwrap_err();
        assert!(error.contains("\"org\": 2 source keys"), "{error}");
        let error = changed(&handler, Some(&origin(&["a\nb"])), HeaderMap::new()).await.unwrap_err();
        assert!(error.contains("no header can have"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_or_cannot_be_met_is_refused() {
        for (header, word) in [
            ("key = \"a\"", "one of value"),
            ("key = \"\"\nvalue = \"x\"", "non-empty"),
            ("key = \"a\"\nvalue = \"x\"\nfrom_context = \"y\"", "only one"),
            ("key = \"a\"\nvalue = \"x\"\naction = \"replace\"", "replace"),
            ("key = \"a b\"\nvalue = \"x\"", "name of a header"),
            ("key = \"a\"\nvalue = \"x\\ny\"", "no header can have"),
        ] {
            let error = handler(&block(header)).err().unwrap_or_default();
            assert!(error.contains(word), "{header}: {error}");
        }
    }
}

//! `otelcol.auth.headers`: headers that exporters give with each request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use language_eval::{Block, Invalid, OptionalSecret, Validate, Word};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::auth::{AuthExports, AuthHandler, ClientAuth};
use sdk_otel::debug_metrics::DebugMetrics;

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

/// One header.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Header {
    /// Its name.
    #[attr]
    pub key: String,
    /// Its value.
    #[attr]
    pub value: Option<OptionalSecret>,
    /// A header of the request that brought the data. Not supported yet.
    #[attr]
    pub from_context: Option<String>,
    /// An attribute of whoever was let in with the data. Not supported yet.
    #[attr]
    pub from_attribute: Option<String>,
    /// What is done where the request has such a header: only `upsert`, which replaces it, is supported yet.
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
pub struct Headers {
    context: Context,
}

struct Client(HeaderMap);

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
        for (given, field) in [
            (self.from_context.is_some(), "from_context"),
            (self.from_attribute.is_some(), "from_attribute"),
            (self.action != Action::Upsert, "action"),
        ] {
            if given {
                return Err(sdk_otel::not_yet(field));
            }
        }
        self.pair().map(|_| ())
    }
}

impl Header {
    fn pair(&self) -> Result<(HeaderName, HeaderValue), Invalid> {
        let name = self.key.parse();
        let name = name.map_err(|_| Invalid::field("key", format!("{:?} cannot be the name of a header", self.key)))?;
        let value = self.value.as_ref().map(OptionalSecret::expose).unwrap_or_default();
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| Invalid::field("value", "it has a character that no header can have"))?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

impl Arguments {
    fn exports(&self, context: &Context) -> AuthExports {
        // Validated: every header can be one.
        let headers = self.header.iter().filter_map(|header| header.pair().ok()).collect();
        let client: Arc<dyn ClientAuth> = Arc::new(Client(headers));
        AuthExports { handler: AuthHandler::new(context.id(), Some(client), None) }
    }
}

// === impl Headers ===

impl Component for Headers {
    const NAME: &'static str = "otelcol.auth.headers";
    type Arguments = Arguments;
    type Exports = AuthExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        context.publish(&arguments.exports(context));
        Ok(Headers { context: context.clone() })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        Ok(Update::exporting(&arguments.exports(&self.context), || ()))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.context.healthy("started");
        stop.stopped().await;
        Ok(())
    }
}

// === impl Client ===

impl ClientAuth for Client {
    fn headers(&self) -> Result<HeaderMap, String> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue as _, Scope};
    use sdk_testing::component::Alone;

    use super::*;

    fn handler(headers: &str) -> Result<AuthHandler, String> {
        let alone = Alone::<Headers>::build(headers, &Scope::new())?;
        Ok(AuthHandler::from_value(&alone.export("handler").unwrap()).unwrap())
    }

    #[test]
    fn exporters_give_the_headers_and_receivers_cannot_use_them() {
        let handler = handler(
            "header {\n key = \"X-Scope-OrgID\"\n value = \"a\"\n}\nheader {\n key = \"x-b\"\n value = \"\"\n}\n",
        )
        .unwrap();
        let headers = handler.client().unwrap().headers().unwrap();
        assert_eq!(
            (&headers["x-scope-orgid"], &headers["x-b"]),
            (&HeaderValue::from_static("a"), &HeaderValue::from_static(""))
        );
        assert!(handler.server().is_err());
    }

    #[test]
    fn what_contradicts_itself_or_cannot_be_met_is_refused() {
        for (header, word) in [
            ("key = \"a\"", "one of value"),
            ("key = \"\"\nvalue = \"x\"", "non-empty"),
            ("key = \"a\"\nvalue = \"x\"\nfrom_context = \"y\"", "only one"),
            ("key = \"a\"\nfrom_context = \"y\"", "not supported yet"),
            ("key = \"a\"\nfrom_attribute = \"y\"", "not supported yet"),
            ("key = \"a\"\nvalue = \"x\"\naction = \"insert\"", "not supported yet"),
            ("key = \"a b\"\nvalue = \"x\"", "name of a header"),
            ("key = \"a\"\nvalue = \"x\\ny\"", "no header can have"),
        ] {
            let error = handler(&format!("header {{\n{header}\n}}\n")).err().unwrap_or_default();
            assert!(error.contains(word), "{header}: {error}");
        }
    }
}

//! `otelcol.auth.bearer`: a token, asked for by receivers and given by exporters.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use language_eval::{Block, Invalid, SecretString, Validate};
use sdk_component::{Context, Problem};
use sdk_otel::auth::{AuthExports, AuthHandler, ClientAuth, ServerAuth};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_signals::{BoxFuture, Origin};
use subtle::ConstantTimeEq as _;

use crate::extension::{Extending, Extension};

/// A token.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Arguments {
    /// Stands before the token. Nothing does when it is empty.
    #[attr(default = "Bearer".to_owned())]
    pub scheme: String,
    /// The token. Of several lines, exporters give the first one and receivers take each; what follows a blank in a line is
    /// a remark.
    #[attr]
    pub token: SecretString,
    /// The header with the token.
    #[attr(default = "Authorization".to_owned())]
    pub header: String,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The component.
pub type Bearer = Extending<Arguments>;

/// Both sides.
struct Tokens {
    header: HeaderName,
    /// Scheme and token.
    values: Vec<String>,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        match self.header_name() {
            Some(_) => Ok(()),
            None => Err(Invalid::field("header", format!("{:?} cannot be the name of a header", self.header))),
        }
    }
}

impl Arguments {
    fn header_name(&self) -> Option<HeaderName> {
        self.header.parse().ok()
    }
}

impl Extension for Arguments {
    const NAME: &'static str = "otelcol.auth.bearer";
    type Exports = AuthExports;

    fn exports(&self, context: &Context) -> Result<AuthExports, Problem> {
        // Validated.
        let header = self.header_name().ok_or_else(|| Problem::at("header", "it cannot be the name of a header"))?;
        let token = self.token.expose();
        let tokens = token.lines().filter_map(|line| line.split_whitespace().next());
        let values = tokens.map(|token| match self.scheme.as_str() {
            "" => token.to_owned(),
            scheme => format!("{scheme} {token}"),
        });
        let tokens = Arc::new(Tokens { header, values: values.collect() });
        Ok(AuthExports { handler: AuthHandler::new(context.id(), Some(tokens.clone()), Some(tokens)) })
    }
}

// === impl Tokens ===

impl ClientAuth for Tokens {
    fn authenticate<'a>(
        &'a self,
        _: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>> {
        let value = self.value().map(|value| drop(headers.insert(self.header.clone(), value)));
        Box::pin(std::future::ready(value))
    }
}

impl Tokens {
    fn value(&self) -> Result<HeaderValue, String> {
        let value = self.values.first().ok_or("the token is empty")?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| "the token has a character that no header can have")?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl ServerAuth for Tokens {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
        let Some(given) = headers.get(&self.header) else {
            return Err(format!("missing or empty authorization header: {}", self.header));
        };
        // Every token is compared, each in constant time, so that the time tells nothing.
        let known =
            self.values.iter().fold(false, |known, value| known | bool::from(value.as_bytes().ct_eq(given.as_bytes())));
        match known {
            true => Ok(Vec::new()),
            false => Err("provided authorization does not match expected scheme or token".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue as _, Scope};
    use sdk_testing::component::Alone;

    use crate::auth::testing::given;

    use super::*;

    fn handler(config: &str) -> Result<AuthHandler, String> {
        let alone = Alone::<Bearer>::build(config, &Scope::new())?;
        Ok(AuthHandler::from_value(&alone.export("handler").unwrap()).unwrap())
    }

    fn ask(handler: &AuthHandler, header: &'static str, value: &'static str) -> Result<Vec<(String, String)>, String> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(header), HeaderValue::from_static(value))]);
        handler.server().unwrap().authenticate(&headers)
    }

    #[tokio::test]
    async fn exporters_give_the_first_token_and_receivers_take_each() {
        let handler = handler("token = \"one the first\\n\\n two\"\n").unwrap();
        let headers = given(&handler).await.unwrap();
        assert_eq!(headers["authorization"], "Bearer one");
        assert!(headers["authorization"].is_sensitive());
        for (value, lets_in) in
            [("Bearer one", true), ("Bearer two", true), ("one", false), ("Bearer on", false), ("", false)]
        {
            assert_eq!(ask(&handler, "authorization", value).is_ok(), lets_in, "{value}");
        }
        assert!(ask(&handler, "other", "Bearer one").unwrap_err().contains("missing"));
    }

    #[tokio::test]
    async fn header_and_scheme_can_be_others() {
        let handler = handler("token = \"t\"\nscheme = \"\"\nheader = \"X-Key\"\n").unwrap();
        assert_eq!(given(&handler).await.unwrap()["x-key"], "t");
        assert!(ask(&handler, "x-key", "t").is_ok());
    }

    #[tokio::test]
    async fn an_empty_token_opens_nothing_and_a_bad_header_is_refused() {
        let empty = handler("token = \"\"\n").unwrap();
        assert!(given(&empty).await.is_err());
        assert!(ask(&empty, "authorization", "Bearer ").is_err());
        assert!(handler("token = \"t\"\nheader = \"no header\"\n").unwrap_err().contains("no header"));
    }
}

//! What exporters do with an authenticator that fetches, fails, or takes its time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, header};
use language_eval::{Object, Scope, ToValue as _, Value};
use sdk_otel::auth::{AuthHandler, ClientAuth};
use sdk_signals::{BoxFuture, Origin};
use sdk_testing::component::scope;

/// Gives tokens by number, as told.
#[derive(Default)]
pub struct Tokens {
    /// What the next requests get instead of a token.
    pub instead: Mutex<Vec<Instead>>,
    /// Whether they are secrets.
    secret: bool,
    asked: AtomicUsize,
    rejected: AtomicUsize,
}

/// What there is instead of a token.
pub enum Instead {
    Failure,
    Silence,
}

impl Tokens {
    /// What `auth = test.handler` stands for.
    pub fn scope(self: &Arc<Self>) -> Scope {
        let handler = AuthHandler::new("test", Some(self.clone()), None).to_value();
        scope([("test", Value::Object([("handler".to_owned(), handler)].into_iter().collect::<Object>()))])
    }

    /// Tokens that nobody may read on the way.
    pub fn secret() -> Tokens {
        Tokens { secret: true, ..Tokens::default() }
    }

    /// How many were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many tokens were not taken.
    pub fn rejected(&self) -> usize {
        self.rejected.load(Ordering::SeqCst)
    }
}

impl ClientAuth for Tokens {
    fn authenticate<'a>(
        &'a self,
        origin: Option<&'a Origin>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let instead = {
                let mut instead = self.instead.lock().unwrap();
                (!instead.is_empty()).then(|| instead.remove(0))
            };
            match instead {
                Some(Instead::Failure) => return Err("no token today".to_owned()),
                Some(Instead::Silence) => std::future::pending().await,
                None => {}
            }
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let tenant = origin.and_then(|origin| Some(origin.header("tenant")?.concat())).unwrap_or_default();
            headers.insert(header::AUTHORIZATION, format!("t{number}").parse().unwrap());
            headers.insert("tenant", tenant.parse().unwrap());
            headers
                .insert("agent", headers.get(header::USER_AGENT).cloned().unwrap_or(HeaderValue::from_static("none")));
            Ok(())
        })
    }

    fn rejected(&self, headers: &HeaderMap) -> bool {
        assert!(headers[header::AUTHORIZATION].to_str().unwrap().starts_with('t'));
        self.rejected.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn needs_tls(&self) -> bool {
        self.secret
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        let metadata = origin.metadata.iter().filter(|(name, _)| name == "tenant").cloned().collect();
        Some(Origin { metadata, ..Origin::default() })
    }
}

/// Data of a tenant.
pub fn of(tenant: &str) -> Option<Arc<Origin>> {
    let header = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    Some(Arc::new(Origin { metadata: vec![header("other", "x"), header("tenant", tenant)], ..Origin::default() }))
}

//! What an exporter would send, for tests.

use http::HeaderMap;
use sdk_otel::auth::AuthHandler;
use sdk_signals::Origin;

/// The headers of a request that has none yet.
pub async fn given(handler: &AuthHandler) -> Result<HeaderMap, String> {
    changed(handler, None, HeaderMap::new()).await
}

/// The headers of a request whose data came from `origin`, kept as an exporter keeps it.
pub async fn changed(
    handler: &AuthHandler,
    origin: Option<&Origin>,
    mut headers: HeaderMap,
) -> Result<HeaderMap, String> {
    let client = handler.client()?;
    let origin = origin.and_then(|origin| client.remember(origin));
    client.authenticate(origin.as_ref(), &mut headers).await.map(|()| headers)
}

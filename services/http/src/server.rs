//! Connections: accepted, shaken hands with when TLS is on, served, and ended when it is time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base_sys::task::Scope;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::routes::text;
use crate::service::State;

/// More clients wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;
/// The largest request body, the API's and the components' alike.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// How long a client may take for a handshake, and for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_STREAMS: u32 = 128;
/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `tasks` is asked to stop. The listener is closed on return; open connections finish their requests.
pub(crate) async fn accept(listener: &TcpListener, state: Arc<State>, tasks: Scope) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = tasks.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (state, stopped) = (state.clone(), tasks.stopped());
                tasks.spawn("http connection", async move {
                    connection(stream, state, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(err = %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, stopped: impl Future<Output = ()>) {
    let _ = stream.set_nodelay(true); // only slower without
    let Some(tls) = state.tls() else { return serve(stream, state, stopped).await };
    let handshake = tokio_rustls::TlsAcceptor::from(tls.config()).accept(stream);
    match tokio::time::timeout(HEAD_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => serve(stream, state, stopped).await,
        Ok(Err(error)) => tracing::debug!(err = %error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    state: Arc<State>,
    stopped: impl Future<Output = ()>,
) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(request, &state).await.map(Full::new)) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(64 << 10);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).keep_alive_interval(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, stopped);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = &mut stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(err = %error, "connection ended early");
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Bytes> {
    if let Some(refused) = state.refuse(request.uri().path(), request.headers()) {
        return refused;
    }
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_REQUEST_BYTES).collect()).await;
    match body {
        Ok(Ok(body)) => state.answer(Request::from_parts(parts, body.to_bytes())).await,
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            text(StatusCode::PAYLOAD_TOO_LARGE, format!("the request is larger than {MAX_REQUEST_BYTES} bytes\n"))
        }
        Ok(Err(error)) => text(StatusCode::BAD_REQUEST, format!("cannot read the request: {error}\n")),
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"),
    }
}

//! Each side against h2, which others have tested for us.

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::DuplexStream;

use super::*;

async fn client(config: Config, pipe: usize) -> h2::client::SendRequest<Bytes> {
    client_with(config, pipe, &h2::client::Builder::new()).await
}

async fn client_with(config: Config, pipe: usize, builder: &h2::client::Builder) -> h2::client::SendRequest<Bytes> {
    let (ours, theirs) = tokio::io::duplex(pipe);
    let serving = serve(theirs, Arc::new(Answers(reverse)), config, std::future::pending());
    drop(base_sys::task::spawn("server", serving));
    let (client, connection) = builder.handshake(ours).await.unwrap();
    drop(base_sys::task::spawn("client", connection));
    client.ready().await.unwrap()
}

fn request(path: &str) -> http::request::Builder {
    Request::post(format!("http://test{path}")).header("content-type", "application/grpc")
}

fn framed(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

async fn whole(body: &mut RecvStream) -> (BytesMut, Option<HeaderMap>) {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend_from_slice(&piece);
    }
    (bytes, body.trailers().await.unwrap())
}

async fn call(
    client: &mut h2::client::SendRequest<Bytes>,
    path: &str,
    message: &[u8],
) -> (Response<()>, BytesMut, Option<HeaderMap>) {
    let (response, mut body) = client.send_request(request(path).body(()).unwrap(), false).unwrap();
    body.send_data(framed(message), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let (bytes, trailers) = whole(&mut body).await;
    (Response::from_parts(head, ()), bytes, trailers)
}

#[tokio::test]
async fn a_strange_client_is_answered() {
    for pipe in [1, 64, 1 << 16] {
        let mut client = client(Config::default(), pipe).await;
        // Of the last one most is read to where it stays, and more than what is allocated for its prefix alone.
        for size in [0_usize, 1, 70_000, 2_500_000].into_iter().filter(|size| pipe > 64 || *size < 1 << 20) {
            let message: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let (head, body, trailers) = call(&mut client, "/a.B/C", &message).await;
            assert_eq!(head.status(), 200);
            assert_eq!(head.headers()["content-type"], "application/grpc");
            assert_eq!(body[5..], reverse(message.into()).unwrap());
            assert_eq!(trailers.unwrap()["grpc-status"], "0");
        }
        let (head, _, _) = call(&mut client, "/no.Such/Method", b"x").await;
        assert_eq!(head.headers()["grpc-status"], "12");
    }
}

#[tokio::test]
async fn a_reply_waits_for_the_client_s_window() {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(10);
    let mut client = client_with(Config::default(), 1 << 16, &builder).await;
    let (_, body, trailers) = call(&mut client, "/a.B/C", &[7; 300]).await;
    assert_eq!(body.len(), 305);
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn what_is_not_a_call_is_said_so() {
    let mut client = client(Config::default(), 1 << 16).await;
    let (response, _) = client.send_request(Request::get("http://test/").body(()).unwrap(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 415);
    let (response, _) = client.send_request(request("/a.B/C").body(()).unwrap(), true).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "13");
    let coded = request("/a.B/C").header("grpc-encoding", "rot13").body(()).unwrap();
    let (response, _) = client.send_request(coded, true).unwrap();
    let refused = response.await.unwrap();
    assert_eq!(
        (&refused.headers()["grpc-status"], &refused.headers()["grpc-accept-encoding"]),
        (&HeaderValue::from_static("12"), &HeaderValue::from_static("gzip,zstd,snappy,deflate"))
    );
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_and_may_come_again() {
    let mut client = client(Config { max_streams: 1, ..Config::default() }, 1 << 16).await;
    let (first, mut body) = client.send_request(request("/a.B/C").body(()).unwrap(), false).unwrap();
    body.send_data(framed(b"ab"), true).unwrap();
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(call(&mut client, "/a.B/C", b"xy").await.1[5..], b"yx"[..]);
}

#[tokio::test]
async fn a_call_waits_without_holding_up_others_and_ends_with_its_deadline_or_its_client() {
    struct Stuck(tokio::sync::mpsc::Sender<()>);
    struct Told(tokio::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    impl Service for Stuck {
        type Admission = ();
        fn admit(&self, _: &str, _: &Headers) -> Result<(), Status> {
            Ok(())
        }
        async fn call(self: Arc<Self>, (): (), message: Bytes) -> Result<Bytes, Status> {
            if message.is_empty() {
                let _told = Told(self.0.clone());
                std::future::pending::<()>().await;
            }
            assert_ne!(message, "panic");
            Ok(message)
        }
    }
    let (sender, mut ends) = tokio::sync::mpsc::channel(8);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = serve(theirs, Arc::new(Stuck(sender)), Config::default(), std::future::pending());
    drop(base_sys::task::spawn("server", serving));
    let (client, connection) = h2::client::handshake(ours).await.unwrap();
    drop(base_sys::task::spawn("client", connection));
    let mut client: h2::client::SendRequest<Bytes> = client.ready().await.unwrap();

    let timed = request("/a.B/C").header("grpc-timeout", "50m").body(()).unwrap();
    let (late, mut body) = client.send_request(timed, false).unwrap();
    body.send_data(framed(b""), true).unwrap();
    let (_given_up, mut taken_back) = client.send_request(request("/a.B/C").body(()).unwrap(), false).unwrap();
    taken_back.send_data(framed(b""), true).unwrap();
    assert_eq!(call(&mut client, "/a.B/C", b"quick").await.1[5..], b"quick"[..]);
    assert_eq!(late.await.unwrap().headers()["grpc-status"], "4");
    ends.recv().await.unwrap();
    taken_back.send_reset(Reason::CANCEL);
    ends.recv().await.unwrap();
    assert_eq!(call(&mut client, "/a.B/C", b"panic").await.0.headers()["grpc-status"], "13");
}

#[tokio::test]
async fn a_server_that_closes_answers_what_it_has() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (close, closed) = tokio::sync::oneshot::channel::<()>();
    let closing = async move { drop(closed.await) };
    let serving =
        base_sys::task::spawn("server", serve(theirs, Arc::new(Answers(reverse)), Config::default(), closing));
    let (client, connection) = h2::client::handshake(ours).await.unwrap();
    let connection = base_sys::task::spawn("client", connection);
    let mut client: h2::client::SendRequest<Bytes> = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(request("/a.B/C").body(()).unwrap(), false).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    close.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    body.send_data(framed(b"ab"), true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(whole(response.body_mut()).await.0[5..], b"ba"[..]);
    assert!(matches!(serving.await, base_sys::task::Ended::Returned(Ok(()))));
    assert!(matches!(connection.await, base_sys::task::Ended::Returned(Ok(()))));
}

// === our client ===

struct To(std::sync::Mutex<Option<DuplexStream>>);

impl Connect for To {
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>> {
        let stream = self.0.lock().unwrap().take();
        Box::pin(async { stream.map(|stream| Box::new(stream) as Box<dyn Stream>).ok_or(io::ErrorKind::Other.into()) })
    }
}

fn ours(stream: DuplexStream) -> Channel {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Basic x"));
    let config = ChannelConfig {
        authority: "https://test:4317".parse().unwrap(),
        headers,
        coding: Coding::Identity,
        level: None,
        ping_interval: Some(Duration::from_millis(20)),
        ping_timeout: Duration::from_secs(20),
        ping_when_idle: true,
    };
    Channel::new(config, Arc::new(To(Some(stream).into())))
}

#[tokio::test]
async fn a_strange_server_understands_us() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let channel = ours(near);
    let server = base_sys::task::spawn("server", async move {
        let mut builder = h2::server::Builder::new();
        // Small, so that a message takes many frames and many updates.
        builder.initial_window_size(1000).initial_connection_window_size(70_000).max_concurrent_streams(2);
        let mut connection = builder.handshake::<_, Bytes>(far).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted.unwrap();
            drop(base_sys::task::spawn("call", async move {
                let (head, mut body) = request.into_parts();
                assert_eq!(
                    (head.method.as_str(), head.uri.to_string()),
                    ("POST", "https://test:4317/a.B/C".to_owned())
                );
                assert_eq!(
                    (&head.headers["te"], &head.headers["authorization"]),
                    (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("Basic x"))
                );
                let (message, _) = whole(&mut body).await;
                let mut send = respond.send_response(Response::new(()), false).unwrap();
                send.send_data(framed(&reverse(message.freeze().slice(5..)).unwrap()), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                send.send_trailers(trailers).unwrap();
            }));
        }
    });
    let calls = [0_usize, 10, 5_000, 300_000, 7].map(|size| {
        let (channel, message) = (channel.clone(), vec![size as u8; size]);
        async move {
            let reply = channel.unary("/a.B/C", vec![message.into()], HeaderMap::new()).await.unwrap();
            assert_eq!(reply.message.len(), size);
        }
    });
    futures_util::future::join_all(calls).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(channel);
    assert!(matches!(server.await, base_sys::task::Ended::Returned(())));
}

#[tokio::test]
async fn resets_and_farewells_may_be_tried_again() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let channel = ours(near);
    drop(base_sys::task::spawn("server", async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        let (_, mut respond): (_, h2::server::SendResponse<Bytes>) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(Reason::REFUSED_STREAM);
        let _second = connection.accept().await;
        connection.abrupt_shutdown(Reason::NO_ERROR);
        let _ = connection.accept().await;
    }));
    for _ in 0..2 {
        let refused = channel.unary("/a.B/C", vec![Bytes::from_static(b"x")], HeaderMap::new()).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable, "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_none_is_named() {
    use tokio::io::AsyncWriteExt as _;
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let channel = ours(near);
    far.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let refused = channel.unary("/a.B/C", vec![Bytes::from_static(b"x")], HeaderMap::new()).await.unwrap_err();
    assert_eq!(refused.message, "the server does not speak HTTP/2; is this its gRPC port?");
}

#[tokio::test]
async fn a_reply_may_be_compressed_as_grpc_go_does_it() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let channel = ours(near);
    drop(base_sys::task::spawn("server", async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            let (_, mut respond): (_, h2::server::SendResponse<Bytes>) = accepted.unwrap();
            let response = Response::builder().header("grpc-encoding", "gzip").body(()).unwrap();
            let mut send = respond.send_response(response, false).unwrap();
            let message = Coding::Gzip.compress(b"partial success", None);
            let prefix = [&[1][..], &(message.len() as u32).to_be_bytes()].concat();
            send.send_data([prefix, message].concat().into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            send.send_trailers(trailers).unwrap();
        }
    }));
    let reply = channel.unary("/a.B/C", vec![Bytes::from_static(b"x")], HeaderMap::new()).await.unwrap();
    assert_eq!(reply.message, "partial success");
}

//! Clients over HTTP and gRPC, and a writer of Thrift, for tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use sdk_protocols_compression::Coding;
use sdk_protocols_grpc::{Channel, ChannelConfig, Connect, Stream};
use sdk_protocols_thrift::Encoding;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn kind(&self) -> &str {
        self.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap())
    }
}

pub async fn ask(address: &str, mut request: Request<Full<Bytes>>) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    base_sys::task::spawn("client", connection);
    request.headers_mut().insert("host", address.parse().unwrap());
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, body }
}

pub async fn post(address: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(address, request.body(Full::new(body)).unwrap()).await
}

// === gRPC ===

/// A channel to a server without TLS.
pub fn channel(address: &str, coding: Coding) -> Channel {
    let config = ChannelConfig {
        authority: format!("http://{address}").parse().unwrap(),
        headers: HeaderMap::new(),
        coding,
        level: None,
        ping_interval: None,
        ping_timeout: Duration::from_secs(20),
        ping_when_idle: false,
    };
    Channel::new(config, Arc::new(To(address.to_owned())))
}

struct To(String);

impl Connect for To {
    fn connect(&self) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Box<dyn Stream>>> + Send + '_>> {
        Box::pin(async { Ok(Box::new(tokio::net::TcpStream::connect(&self.0).await?) as Box<dyn Stream>) })
    }
}

// === Thrift ===

/// A value, to be written.
#[derive(Clone)]
pub enum Thrift {
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Struct(Vec<(i16, Thrift)>),
    List(Vec<Thrift>),
}

impl From<&str> for Thrift {
    fn from(text: &str) -> Thrift {
        Thrift::Bytes(text.as_bytes().to_vec())
    }
}

impl Thrift {
    pub fn write(&self, encoding: Encoding, out: &mut Vec<u8>) {
        match (encoding, self) {
            (_, Thrift::Bool(value)) => out.push(if *value { 1 } else { 2 * u8::from(encoding == Encoding::Compact) }),
            (Encoding::Binary, Thrift::I16(value)) => out.extend(value.to_be_bytes()),
            (Encoding::Binary, Thrift::I32(value)) => out.extend(value.to_be_bytes()),
            (Encoding::Binary, Thrift::I64(value)) => out.extend(value.to_be_bytes()),
            (Encoding::Compact, Thrift::I16(value)) => zigzag(out, i64::from(*value)),
            (Encoding::Compact, Thrift::I32(value)) => zigzag(out, i64::from(*value)),
            (Encoding::Compact, Thrift::I64(value)) => zigzag(out, *value),
            (Encoding::Binary, Thrift::Double(value)) => out.extend(value.to_be_bytes()),
            (Encoding::Compact, Thrift::Double(value)) => out.extend(value.to_le_bytes()),
            (_, Thrift::Bytes(bytes)) => {
                size(encoding, bytes.len(), out);
                out.extend(bytes);
            }
            (Encoding::Binary, Thrift::Struct(fields)) => {
                for (id, value) in fields {
                    out.push(value.kind(encoding));
                    out.extend(id.to_be_bytes());
                    value.write(encoding, out);
                }
                out.push(0);
            }
            (Encoding::Compact, Thrift::Struct(fields)) => {
                let mut last = 0;
                for (id, value) in fields {
                    let kind = if let Thrift::Bool(true) = value { 1 } else { value.kind(encoding) };
                    match u8::try_from(id - last) {
                        Ok(distance @ 1..=15) => out.push(distance << 4 | kind),
                        _ => {
                            out.push(kind);
                            zigzag(out, i64::from(*id));
                        }
                    }
                    last = *id;
                    if !matches!(value, Thrift::Bool(_)) {
                        value.write(encoding, out);
                    }
                }
                out.push(0);
            }
            (_, Thrift::List(values)) => {
                let kind = values.first().map_or(0, |value| value.kind(encoding));
                match (encoding, values.len()) {
                    (Encoding::Compact, few @ 0..15) => out.push((few as u8) << 4 | kind),
                    (Encoding::Compact, many) => {
                        out.push(0xf0 | kind);
                        size(encoding, many, out);
                    }
                    (Encoding::Binary, count) => {
                        out.push(kind);
                        size(encoding, count, out);
                    }
                }
                values.iter().for_each(|value| value.write(encoding, out));
            }
        }
    }

    fn kind(&self, encoding: Encoding) -> u8 {
        let (binary, compact) = match self {
            Thrift::Bool(_) => (2, 2),
            Thrift::I16(_) => (6, 4),
            Thrift::I32(_) => (8, 5),
            Thrift::I64(_) => (10, 6),
            Thrift::Double(_) => (4, 7),
            Thrift::Bytes(_) => (11, 8),
            Thrift::Struct(_) => (12, 12),
            Thrift::List(_) => (15, 9),
        };
        if encoding == Encoding::Binary { binary } else { compact }
    }
}

fn size(encoding: Encoding, size: usize, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Binary => out.extend(u32::try_from(size).unwrap().to_be_bytes()),
        Encoding::Compact => sdk_protocols_otlp::wire::put_varint(out, size as u64),
    }
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    sdk_protocols_otlp::wire::put_varint(out, (value << 1 ^ value >> 63) as u64);
}

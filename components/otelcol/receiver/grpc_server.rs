//! A gRPC server whose methods take telemetry: OTLP's own, or one that is translated into it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sdk_protocols_grpc::server::{Headers, Service};
use sdk_protocols_grpc::{Code, Status};
use sdk_signals::{Origin, OtlpSignal};

use crate::counters::Counters;
use crate::intake::{Fault, Intake};

/// One method.
pub(crate) struct Method {
    pub(crate) path: &'static str,
    pub(crate) signal: OtlpSignal,
    /// Makes an OTLP payload of a message; the error says what is wrong with it.
    pub(crate) read: fn(Bytes) -> Result<Bytes, String>,
    /// What says that it was taken.
    pub(crate) answer: &'static [u8],
}

/// What all connections of a server share.
pub(crate) struct Grpc {
    pub(crate) intake: Intake,
    pub(crate) methods: Vec<Method>,
    pub(crate) counters: Counters,
    /// Which of the counters.
    pub(crate) transport: usize,
}

/// The service for one connection.
pub(crate) struct Connected {
    grpc: Arc<Grpc>,
    peer: IpAddr,
    /// Of calls of which nothing else is known.
    origin: Arc<Origin>,
}

// === impl Connected ===

impl Connected {
    pub(crate) fn new(grpc: Arc<Grpc>, peer: IpAddr) -> Connected {
        let origin = Arc::new(Origin { peer: Some(peer), ..Origin::default() });
        Connected { grpc, peer, origin }
    }
}

impl Service for Connected {
    /// The place of the method in the list, and who asks.
    type Admission = (usize, Arc<Origin>);

    fn admit(&self, path: &str, headers: &Headers) -> Result<Self::Admission, Status> {
        let Grpc { intake, methods, .. } = &*self.grpc;
        let Some(method) = methods.iter().position(|method| method.path == path) else {
            return Err(Status::new(Code::Unimplemented, format!("unknown service or method {path}")));
        };
        if intake.needs_headers() {
            let headers: HeaderMap = headers.to_map();
            return Ok((method, intake.origin(&headers, self.peer)?));
        }
        Ok((method, self.origin.clone()))
    }

    async fn call(self: Arc<Self>, (method, origin): Self::Admission, message: Bytes) -> Result<Bytes, Status> {
        let Grpc { intake, methods, counters, transport } = &*self.grpc;
        let Method { signal, read, answer, .. } = &methods[method];
        let taken = match read(message) {
            Ok(payload) => intake.take(*signal, payload, origin, counters.of(*transport)).await,
            Err(why) => Err(Fault::Malformed(why)),
        };
        match taken {
            Ok(()) => Ok(Bytes::from_static(answer)),
            Err(Fault::Refused(status)) => Err(status),
            Err(Fault::Malformed(why)) => {
                Err(Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}")))
            }
        }
    }
}

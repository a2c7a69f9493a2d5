//! What Jaeger's agent was: takes datagrams, each a batch.
//!
//! Nobody answers a datagram, so what cannot be taken is lost; each loss is counted, with its reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base_metrics::Counter;
use base_sys::task;
use bytes::Bytes;
use sdk_component::{Context, Stop};
use sdk_protocols_thrift::Encoding;
use sdk_signals::{Origin, OtlpSignal};
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, mpsc};
use tracing::Instrument as _;

use super::arguments::UdpSettings;
use super::{TRANSPORTS, thrift};
use crate::counters::Counters;
use crate::intake::{Fault, Intake};
use crate::listener::{Health, Serve, bind};
use crate::serving::Site;

/// No datagram is longer.
const LARGEST: usize = 1 << 16;

/// An agent as its arguments describe it.
pub(super) struct Agent {
    name: &'static str,
    endpoint: String,
    settings: UdpSettings,
    encoding: Encoding,
    intake: Intake,
    counters: Counters,
    /// Its place among the counters.
    transport: usize,
    dropped: Dropped,
    /// The first datagram that is no batch is worth a warning; the next ones are counted.
    warned: AtomicBool,
}

/// Datagrams that were lost.
struct Dropped {
    queue_full: Counter,
    too_large: Counter,
    malformed: Counter,
}

// === impl Agent ===

impl Agent {
    pub(super) fn new(
        site: &Site,
        endpoint: &str,
        settings: &UdpSettings,
        encoding: Encoding,
        transport: usize,
    ) -> Agent {
        let family = site.context.metrics().counter_vec(
            "ferroalloy_otelcol_receiver_dropped_datagrams_total",
            "Datagrams that were not handed on.",
            &["receiver", "transport", "reason"],
        );
        let name = format!("jaeger/{}", site.context.id());
        let dropped = |reason| family.with(&[&name, TRANSPORTS[transport], reason]);
        Agent {
            name: match encoding {
                Encoding::Binary => "binary UDP",
                Encoding::Compact => "compact UDP",
            },
            endpoint: endpoint.to_owned(),
            settings: settings.clone(),
            encoding,
            intake: Intake { outputs: site.outputs.clone(), auth: None, include_metadata: false },
            counters: site.counters.clone(),
            transport,
            dropped: Dropped {
                queue_full: dropped("queue_full"),
                too_large: dropped("too_large"),
                malformed: dropped("malformed"),
            },
            warned: AtomicBool::new(false),
        }
    }

    /// Reads datagrams into the queue.
    async fn read(&self, socket: &UdpSocket, queue: &mpsc::Sender<Bytes>, stop: &Stop) {
        let longest = self.settings.max_packet_size.to_usize().unwrap_or(LARGEST).min(LARGEST);
        // One byte more tells a datagram that is too long from one that just fits.
        let mut datagram = vec![0; longest + 1];
        loop {
            let received = tokio::select! {
                received = socket.recv(&mut datagram) => received,
                () = stop.stopped() => return,
            };
            match received {
                Ok(length) if length > longest => self.dropped.too_large.inc(),
                Ok(length) => {
                    if queue.try_send(Bytes::copy_from_slice(&datagram[..length])).is_err() {
                        self.dropped.queue_full.inc();
                    }
                }
                Err(error) => tracing::debug!(%error, "cannot read a datagram"),
            }
        }
    }

    async fn hand_on(&self, datagram: &Bytes) {
        let malformed = match thrift::of_datagram(self.encoding, datagram) {
            Err(why) => why,
            Ok(payload) => {
                let counters = self.counters.of(self.transport);
                match self.intake.take(OtlpSignal::Traces, payload, Arc::new(Origin::default()), counters).await {
                    Ok(()) => return,
                    Err(Fault::Malformed(why)) => why,
                    Err(Fault::Refused(refused)) => {
                        tracing::debug!(error = refused.reason, "a datagram was refused, its spans are lost");
                        return;
                    }
                }
            }
        };
        self.dropped.malformed.inc();
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(error = malformed, "a datagram is no batch of Jaeger");
        } else {
            tracing::warn!(
                protocol = self.name,
                error = malformed,
                "a datagram is no batch of Jaeger; further ones are counted only"
            );
        }
    }
}

impl Serve for Agent {
    async fn serve(self: &Arc<Self>, context: &Context, health: &Health, stop: &Stop) {
        let socket = tokio::select! {
            socket = bind::<UdpSocket>(self.name, &self.endpoint, health) => socket,
            () = stop.stopped() => return,
        };
        if let Some(size) = self.settings.socket_buffer_size.to_usize().filter(|size| *size > 0)
            && let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(size)
        {
            tracing::warn!(endpoint = self.endpoint, size, %error, "cannot set the size of the socket's buffer");
        }
        let (sender, receiver) = mpsc::channel(usize::try_from(self.settings.queue_size).unwrap_or(0).max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let workers = task::Scope::new();
        for _ in 0..self.settings.workers {
            let (agent, receiver) = (self.clone(), receiver.clone());
            let work = async move {
                loop {
                    let next = receiver.lock().await.recv().await;
                    let Some(datagram) = next else { return };
                    agent.hand_on(&datagram).await;
                }
            };
            workers.spawn("jaeger agent", work.instrument(context.span().clone()));
        }
        self.read(&socket, &sender, stop).await;
        // The port is free before the last datagrams are handed on; that ends when the queue is empty and has no sender.
        drop((socket, sender));
        workers.close(stop.grace()).await;
    }
}

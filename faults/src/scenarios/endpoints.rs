//! A dead endpoint beside a living one.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sdk_testing::sink::{self, Answer, Protocol};

use super::RATE;
use crate::collector::said;
use crate::config::{self, Config, Keeping};
use crate::pushes::Kind;
use crate::site::{Site, Source};
use crate::{Outcome, Settings};

/// Where the dead one is.
#[derive(Clone, Copy)]
pub enum Where {
    /// A second endpoint of the same `loki.write`.
    SameComponent,
    /// A `loki.write` of its own.
    OtherComponent,
}

/// How it is dead.
#[derive(Clone, Copy)]
pub enum Dead {
    /// Connections are refused.
    Refuses,
    /// So to every request.
    Answers(Answer),
}

/// A line is late when it has not arrived by so much after it was written: batches wait 0.1 s, files are looked at each
/// 0.25 s.
const LATE: Duration = Duration::from_millis(800);

pub async fn one_dead(settings: Settings, wal: bool, place: Where, dead: Dead) -> Result<Outcome, String> {
    let site = Site::new(settings, wal, None).await?;
    let (dead, _held) = dead.port(Protocol::Loki).await?;
    let config = match place {
        Where::SameComponent => Config { endpoints: vec![dead, site.port], wal, ..Config::default() },
        Where::OtherComponent => Config { endpoints: vec![dead], wal, beside: vec![site.port], ..Config::default() },
    };
    site.configure(&config.text(site.log.path()))?;
    living_one(site).await
}

/// The same for samples, and a second endpoint of one `prometheus.remote_write`.
pub async fn one_dead_for_samples(settings: Settings, dead: Dead) -> Result<Outcome, String> {
    let site = Site::pushed(settings, Kind::Samples, Keeping::Memory).await?;
    let (dead, _held) = dead.port(Protocol::RemoteWrite).await?;
    site.configure(&config::samples(Keeping::Memory, &[dead, site.port], ""))?;
    living_one(site).await
}

impl Dead {
    /// Where it is, and what holds it there.
    async fn port(self, protocol: Protocol) -> Result<(u16, Option<tokio::net::TcpSocket>), String> {
        match self {
            Dead::Refuses => {
                // Bound, but not listening: refused, and nobody else gets the port.
                let held = tokio::net::TcpSocket::new_v4().map_err(said)?;
                held.bind(([127, 0, 0, 1], 0).into()).map_err(said)?;
                Ok((held.local_addr().map_err(said)?.port(), Some(held)))
            }
            Dead::Answers(answer) => {
                let (port, other) = sink::http(protocol).await.map_err(said)?;
                other.mood.set(answer);
                Ok((port, None))
            }
        }
    }
}

/// What the endpoint that lives was promised.
async fn living_one<W: Source>(site: Site<W>) -> Result<Outcome, String> {
    let collector = site.start().await?;
    let load = site.log.load(RATE);
    tokio::time::sleep(site.settings.time).await;
    let written = site.log.numbers().len() as u64;
    tokio::time::sleep(LATE).await;
    let in_time = site.tally.items.load(Relaxed).min(written) as f64 / written.max(1) as f64;
    load.stop();
    let outcome = site.all_arrive().await;
    let stopped_in = collector.stop().await?;
    let note = format!(
        "{:.1} % had arrived {} ms after the last was written; SIGTERM took {:.1} s",
        in_time * 100.0,
        LATE.as_millis(),
        stopped_in.as_secs_f64()
    );
    let keeps_up = in_time >= 0.99 || !site.settings.is_long();
    Ok(outcome
        .noting(note)
        .nothing_lost()
        .nothing_repeated()
        .promised(keeps_up, "the living endpoint did not keep 99 % of its rate"))
}

//! The list of all scenarios.

mod backend;
mod damage;
mod disk;
mod docker;
mod endpoints;
mod hostile;
mod kill;
mod overload;
mod reload;
mod rotation;
mod scrape;
mod stop;

use std::time::Duration;

use sdk_testing::sink::Answer;

use self::disk::Kill;
use self::endpoints::{Dead, Where};
use crate::config::Keeping;
use crate::log::Rotation;
use crate::pushes::{Kind, Pushes};
use crate::site::Site;
use crate::{Scenario, Settings};

/// Whether `loki.write` has `wal { enabled = true }`.
const WAL: bool = true;
const MEMORY: bool = false;

/// How an exporter of spans keeps them.
const QUEUE: Keeping = Keeping::Memory;
const BATCHES: Keeping = Keeping::Batches;
const STORAGE: Keeping = Keeping::Storage;

/// Lines a second, where there is no reason for more: a debug build beside other work must keep up.
const RATE: u64 = 2000;

const SLOW: Answer = Answer::Slow(Duration::from_millis(700));

macro_rules! scenario {
    ($name:literal, $title:literal, $run:expr) => {
        Scenario { name: $name, title: $title, long: false, run: |settings| Box::pin($run(settings)) }
    };
    (long $name:literal, $title:literal, $run:expr) => {
        Scenario { name: $name, title: $title, long: true, run: |settings| Box::pin($run(settings)) }
    };
}

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("kill", "`kill -9` at random moments under load", |s| kill::under_load(lines(s, MEMORY))),
    scenario!("kill-wal", "the same, with `wal`", |s| kill::under_load(lines(s, WAL))),
    scenario!("kill-outage", "`kill -9` while the sink comes and goes", |s| kill::in_outages(lines(s, MEMORY))),
    scenario!("kill-outage-wal", "the same, with `wal`", |s| kill::in_outages(lines(s, WAL))),
    scenario!("pushed-kill-wal", "lines that are pushed, with `wal`: `kill -9` under load", |s| kill::under_load(
        pushed(s)
    )),
    scenario!("pushed-kill-outage-wal", "the same, while the sink comes and goes", |s| kill::in_outages(pushed(s))),
    scenario!("stop", "SIGTERM under load, sink up", |s| stop::stops(lines(s, MEMORY), Answer::Well)),
    scenario!("stop-slow", "SIGTERM, sink slow", |s| stop::stops(lines(s, MEMORY), SLOW)),
    scenario!("stop-down", "SIGTERM, sink down", |s| stop::stops(lines(s, MEMORY), Answer::Status(503))),
    scenario!(long "stop-silent", "SIGTERM, sink takes connections and never answers", |s| stop::stops(lines(s, MEMORY),
        Answer::Silent
    )),
    scenario!(long "stop-wal", "SIGTERM, sink up, with `wal`", |s| stop::stops(lines(s, WAL), Answer::Well)),
    scenario!("stop-down-wal", "SIGTERM, sink down, with `wal`", |s| stop::stops(lines(s, WAL), Answer::Status(503))),
    scenario!("outage", "sink down, then back", |s| backend::outage(lines(s, MEMORY))),
    scenario!(long "outage-wal", "the same, with `wal`", |s| backend::outage(lines(s, WAL))),
    scenario!("429", "sink answers 429 now and then", |s| backend::moods(lines(s, MEMORY), Answer::Status(429))),
    scenario!("429-later", "429 with `Retry-After: 1`", |s| backend::moods(lines(s, MEMORY), Answer::Later(429, 1))),
    scenario!("500", "sink answers 500 now and then", |s| backend::moods(lines(s, MEMORY), Answer::Status(500))),
    scenario!("400-entries", "400 for single entries", |s| backend::moods(lines(s, MEMORY), Answer::RefusesEach(5003))),
    scenario!("400", "400 for whole requests", |s| backend::moods(lines(s, MEMORY), Answer::RefusesAll)),
    scenario!("hangs-up", "sink closes connections without an answer", |s| backend::moods(
        lines(s, MEMORY),
        Answer::HangsUp
    )),
    scenario!(long "silent", "sink never answers, now and then", |s| backend::moods(lines(s, MEMORY), Answer::Silent)),
    scenario!(long "moods-wal", "500 now and then, with `wal`", |s| backend::moods(lines(s, WAL), Answer::Status(500))),
    scenario!("dead-endpoint", "two endpoints, one refuses connections", |s| endpoints::one_dead(
        s,
        MEMORY,
        Where::SameComponent,
        Dead::Refuses
    )),
    scenario!(long "dead-endpoint-wal", "the same, with `wal`", |s| endpoints::one_dead(
        s,
        WAL,
        Where::SameComponent,
        Dead::Refuses
    )),
    scenario!(long "silent-endpoint", "two endpoints, one never answers", |s| endpoints::one_dead(
        s,
        MEMORY,
        Where::SameComponent,
        Dead::Answers(Answer::Silent)
    )),
    scenario!(long "busy-endpoint", "two endpoints, one answers 503", |s| endpoints::one_dead(
        s,
        MEMORY,
        Where::SameComponent,
        Dead::Answers(Answer::Status(503))
    )),
    scenario!("dead-component", "two `loki.write`, one refused", |s| endpoints::one_dead(
        s,
        MEMORY,
        Where::OtherComponent,
        Dead::Refuses
    )),
    scenario!("disk-full", "state directory full and freed, sink down meanwhile", |s| disk::full(
        lines(s, MEMORY),
        Kill::Never
    )),
    scenario!(long "disk-full-wal", "the same, with `wal`", |s| disk::full(lines(s, WAL), Kill::Never)),
    scenario!("disk-full-kill", "the same, and `kill -9` while it is full", |s| disk::full(
        lines(s, MEMORY),
        Kill::WhileFull
    )),
    scenario!(long "disk-full-kill-wal", "the same, with `wal`", |s| disk::full(lines(s, WAL), Kill::WhileFull)),
    scenario!(long "disk-room-kill", "the same, and `kill -9` when there is room again and the sink is down still", |s| {
        disk::full(lines(s, MEMORY), Kill::WithRoomAgain)
    }),
    scenario!(long "pushed-disk-room-kill-wal", "the same, of lines that are pushed, with `wal`", |s| disk::full(
        pushed(s),
        Kill::WithRoomAgain
    )),
    scenario!("damage-positions", "positions file emptied, cut, flipped, random", damage::positions),
    scenario!(long "damage-queue", "each queue file emptied, cut, flipped, random", |s| damage::queue(lines(s, MEMORY))),
    scenario!(long "damage-queue-wal", "the same, with `wal`", |s| damage::queue(lines(s, WAL))),
    scenario!("rename", "rotation by rename, ten a second", |s| rotation::storm(s, MEMORY, Rotation::Rename)),
    scenario!(long "rename-late", "the same, and the writer is late", |s| rotation::storm(
        s,
        MEMORY,
        Rotation::RenameLate
    )),
    scenario!("delete", "delete and create, ten a second", |s| rotation::storm(s, MEMORY, Rotation::Delete)),
    scenario!("gzip", "rename and gzip, ten a second", |s| rotation::storm(s, MEMORY, Rotation::Gzip)),
    scenario!("link", "the name is a link that moves, ten a second", |s| rotation::storm(s, MEMORY, Rotation::Link)),
    scenario!("copytruncate", "copy and truncate, each second", |s| rotation::storm(s, MEMORY, Rotation::CopyTruncate)),
    scenario!(long "copytruncate-race", "the same, and the writer does not wait", |s| rotation::storm(
        s,
        MEMORY,
        Rotation::CopyTruncateRace
    )),
    scenario!(long "rename-wal", "rotation by rename, with `wal`", |s| rotation::storm(s, WAL, Rotation::Rename)),
    scenario!("rename-down", "renamed while we are stopped", |s| rotation::while_down(s, Rotation::Rename)),
    scenario!("gzip-down", "renamed and compressed while we are stopped", |s| rotation::while_down(s, Rotation::Gzip)),
    scenario!(long "link-down", "the name is a link that moves while we are stopped", |s| rotation::while_down(
        s,
        Rotation::Link
    )),
    scenario!("copytruncate-down", "copied and truncated while we are stopped", |s| rotation::while_down(
        s,
        Rotation::CopyTruncate
    )),
    scenario!("rename-kill", "`kill -9` while the log is renamed ten times a second", |s| rotation::killed(
        s,
        MEMORY,
        Rotation::Rename
    )),
    scenario!(long "rename-kill-wal", "the same, with `wal`", |s| rotation::killed(s, WAL, Rotation::Rename)),
    scenario!(long "gzip-kill", "the same, renamed and compressed", |s| rotation::killed(s, MEMORY, Rotation::Gzip)),
    scenario!("reload", "reloads without a pause, every tenth configuration broken", |s| reload::storm(s, MEMORY)),
    scenario!(long "reload-wal", "the same, with `wal`", |s| reload::storm(s, WAL)),
    scenario!(long "docker", "Docker: containers stop and start", |s| docker::restarts(s, false)),
    scenario!(long "docker-kill", "the same, and `kill -9` while one is stopped", |s| docker::restarts(s, true)),
    scenario!("docker-engine", "Docker: the engine restarts", docker::engine_restarts),
    scenario!("reload-leftovers", "200 reloads, and what they leave behind in the process", reload::leftovers),
    scenario!("relabel", "a label of the target changes with each reload", reload::labels),
    scenario!("spans-kill", "spans in a durable queue: `kill -9` under load", |s| kill::under_load(spans(s, STORAGE))),
    scenario!("spans-kill-outage", "the same, while the backend comes and goes", |s| kill::in_outages(spans(
        s, STORAGE
    ))),
    scenario!("spans-stop", "spans: SIGTERM under load, backend up", |s| stop::stops(spans(s, QUEUE), Answer::Well)),
    scenario!("spans-stop-down", "spans: SIGTERM, backend down", |s| stop::stops(spans(s, QUEUE), Answer::Status(503))),
    scenario!("spans-stop-down-batch", "the same, behind a batch processor", |s| stop::stops(
        spans(s, BATCHES),
        Answer::Status(503)
    )),
    scenario!(long "spans-stop-silent", "spans: SIGTERM, backend takes connections and never answers", |s| stop::stops(
        spans(s, QUEUE),
        Answer::Silent
    )),
    scenario!("spans-outage", "spans: backend down, then back", |s| backend::outage(spans(s, QUEUE))),
    scenario!("spans-outage-batch", "the same, behind a batch processor", |s| backend::outage(spans(s, BATCHES))),
    scenario!(long "spans-429", "spans: 429 with `Retry-After: 1`", |s| backend::moods(
        spans(s, QUEUE),
        Answer::Later(429, 1)
    )),
    scenario!("spans-503", "spans: backend answers 503 now and then", |s| backend::moods(
        spans(s, QUEUE),
        Answer::Status(503)
    )),
    scenario!("spans-400", "spans: 400 for whole requests", |s| backend::moods(spans(s, QUEUE), Answer::RefusesAll)),
    scenario!("spans-hangs-up", "spans: backend closes connections without an answer", |s| backend::moods(
        spans(s, QUEUE),
        Answer::HangsUp
    )),
    scenario!("spans-slow", "spans: backend answers late", |s| backend::moods(spans(s, QUEUE), SLOW)),
    scenario!("spans-overload", "spans: twice what the backend takes", |s| overload::twice(s, false)),
    scenario!("spans-overload-batch", "the same, behind a batch processor", |s| overload::twice(s, true)),
    scenario!(
        "spans-dead-network",
        "spans: the network to the backend dies without a word",
        |s| hostile::dead_network(s, false)
    ),
    scenario!(long "spans-dead-network-grpc", "the same by gRPC", |s| hostile::dead_network(s, true)),
    scenario!("half-open", "clients vanish in the middle of a request", hostile::half_open),
    scenario!("rapid-reset", "HTTP/2 rapid reset", hostile::rapid_reset),
    scenario!("bombs", "bombs: bodies that become too large, in each coding of HTTP and gRPC", hostile::bombs),
    scenario!("records-kill", "log records in a durable queue: `kill -9` under load", |s| kill::under_load(records(
        s, STORAGE
    ))),
    scenario!(long "records-kill-outage", "log records in a durable queue: `kill -9` while the backend comes and goes", |s| {
        kill::in_outages(records(s, STORAGE))
    }),
    scenario!(long "records-stop-down", "log records: SIGTERM, backend down", |s| stop::stops(
        records(s, QUEUE),
        Answer::Status(503)
    )),
    scenario!("points-kill", "data points in a durable queue: `kill -9` under load", |s| kill::under_load(points(
        s, STORAGE
    ))),
    scenario!(long "points-kill-outage", "data points in a durable queue: `kill -9` while the backend comes and goes", |s| {
        kill::in_outages(points(s, STORAGE))
    }),
    scenario!(long "points-stop-down", "data points: SIGTERM, backend down", |s| stop::stops(
        points(s, QUEUE),
        Answer::Status(503)
    )),
    scenario!("samples-kill", "samples: `kill -9` under load", |s| kill::under_load(samples(s))),
    scenario!(long "samples-kill-fill", "samples: `kill -9` while requests fill for 5 s", |s| kill::under_load(filling(s))),
    scenario!("samples-kill-outage", "samples: `kill -9` while the backend comes and goes", |s| kill::in_outages(
        filling(s)
    )),
    scenario!("samples-stop", "samples: SIGTERM under load, backend up", |s| stop::stops(samples(s), Answer::Well)),
    scenario!("samples-stop-down", "samples: SIGTERM, backend down", |s| stop::stops(samples(s), Answer::Status(503))),
    scenario!(long "samples-stop-silent", "samples: SIGTERM, backend takes connections and never answers", |s| stop::stops(
        samples(s),
        Answer::Silent
    )),
    scenario!("samples-outage", "samples: backend down, then back", |s| backend::outage(samples(s))),
    scenario!("samples-outage-kill", "samples: backend down, then back, and `kill -9` meanwhile", |s| {
        backend::outage_with_kill(filling(s))
    }),
    scenario!(long "samples-429", "samples: 429 with `Retry-After: 1`", |s| backend::moods(
        samples(s),
        Answer::Later(429, 1)
    )),
    scenario!("samples-500", "samples: backend answers 500 now and then", |s| backend::moods(
        samples(s),
        Answer::Status(500)
    )),
    scenario!("samples-400", "samples: 400 for whole requests", |s| backend::moods(samples(s), Answer::RefusesAll)),
    scenario!("samples-415", "samples: backend knows version 1 alone, and is sent version 2", backend::older),
    scenario!("samples-dead-endpoint", "samples: two endpoints, one refuses connections", |s| {
        endpoints::one_dead_for_samples(s, Dead::Refuses)
    }),
    scenario!(long "samples-silent-endpoint", "samples: two endpoints, one never answers", |s| {
        endpoints::one_dead_for_samples(s, Dead::Answers(Answer::Silent))
    }),
    scenario!("samples-disk-full", "samples: state directory full and freed, backend down meanwhile", |s| disk::full(
        samples(s),
        Kill::Never
    )),
    scenario!("samples-disk-room-kill", "samples: the same, and `kill -9` when there is room again", |s| disk::full(
        samples(s),
        Kill::WithRoomAgain
    )),
    scenario!(long "samples-damage-queue", "samples: each file of the queue and the journal emptied, cut, flipped, random", |s| {
        damage::queue(samples(s))
    }),
    scenario!("scrape-hostile", "scrape: targets that mean harm beside one that does not", scrape::hostile),
    scenario!("scrape-reload", "scrape: reloads without a pause, every tenth configuration broken", scrape::reloads),
    scenario!("samples-hangs-up", "samples: backend closes connections without an answer", |s| backend::moods(
        samples(s),
        Answer::HangsUp
    )),
];

async fn lines(settings: Settings, wal: bool) -> Result<Site, String> {
    Site::new(settings, wal, None).await
}

/// To `loki.source.api`, with `wal`.
async fn pushed(settings: Settings) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Lines, STORAGE).await
}

async fn spans(settings: Settings, keeping: Keeping) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Spans, keeping).await
}

async fn records(settings: Settings, keeping: Keeping) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Records, keeping).await
}

async fn points(settings: Settings, keeping: Keeping) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Points, keeping).await
}

async fn samples(settings: Settings) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Samples, QUEUE).await
}

async fn filling(settings: Settings) -> Result<Site<Pushes>, String> {
    Site::pushed(settings, Kind::Samples, BATCHES).await
}

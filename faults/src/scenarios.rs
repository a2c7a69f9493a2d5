//! The list of all scenarios.

mod backend;
mod damage;
mod disk;
mod docker;
mod endpoints;
mod kill;
mod reload;
mod rotation;
mod stop;

use std::time::Duration;

use sdk_testing::sink::Answer;

use self::endpoints::{Dead, Where};
use crate::Scenario;
use crate::log::Rotation;

/// Whether `loki.write` has `wal { enabled = true }`.
const WAL: bool = true;
const MEMORY: bool = false;

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
    scenario!("kill", "`kill -9` at random moments under load", |s| kill::under_load(s, MEMORY)),
    scenario!("kill-wal", "the same, with `wal`", |s| kill::under_load(s, WAL)),
    scenario!("kill-outage", "`kill -9` while the sink comes and goes", |s| kill::in_outages(s, MEMORY)),
    scenario!("kill-outage-wal", "the same, with `wal`", |s| kill::in_outages(s, WAL)),
    scenario!("stop", "SIGTERM under load, sink up", |s| stop::stops(s, MEMORY, Answer::Well)),
    scenario!("stop-slow", "SIGTERM, sink slow", |s| stop::stops(s, MEMORY, SLOW)),
    scenario!("stop-down", "SIGTERM, sink down", |s| stop::stops(s, MEMORY, Answer::Status(503))),
    scenario!(long "stop-silent", "SIGTERM, sink takes connections and never answers", |s| stop::stops(
        s,
        MEMORY,
        Answer::Silent
    )),
    scenario!(long "stop-wal", "SIGTERM, sink up, with `wal`", |s| stop::stops(s, WAL, Answer::Well)),
    scenario!("stop-down-wal", "SIGTERM, sink down, with `wal`", |s| stop::stops(s, WAL, Answer::Status(503))),
    scenario!("outage", "sink down, then back", |s| backend::outage(s, MEMORY)),
    scenario!(long "outage-wal", "the same, with `wal`", |s| backend::outage(s, WAL)),
    scenario!("429", "sink answers 429 now and then", |s| backend::moods(s, MEMORY, Answer::Status(429))),
    scenario!("429-later", "429 with `Retry-After: 1`", |s| backend::moods(s, MEMORY, Answer::Later(429, 1))),
    scenario!("500", "sink answers 500 now and then", |s| backend::moods(s, MEMORY, Answer::Status(500))),
    scenario!("400-entries", "400 for single entries", |s| backend::moods(s, MEMORY, Answer::RefusesEach(5003))),
    scenario!("400", "400 for whole requests", |s| backend::moods(s, MEMORY, Answer::RefusesAll)),
    scenario!("hangs-up", "sink closes connections without an answer", |s| backend::moods(s, MEMORY, Answer::HangsUp)),
    scenario!(long "silent", "sink never answers, now and then", |s| backend::moods(s, MEMORY, Answer::Silent)),
    scenario!(long "moods-wal", "500 now and then, with `wal`", |s| backend::moods(s, WAL, Answer::Status(500))),
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
    scenario!("disk-full", "state directory full and freed, sink down meanwhile", |s| disk::full(s, MEMORY, false)),
    scenario!(long "disk-full-wal", "the same, with `wal`", |s| disk::full(s, WAL, false)),
    scenario!("disk-full-kill", "the same, and `kill -9` while it is full", |s| disk::full(s, MEMORY, true)),
    scenario!(long "disk-full-kill-wal", "the same, with `wal`", |s| disk::full(s, WAL, true)),
    scenario!("damage-positions", "positions file emptied, cut, flipped, random", damage::positions),
    scenario!(long "damage-queue", "each queue file emptied, cut, flipped, random", |s| damage::queue(s, MEMORY)),
    scenario!(long "damage-queue-wal", "the same, with `wal`", |s| damage::queue(s, WAL)),
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
];

//! Which containers ran a moment ago: who wants their logs needs longer than they lived.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sdk_docker::Container;
use tokio::time::Instant;

/// Containers that were seen running, or heard of as started.
#[derive(Default)]
pub(super) struct Memory {
    known: HashMap<String, Known>,
}

struct Known {
    /// As it was when it ran, if anybody saw it.
    container: Option<Container>,
    /// When it was last known to run.
    last: Instant,
}

impl Memory {
    /// The engine says that this one has started.
    pub(super) fn started(&mut self, id: String, now: Instant) {
        let known = self.known.entry(id).or_insert(Known { container: None, last: now });
        known.last = now;
    }

    /// Those that have started and do not run any more, of which nothing else is known.
    pub(super) fn missed(&self, running: &[Container]) -> Vec<String> {
        let running: HashSet<&str> = running.iter().map(|container| &container.id[..]).collect();
        let unseen = self.known.iter().filter(|(id, known)| known.container.is_none() && !running.contains(&id[..]));
        unseen.map(|(id, _)| id.clone()).collect()
    }

    /// What the engine knows of those; it knows nothing of one that was removed.
    pub(super) fn ended(&mut self, ended: &[Container]) {
        for container in ended {
            if let Some(known) = self.known.get_mut(&container.id) {
                known.container = Some(container.clone());
            }
        }
        self.known.retain(|_, known| known.container.is_some());
    }

    /// Remembers those that run, and adds those that ran less than `keep` ago.
    pub(super) fn complete(&mut self, containers: &mut Vec<Container>, now: Instant, keep: Duration) {
        for container in &*containers {
            self.known.insert(container.id.clone(), Known { container: Some(container.clone()), last: now });
        }
        let running: HashSet<String> = containers.iter().map(|container| container.id.clone()).collect();
        self.known.retain(|id, known| running.contains(id) || now.duration_since(known.last) < keep);
        let ended = self.known.iter().filter(|(id, _)| !running.contains(*id));
        containers.extend(ended.filter_map(|(_, known)| known.container.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str) -> Container {
        serde_json::from_value(serde_json::json!({ "Id": id })).expect("a container")
    }

    fn ids(containers: &[Container]) -> Vec<&str> {
        containers.iter().map(|container| &container.id[..]).collect()
    }

    #[tokio::test]
    async fn who_ended_stays_for_a_round() {
        let (mut memory, keep, start) = (Memory::default(), Duration::from_secs(60), Instant::now());
        memory.complete(&mut vec![container("a")], start, keep);
        let mut found = vec![];
        memory.complete(&mut found, start + Duration::from_secs(59), keep);
        assert_eq!(ids(&found), ["a"]);
        let mut found = vec![];
        memory.complete(&mut found, start + Duration::from_secs(60), keep);
        assert!(found.is_empty());
    }

    #[tokio::test]
    async fn who_started_and_ended_unseen_is_asked_for_once() {
        let (mut memory, keep, now) = (Memory::default(), Duration::from_secs(60), Instant::now());
        memory.started("short".to_owned(), now);
        memory.started("removed".to_owned(), now);
        memory.started("runs".to_owned(), now);
        let mut running = vec![container("runs")];
        let mut missed = memory.missed(&running);
        missed.sort();
        assert_eq!(missed, ["removed", "short"]);
        memory.complete(&mut running, now, keep);
        memory.ended(&[container("short")]);
        assert!(memory.missed(&running).is_empty());
        let mut found = vec![container("runs")];
        memory.complete(&mut found, now, keep);
        assert_eq!(ids(&found), ["runs", "short"]);
    }
}

//! Requests of which one half has come.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

/// What the two halves of a request have in common: the trace, and the client's span.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    trace: [u8; 16],
    pub span: [u8; 8],
}

/// A request.
#[derive(Default)]
pub(super) struct Edge {
    /// Empty as long as it has not come.
    pub client: String,
    /// Empty as long as it has not come.
    pub server: String,
    pub client_seconds: f64,
    pub server_seconds: f64,
    pub connection: Connection,
    /// On either side.
    pub failed: bool,
    /// For each name the client's and the server's.
    pub dimensions: Vec<Option<String>>,
    /// Whom the client says it calls, and the place of the attribute that says it.
    pub peer: Option<(usize, String)>,
}

/// Between what the request was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Connection {
    #[default]
    Unknown,
    Messaging,
    Database,
    VirtualNode,
}

/// Halves that wait, those that came first in front.
pub(super) struct Edges {
    waiting: BTreeMap<u64, (Key, Instant, Edge)>,
    places: HashMap<Key, u64>,
    /// Of the next.
    place: u64,
    most: usize,
    wait: Duration,
}

/// What became of a half.
pub(super) enum Stored {
    /// It waits.
    New,
    /// It was a half that waits.
    Known,
    /// It has found the other, or needs none.
    Complete { edge: Edge, new: bool },
    /// Too many wait.
    NoRoom,
}

// === impl Key ===

impl Key {
    /// Of ids; one that has not its length is cut or filled with zeros.
    pub(super) fn new(trace: &[u8], span: &[u8]) -> Key {
        fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
            std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
        }
        Key { trace: id(trace), span: id(span) }
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn text(self) -> &'static str {
        match self {
            Connection::Unknown => "",
            Connection::Messaging => "messaging_system",
            Connection::Database => "database",
            Connection::VirtualNode => "virtual_node",
        }
    }
}

// === impl Edge ===

impl Edge {
    fn is_complete(&self) -> bool {
        !self.client.is_empty() && !self.server.is_empty()
    }
}

// === impl Edges ===

impl Edges {
    pub(super) fn new(most: usize, wait: Duration) -> Edges {
        Edges { waiting: BTreeMap::new(), places: HashMap::new(), place: 0, most, wait }
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.most
    }

    /// Adds a half to the other, or lets it wait for it.
    pub(super) fn upsert(&mut self, key: Key, now: Instant, add: impl FnOnce(&mut Edge)) -> Stored {
        if let Some(place) = self.places.get(&key).copied() {
            let Some((_, _, edge)) = self.waiting.get_mut(&place) else { return Stored::NoRoom };
            add(edge);
            if !edge.is_complete() {
                return Stored::Known;
            }
            self.places.remove(&key);
            let edge = self.waiting.remove(&place).map(|(_, _, edge)| edge).unwrap_or_default();
            return Stored::Complete { edge, new: false };
        }
        let mut edge = Edge::default();
        add(&mut edge);
        if edge.is_complete() {
            return Stored::Complete { edge, new: true };
        }
        if self.is_full() {
            return Stored::NoRoom;
        }
        self.places.insert(key, self.place);
        self.waiting.insert(self.place, (key, now, edge));
        self.place += 1;
        Stored::New
    }

    /// One that has waited for too long.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(Key, Edge)> {
        let first = self.waiting.first_entry()?;
        if now.duration_since(first.get().1) <= self.wait {
            return None;
        }
        let (key, _, edge) = first.remove();
        self.places.remove(&key);
        Some((key, edge))
    }
}

//! The traces that wait, and the decisions that are remembered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use tokio::time::Instant;

use super::arguments::Arguments;
use super::counters::Counters;

type Id = [u8; 16];

/// Spans of one trace out of one request.
pub(super) struct Arrival {
    pub id: Id,
    pub payload: Bytes,
    pub spans: u64,
    pub root: bool,
}

/// A trace that waits.
pub(super) struct Held {
    pub id: Id,
    pub payload: Vec<Bytes>,
    pub spans: u64,
    pub arrived: Instant,
    bytes: u64,
    /// The tick at which it is decided.
    due: u64,
}

/// What became of an arrival.
pub(super) enum Taken {
    /// It waits with its trace.
    Held,
    /// Its trace was dropped before.
    Dropped,
    /// Its trace was kept before.
    Late(Bytes),
    /// There is no room.
    Full(Arrival),
}

/// All traces of a processor.
pub(super) struct Store {
    pending: HashMap<Id, Held>,
    /// Ids in the order of their arrival, those that are gone included.
    arrivals: VecDeque<Id>,
    /// Ids by the tick at which they are decided; some have moved to an earlier one.
    schedule: BTreeMap<u64, Vec<Id>>,
    /// Ticks that have passed.
    ticks: u64,
    /// Ticks from the arrival to the decision.
    wait: u64,
    wait_after_root: u64,
    max_traces: usize,
    /// 0 is no limit.
    max_bytes: u64,
    sampled: Memory,
    not_sampled: Memory,
    /// Decisions without a cache, beside the traces that wait.
    decided: Memory,
}

/// A decision and when it was taken.
#[derive(Clone, Copy)]
struct Decision {
    sampled: bool,
    at: Instant,
}

/// So many decisions, the one that was used last goes last.
struct Memory {
    capacity: usize,
    found: HashMap<Id, (Decision, u64)>,
    /// Uses, oldest first; all but the last of an id are stale.
    uses: VecDeque<(Id, u64)>,
    clock: u64,
}

// === impl Store ===

impl Store {
    pub(super) fn new(arguments: &Arguments) -> Store {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let seconds = |nanoseconds: i64| u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0);
        Store {
            pending: HashMap::new(),
            arrivals: VecDeque::new(),
            schedule: BTreeMap::new(),
            ticks: 0,
            wait: seconds(arguments.decision_wait.0).max(1),
            wait_after_root: seconds(arguments.decision_wait_after_root_received.0),
            max_traces: size(arguments.num_traces),
            max_bytes: arguments.maximum_trace_size_bytes,
            sampled: Memory::new(size(arguments.decision_cache.sampled_cache_size)),
            not_sampled: Memory::new(size(arguments.decision_cache.non_sampled_cache_size)),
            decided: Memory::new(usize::MAX),
        }
    }

    /// Traces that wait, and decisions that count as such.
    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.decided.found.len()
    }

    pub(super) fn take(&mut self, arrival: Arrival, block: bool, counters: &Counters) -> Taken {
        let Arrival { id, payload, spans, root } = arrival;
        for cache in [&mut self.sampled, &mut self.not_sampled] {
            if let Some(decision) = cache.recall(&id) {
                counters.early(decision.sampled, spans);
                return if decision.sampled { Taken::Late(payload) } else { Taken::Dropped };
            }
        }
        if let Some(decision) = self.decided.recall(&id) {
            counters.late_span_age.observe(decision.at.elapsed().as_secs() as f64);
            return if decision.sampled { Taken::Late(payload) } else { Taken::Dropped };
        }
        if !self.pending.contains_key(&id) {
            if !self.make_room(block, counters) {
                return Taken::Full(Arrival { id, payload, spans, root });
            }
            counters.new_traces.inc();
            // The tick under way was about to close: a trace waits for whole ones.
            let due = self.ticks + self.wait + 1;
            self.schedule.entry(due).or_default().push(id);
            self.arrivals.push_back(id);
            let held = Held { id, payload: Vec::new(), spans: 0, arrived: Instant::now(), bytes: 0, due };
            self.pending.insert(id, held);
        }
        let Some(held) = self.pending.get_mut(&id) else { return Taken::Dropped };
        held.spans += spans;
        held.bytes += payload.len() as u64;
        if self.max_bytes > 0 && held.bytes > self.max_bytes {
            counters.too_large.inc();
            self.pending.remove(&id);
            self.remember(id, false);
            return Taken::Dropped;
        }
        held.payload.push(payload);
        let after_root = self.ticks + self.wait_after_root + 1;
        if root && self.wait_after_root > 0 && after_root < held.due {
            held.due = after_root;
            self.schedule.entry(after_root).or_default().push(id);
        }
        Taken::Held
    }

    /// Whether there is room for another trace.
    fn make_room(&mut self, block: bool, counters: &Counters) -> bool {
        while self.len() >= self.max_traces {
            // What is decided is only remembered as a favour.
            if self.decided.forget_oldest() {
                continue;
            }
            if block {
                return false;
            }
            let Some(oldest) = self.arrivals.pop_front() else { return true };
            if let Some(held) = self.pending.remove(&oldest) {
                counters.too_early.inc();
                counters.removal_age.observe(held.arrived.elapsed().as_secs() as f64);
            }
        }
        true
    }

    /// Another tick has passed: the traces whose time has come.
    pub(super) fn due(&mut self) -> Vec<Held> {
        self.ticks += 1;
        let later = self.schedule.split_off(&(self.ticks + 1));
        let now = std::mem::replace(&mut self.schedule, later);
        let ticks = self.ticks;
        let is_due = |id: &Id, pending: &HashMap<Id, Held>| pending.get(id).is_some_and(|held| held.due <= ticks);
        let due = now.into_values().flatten();
        let due: Vec<Held> =
            due.filter_map(|id| if is_due(&id, &self.pending) { self.pending.remove(&id) } else { None }).collect();
        while self.arrivals.front().is_some_and(|id| !self.pending.contains_key(id)) {
            self.arrivals.pop_front();
        }
        due
    }

    /// All traces that wait, in the order in which they came.
    pub(super) fn all(&mut self) -> Vec<Held> {
        let mut all: Vec<Held> = self.pending.drain().map(|(_, held)| held).collect();
        all.sort_by_key(|held| held.arrived);
        all
    }

    pub(super) fn remember(&mut self, id: Id, sampled: bool) {
        let cache = if sampled { &mut self.sampled } else { &mut self.not_sampled };
        let memory = if cache.capacity > 0 { cache } else { &mut self.decided };
        memory.keep(id, Decision { sampled, at: Instant::now() });
    }
}

// === impl Memory ===

impl Memory {
    fn new(capacity: usize) -> Memory {
        Memory { capacity, found: HashMap::new(), uses: VecDeque::new(), clock: 0 }
    }

    fn recall(&mut self, id: &Id) -> Option<Decision> {
        let decision = self.found.get(id)?.0;
        self.keep(*id, decision);
        Some(decision)
    }

    fn keep(&mut self, id: Id, decision: Decision) {
        self.clock += 1;
        self.found.insert(id, (decision, self.clock));
        self.uses.push_back((id, self.clock));
        while self.found.len() > self.capacity {
            self.forget_oldest();
        }
        if self.uses.len() > 2 * self.found.len() + 16 {
            let found = &self.found;
            self.uses.retain(|(id, clock)| found.get(id).is_some_and(|(_, last)| last == clock));
        }
    }

    /// Whether there was anything to forget.
    fn forget_oldest(&mut self) -> bool {
        while let Some((id, clock)) = self.uses.pop_front() {
            if self.found.get(&id).is_some_and(|(_, last)| *last == clock) {
                self.found.remove(&id);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_forgets_what_was_not_used_for_longest() {
        let mut memory = Memory::new(2);
        let decision = |sampled| Decision { sampled, at: Instant::now() };
        for i in 0..100 {
            memory.keep([1; 16], decision(true));
            memory.keep([2; 16], decision(i % 2 == 0));
            assert!(memory.recall(&[1; 16]).is_some());
            memory.keep([3; 16], decision(true));
            assert!(memory.recall(&[2; 16]).is_none());
        }
        assert!(memory.uses.len() < 40, "{}", memory.uses.len());
    }
}

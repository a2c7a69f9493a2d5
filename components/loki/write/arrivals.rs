//! When the entries of requests came. It is known of requests that are in memory; of others, when the queue took them.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use super::lock;

/// More requests than this are rarely in memory. What is forgotten has come when the queue took it.
const MAX_REQUESTS: usize = 64;

/// So many entries came at that time, in milliseconds since 1970.
pub type Arrival = (i64, u32);

/// Requests on their way to the endpoint.
#[derive(Default)]
pub struct Arrivals(Mutex<VecDeque<Request>>);

struct Request {
    /// Where the body lies: no other one can as long as it is on its way.
    body: usize,
    entries: u64,
    arrivals: Vec<Arrival>,
}

/// So many entries more came now.
pub fn add(arrivals: &mut Vec<Arrival>, now_ms: i64, more: u32) {
    match arrivals.last_mut().filter(|(at, _)| *at == now_ms) {
        Some((_, entries)) => *entries += more,
        None if more > 0 => arrivals.push((now_ms, more)),
        None => {}
    }
}

// === impl Arrivals ===

impl Arrivals {
    /// A request goes to the queue.
    pub fn note(&self, body: &Bytes, entries: u32, arrivals: Vec<Arrival>) {
        let mut requests = lock(&self.0);
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(Request { body: body.as_ptr().addr(), entries: entries.into(), arrivals });
    }

    /// A request has come out of the queue: when its entries came, if that is known.
    pub fn take(&self, body: &Bytes, entries: u64) -> Option<Vec<Arrival>> {
        let mut requests = lock(&self.0);
        let at = requests.iter().position(|request| request.body == body.as_ptr().addr())?;
        // What the queue has dropped, or read from the disk again, lies where something else may lie now.
        requests.remove(at).filter(|request| request.entries == entries).map(|request| request.arrivals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_own_and_the_oldest_are_forgotten() {
        let arrivals = Arrivals::default();
        let bodies: Vec<Bytes> = (0..=MAX_REQUESTS).map(|number| Bytes::from(vec![0; number + 1])).collect();
        for (number, body) in bodies.iter().enumerate() {
            let mut came = Vec::new();
            [7, 7, 8 + number as i64].into_iter().for_each(|at| add(&mut came, at, 1));
            add(&mut came, 0, 0);
            arrivals.note(body, 3, came);
        }
        assert_eq!(arrivals.take(&bodies[0], 3), None);
        assert_eq!(arrivals.take(&bodies[2], 3), Some(vec![(7, 2), (10, 1)]));
        assert_eq!(arrivals.take(&bodies[2], 3), None);
        assert_eq!(arrivals.take(&bodies[1], 4), None, "another request lies there");
    }
}

//! The ring that tells the backend of a key: positions and probing of the Collector's, so that both choose the same backend.

/// Positions on the ring.
const POSITIONS: u32 = 131_071;
/// How many of them each backend wants.
const POINTS: u32 = 200;
/// A position that is taken: so many behind it are tried.
const PROBES: usize = 10;

/// Backends around a ring. The same list makes the same ring, in any order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    /// By position.
    points: Vec<(u32, usize)>,
    endpoints: Vec<String>,
}

// === impl Ring ===

impl Ring {
    pub(super) fn of(endpoints: &[String]) -> Ring {
        let mut endpoints = endpoints.to_vec();
        endpoints.sort();
        endpoints.dedup();
        let mut candidates: Vec<(u32, u32, usize)> = Vec::with_capacity(endpoints.len() * POINTS as usize);
        for (index, endpoint) in endpoints.iter().enumerate() {
            for point in 0..POINTS {
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(endpoint.as_bytes());
                hasher.update(&point.to_le_bytes());
                let hash = hasher.finalize();
                candidates.push((hash % POSITIONS, hash, index));
            }
        }
        // Endpoints are sorted: their index orders as they do.
        candidates.sort_unstable();
        let mut taken = vec![false; POSITIONS as usize];
        let mut points = Vec::with_capacity(candidates.len());
        for (wanted, _, index) in candidates {
            let mut tried = (0..PROBES).map(|step| (wanted as usize + step) % POSITIONS as usize);
            // Where all are taken, the ring is full enough.
            if let Some(free) = tried.find(|position| !taken[*position]) {
                taken[free] = true;
                points.push((free as u32, index));
            }
        }
        points.sort_unstable();
        Ring { points, endpoints }
    }

    /// The backend of a key: the one at its position, or the next one around. `None` when there is none at all.
    pub(super) fn endpoint(&self, key: &[u8]) -> Option<&str> {
        let position = crc32fast::hash(key) % POSITIONS;
        let next = self.points.partition_point(|(point, _)| *point < position);
        let (_, index) = self.points.get(next).or(self.points.first())?;
        Some(&self.endpoints[*index])
    }

    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_order_of_the_list_does_not_matter_and_every_backend_gets_its_part() {
        let ring = Ring::of(&list(&["a:1", "b:1", "c:1"]));
        assert_eq!(ring, Ring::of(&list(&["c:1", "a:1", "b:1", "a:1"])));
        let mut counts = [0; 3];
        for key in 0..30_000u32 {
            let endpoint = ring.endpoint(&key.to_be_bytes()).unwrap();
            counts[ring.endpoints.iter().position(|other| other == endpoint).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 6_000), "{counts:?}");
        assert_eq!(Ring::default().endpoint(b"x"), None);
    }

    #[test]
    fn keys_have_the_backends_that_the_collector_gives_them() {
        let ring = Ring::of(&list(&["endpoint-1", "endpoint-2"]));
        for (key, endpoint) in [
            (&[1, 2, 0, 0][..], "endpoint-2"),
            (&[128, 128, 0, 0], "endpoint-1"),
            (b"ad-service-7", "endpoint-2"),
            (b"get-recommendations-1", "endpoint-2"),
        ] {
            assert_eq!(ring.endpoint(key), Some(endpoint), "{key:?}");
        }
    }

    #[test]
    fn a_backend_that_goes_moves_only_its_own_keys() {
        let (before, after) = (Ring::of(&list(&["a:1", "b:1", "c:1"])), Ring::of(&list(&["a:1", "c:1"])));
        let moved = (0..10_000u32).map(u32::to_be_bytes).filter(|key| {
            let old = before.endpoint(key).unwrap();
            old != "b:1" && after.endpoint(key).unwrap() != old
        });
        // A few positions were its neighbours' by probing.
        assert!(moved.count() < 100);
    }
}

//! Names that stand for several addresses: each connection goes to one of them, chosen at random.

use std::net::SocketAddr;

use base_sys::chance::Chance;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves as the system does, and puts the addresses in an order of chance. The others are tried if the first does not
/// answer.
pub(super) struct AtRandom;

impl Resolve for AtRandom {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            shuffle(&mut addresses, &mut Chance::new());
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn shuffle<T>(all: &mut [T], chance: &mut Chance) {
    for last in (1..all.len()).rev() {
        all.swap(last, (chance.number() % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_comes_first_now_and_then() {
        let mut chance = Chance::new();
        let mut first = [0; 4];
        for _ in 0..4000 {
            let mut all = [0, 1, 2, 3];
            shuffle(&mut all, &mut chance);
            first[all[0]] += 1;
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
        }
        assert!(first.iter().all(|count| (700..1300).contains(count)), "{first:?}");
    }
}

//! How much entropy the kernel's random numbers have.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Entropy {
    available: Source,
    pool: Source,
}

impl Entropy {
    pub fn new(paths: &Paths) -> Entropy {
        let random = paths.procfs.join("sys/kernel/random");
        Entropy {
            available: Source::single(random.join("entropy_avail")),
            pool: Source::single(random.join("poolsize")),
        }
    }
}

impl Collector for Entropy {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (source, name, help) in [
            (&mut self.available, "node_entropy_available_bits", "Bits of available entropy."),
            (&mut self.pool, "node_entropy_pool_size_bits", "Bits of entropy pool."),
        ] {
            let text = source.read(scratch);
            let path = source.path();
            let text = text.map_err(|error| Failure::reading(path, &error))?;
            page.gauge(name, help, number(text.trim(), path)?);
        }
        Ok(())
    }
}

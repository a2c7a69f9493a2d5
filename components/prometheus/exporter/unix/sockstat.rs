//! `/proc/net/sockstat` and `sockstat6`: sockets by protocol.

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Sockstat {
    tables: [Source; 2],
    page_bytes: f64,
}

impl Sockstat {
    pub fn new(paths: &Paths) -> Sockstat {
        let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
        let tables = ["net/sockstat", "net/sockstat6"].map(|name| Source::single(paths.procfs.join(name)));
        Sockstat { tables, page_bytes: page_bytes as f64 }
    }
}

impl Collector for Sockstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for source in &mut self.tables {
            let text = source.read(scratch);
            let path = source.path();
            let text = match text {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::reading(path, &error)),
            };
            for line in text.lines() {
                // `TCP: inuse 6 orphan 0 tw 0 alloc 6 mem 273`
                let (protocol, pairs) = line.split_once(':').ok_or_else(|| Failure::malformed(path, line))?;
                let mut fields = pairs.split_ascii_whitespace();
                while let (Some(state), Some(value)) = (fields.next(), fields.next()) {
                    let value = number(value, path)?;
                    if protocol == "sockets" {
                        page.gauge("node_sockstat_sockets_used", "Number of IPv4 sockets in use.", value);
                        continue;
                    }
                    write(page, protocol, state, value);
                    if state == "mem" {
                        write(page, protocol, "mem_bytes", value * self.page_bytes);
                    }
                }
            }
        }
        Ok(())
    }
}

fn write(page: &mut FamilyWriter<'_>, protocol: &str, state: &str, value: f64) {
    let name = format!("node_sockstat_{protocol}_{state}");
    page.gauge(&name, &format!("Number of {protocol} sockets in state {state}."), value);
}

//! `/proc/net/netstat`, `snmp` and `snmp6`: the protocols' own counters that the pattern lets through.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::{Pattern, Remembered};

pub(crate) struct Netstat {
    tables: [Source; 2],
    snmp6: Source,
    fields: Remembered,
}

impl Netstat {
    pub fn new(paths: &Paths, fields: Pattern) -> Netstat {
        let net = paths.procfs.join("net");
        Netstat {
            tables: ["netstat", "snmp"].map(|name| Source::single(net.join(name))),
            snmp6: Source::single(net.join("snmp6")),
            fields: Remembered::new(fields),
        }
    }
}

impl Collector for Netstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut place = 0;
        for source in &mut self.tables {
            let text = source.read(scratch);
            let path = source.path();
            let text = text.map_err(|error| Failure::reading(path, &error))?;
            // Pairs of lines: `Tcp: name name …`, `Tcp: value value …`.
            let mut lines = text.lines();
            while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
                let (protocol, names) = names.split_once(": ").ok_or_else(|| Failure::malformed(path, names))?;
                let (_, values) = values.split_once(": ").ok_or_else(|| Failure::malformed(path, values))?;
                if names.split(' ').count() != values.split(' ').count() {
                    return Err(Failure::malformed(path, protocol));
                }
                for (name, value) in names.split(' ').zip(values.split(' ')) {
                    if self.fields.is_match(place, &[protocol, "_", name]) {
                        write(page, protocol, name, number(value, path)?);
                    }
                    place += 1;
                }
            }
        }
        let text = self.snmp6.read(scratch);
        let path = self.snmp6.path();
        let text = match text {
            Ok(text) => text,
            // The kernel may be without IPv6.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::reading(path, &error)),
        };
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(key), Some(value)) = (fields.next(), fields.next()) else { continue };
            if let Some(six) = key.find('6') {
                let (protocol, name) = key.split_at(six + 1);
                if self.fields.is_match(place, &[protocol, "_", name]) {
                    write(page, protocol, name, number(value, path)?);
                }
                place += 1;
            }
        }
        Ok(())
    }
}

fn write(page: &mut FamilyWriter<'_>, protocol: &str, name: &str, value: f64) {
    let (family, help) = (format!("node_netstat_{protocol}_{name}"), format!("Statistic {protocol}{name}."));
    page.family(&family, &help, Kind::Untyped).sample(&[], value);
}

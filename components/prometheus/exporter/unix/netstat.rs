//! `/proc/net/netstat`, `snmp` and `snmp6`: the protocols' own counters that the pattern lets through.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};
use super::filter::Pattern;

pub(crate) struct Netstat {
    tables: [Source; 2],
    snmp6: Source,
    fields: Pattern,
}

impl Netstat {
    pub fn new(paths: &Paths, fields: Pattern) -> Netstat {
        let net = paths.procfs.join("net");
        Netstat {
            tables: ["netstat", "snmp"].map(|name| Source::single(net.join(name))),
            snmp6: Source::single(net.join("snmp6")),
            fields,
        }
    }
}

impl Collector for Netstat {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
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
                    write(page, &self.fields, protocol, name, number(value, path)?);
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
                write(page, &self.fields, protocol, name, number(value, path)?);
            }
        }
        Ok(())
    }
}

fn write(page: &mut FamilyWriter<'_>, fields: &Pattern, protocol: &str, name: &str, value: f64) {
    let key = format!("{protocol}_{name}");
    if fields.is_match(&key) {
        let (family, help) = (format!("node_netstat_{key}"), format!("Statistic {protocol}{name}."));
        page.family(&family, &help, Kind::Untyped).sample(&[], value);
    }
}

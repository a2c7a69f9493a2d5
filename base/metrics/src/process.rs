//! What our own process uses, as Prometheus clients (`process_*`) and Alloy (`alloy_resources_*`) name it. Read from
//! `/proc` when somebody looks; what cannot be read is left out.

use std::path::Path;

use crate::{FamilyWriter, Scope};

/// The kernel shows times to user space in hundredths of a second on every architecture.
const USER_HZ: f64 = 100.0;
/// What an unlimited limit looks like: 2^64, as in the Go client.
const UNLIMITED: f64 = u64::MAX as f64;

/// Shows `process_*` and `alloy_resources_*` in this scope.
pub fn register(scope: &Scope) {
    scope.collect(Box::new(|page| {
        let usage = Usage::read(Path::new("/proc"));
        usage.write_process(page);
        usage.write_resources(page);
    }));
}

/// Writes the `process_*` families.
pub fn write(page: &mut FamilyWriter<'_>) {
    Usage::read(Path::new("/proc")).write_process(page);
}

#[derive(Debug, Default, PartialEq)]
struct Usage {
    cpu_seconds: Option<f64>,
    start_time_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    virtual_max_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    /// All network devices of our network namespace together: received, sent.
    network_bytes: Option<(f64, f64)>,
}

impl Usage {
    fn read(procfs: &Path) -> Usage {
        let text = |path: &str| std::fs::read_to_string(procfs.join(path)).unwrap_or_default();
        let (stat, status, limits) = (text("self/stat"), text("self/status"), text("self/limits"));
        // The command's name stands in parentheses and may hold anything; the state follows as the third field.
        let times = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let time = |field: usize| times.split_ascii_whitespace().nth(field - 3)?.parse::<f64>().ok();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
        };
        let soft_limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
            match line.split_ascii_whitespace().next()? {
                "unlimited" => Some(UNLIMITED),
                number => number.parse().ok(),
            }
        };
        let boot = || text("stat").lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok();
        Usage {
            cpu_seconds: time(14).zip(time(15)).map(|(user, system)| (user + system) / USER_HZ),
            start_time_seconds: time(22).and_then(|started| Some(boot()? + started / USER_HZ)),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            virtual_max_bytes: soft_limit("Max address space"),
            open_fds: std::fs::read_dir(procfs.join("self/fd")).ok().map(|entries| entries.count() as f64),
            max_fds: soft_limit("Max open files"),
            network_bytes: network_bytes(&text("self/net/dev")),
        }
    }

    fn write_process(&self, page: &mut FamilyWriter<'_>) {
        let mut counter = |name: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                page.counter(name, help, value);
            }
        };
        counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", self.cpu_seconds);
        let network = self.network_bytes;
        counter(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            network.map(|(received, _)| received),
        );
        counter(
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            network.map(|(_, sent)| sent),
        );
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        };
        gauge("process_max_fds", "Maximum number of open file descriptors.", self.max_fds);
        gauge("process_open_fds", "Number of open file descriptors.", self.open_fds);
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", self.resident_bytes);
        let started = "Start time of the process since unix epoch in seconds.";
        gauge("process_start_time_seconds", started, self.start_time_seconds);
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", self.virtual_bytes);
        let most = "Maximum amount of virtual memory available in bytes.";
        gauge("process_virtual_memory_max_bytes", most, self.virtual_max_bytes);
    }

    fn write_resources(&self, page: &mut FamilyWriter<'_>) {
        if let Some((received, sent)) = self.network_bytes {
            page.counter(
                "alloy_resources_machine_rx_bytes_total",
                "Total bytes, host-wide, received across all network interfaces.",
                received,
            );
            page.counter(
                "alloy_resources_machine_tx_bytes_total",
                "Total bytes, host-wide, sent across all given network interface.",
                sent,
            );
        }
        if let Some(seconds) = self.cpu_seconds {
            let help = "Total user and system CPU time spent in seconds.";
            page.counter("alloy_resources_process_cpu_seconds_total", help, seconds);
        }
        for (name, help, value) in [
            ("alloy_resources_process_resident_memory_bytes", "Resident memory size in bytes.", self.resident_bytes),
            (
                "alloy_resources_process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                self.start_time_seconds,
            ),
            ("alloy_resources_process_virtual_memory_bytes", "Virtual memory size in bytes.", self.virtual_bytes),
        ] {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        }
    }
}

/// Sums `/proc/self/net/dev` up: the first number of a device is what it received, the ninth what it sent.
fn network_bytes(text: &str) -> Option<(f64, f64)> {
    let mut sums = None;
    for line in text.lines().skip(2) {
        let numbers: Vec<f64> =
            line.rsplit_once(':')?.1.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect();
        let (received, sent) = sums.unwrap_or((0.0, 0.0));
        sums = Some((received + numbers.first()?, sent + numbers.get(8)?));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn the_files_of_a_process_are_read() {
        let dir = std::env::temp_dir().join(format!("ferroalloy-process-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("self/fd")).unwrap();
        std::fs::create_dir_all(dir.join("self/net")).unwrap();
        for (path, text) in [
            ("stat", "cpu 1 2\nbtime 1000\n"),
            ("self/stat", "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 250 13 14 15 16 17 18 500 20 21\n"),
            ("self/status", "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t     100 kB\n"),
            (
                "self/limits",
                "Max open files            1024                 4096                 files\n\
                 Max address space         unlimited            unlimited            bytes\n",
            ),
            ("self/net/dev", "a\nb\n  lo: 10 1 0 0 0 0 0 0 20 1\neth0:1 1 0 0 0 0 0 0 2 1\n"),
            ("self/fd/0", ""),
            ("self/fd/1", ""),
        ] {
            std::fs::write(dir.join(path), text).unwrap();
        }
        let usage = Usage::read(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(
            usage,
            Usage {
                cpu_seconds: Some(4.0),
                start_time_seconds: Some(1005.0),
                resident_bytes: Some(102_400.0),
                virtual_bytes: Some(2_097_152.0),
                virtual_max_bytes: Some(18_446_744_073_709_551_615.0),
                open_fds: Some(2.0),
                max_fds: Some(1024.0),
                network_bytes: Some((11.0, 22.0)),
            }
        );
        assert_eq!(Usage::read(Path::new("/no/such")), Usage::default());
    }

    #[test]
    fn our_own_process_shows_itself() {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        register(&scope);
        for name in [
            "alloy_resources_machine_rx_bytes_total",
            "alloy_resources_machine_tx_bytes_total",
            "alloy_resources_process_cpu_seconds_total",
            "alloy_resources_process_resident_memory_bytes",
            "alloy_resources_process_start_time_seconds",
            "alloy_resources_process_virtual_memory_bytes",
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ] {
            assert!(registry.value(name, &[]).is_some(), "{name}");
        }
        assert!(registry.value("process_resident_memory_bytes", &[]).unwrap() > 100_000.0);
    }
}

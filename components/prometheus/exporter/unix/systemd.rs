//! The units of systemd: their states, and what they count.

use std::io;
use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Scratch};
use super::dbus::{self, Connection, Value};
use super::filter::Pattern;

pub(crate) struct Systemd {
    settings: SystemdSettings,
    sockets: Sockets,
}

/// What the `systemd` block sets.
#[derive(Debug)]
pub(crate) struct SystemdSettings {
    pub include: Pattern,
    pub exclude: Pattern,
    pub restarts: bool,
    pub start_time: bool,
    pub tasks: bool,
}

/// Where systemd can be asked: over the bus, or, by root, without one.
struct Sockets {
    bus: PathBuf,
    private: PathBuf,
}

/// One unit, as far as the list of all of them tells.
struct Unit {
    name: String,
    loaded: bool,
    state: String,
    path: String,
}

const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");

/// Units that are of a type, and whom to ask for it.
const HAVE_TYPES: [(&str, &str); 2] =
    [("service", "org.freedesktop.systemd1.Service"), ("mount", "org.freedesktop.systemd1.Mount")];

/// Older ones tell neither their state nor when timers fired.
const TELLS_STATE: f64 = 212.0;

impl Systemd {
    pub fn new(settings: SystemdSettings) -> Systemd {
        let sockets = Sockets { bus: dbus::system_bus(), private: "/run/systemd/private".into() };
        Systemd { settings, sockets }
    }
}

impl Sockets {
    fn connect(&self) -> io::Result<Connection> {
        let named =
            |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        match Connection::open(&self.bus, Some(SERVICE)) {
            Err(_) if nix::unistd::geteuid().is_root() => {
                Connection::open(&self.private, None).map_err(|error| named(&self.private, error))
            }
            outcome => outcome.map_err(|error| named(&self.bus, error)),
        }
    }
}

impl Collector for Systemd {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let failed = |what: &'static str| move |error: io::Error| Failure::Failed(format!("cannot {what}: {error}"));
        let mut systemd = self.sockets.connect().map_err(failed("connect to D-Bus"))?;
        let version = systemd.property(MANAGER.0, MANAGER.1, "Version");
        let version = version.ok().and_then(|version| Some(version.text()?.to_owned())).unwrap_or_default();
        let number = version_number(&version);
        page.family("node_systemd_version", "Detected systemd version", Kind::Gauge)
            .sample(&[("version", if number > 0.0 { &version } else { "" })], number);
        let units = systemd.call(MANAGER.0, MANAGER.1, "ListUnits", &[]).map_err(failed("list units"))?;
        let units: Vec<Unit> =
            units.first().map(Value::parts).unwrap_or_default().iter().filter_map(Unit::of).collect();
        let mut summary = page.family("node_systemd_units", "Summary of systemd unit states", Kind::Gauge);
        let others = units.iter().map(|unit| unit.state.as_str()).filter(|state| !STATES.contains(state));
        let mut states: Vec<&str> = STATES.into_iter().chain(others).collect();
        states.sort_unstable();
        states.dedup();
        for state in states {
            let count = units.iter().filter(|unit| unit.state == state).count();
            summary.sample(&[("state", state)], count as f64);
        }
        let SystemdSettings { include, exclude, .. } = &self.settings;
        let shown = |unit: &&Unit| unit.loaded && include.is_match(&unit.name) && !exclude.is_match(&unit.name);
        for unit in units.iter().filter(shown) {
            self.settings.show(unit, number, &mut systemd, page);
            if let Some(error) = systemd.over() {
                return Err(failed("ask for all units")(error));
            }
        }
        if number >= TELLS_STATE {
            let state = systemd.property(MANAGER.0, MANAGER.1, "SystemState").map_err(failed("ask for its state"))?;
            page.gauge(
                "node_systemd_system_running",
                "Whether the system is operational (see 'systemctl is-system-running')",
                f64::from(u8::from(state.text() == Some("running"))),
            );
        }
        Ok(())
    }
}

impl SystemdSettings {
    /// What a unit does not tell is left out.
    fn show(&self, unit: &Unit, version: f64, systemd: &mut Connection, page: &mut FamilyWriter<'_>) {
        let kind = unit.name.rsplit('.').next().unwrap_or_default();
        let mut of_kind = None;
        if let Some(interface) = HAVE_TYPES.iter().find(|(suffix, _)| *suffix == kind).map(|(_, interface)| interface) {
            of_kind = systemd.property(&unit.path, interface, "Type").ok();
            // One whose type was not told in time would become another series.
            if systemd.over().is_some() {
                return;
            }
        }
        let mut ask =
            |interface: &str, name: &str| systemd.property(&unit.path, &format!("{SERVICE}.{interface}"), name).ok();
        let of_kind = of_kind.as_ref().and_then(Value::text).unwrap_or_default();
        let mut family = page.family("node_systemd_unit_state", "Systemd unit", Kind::Gauge);
        for state in STATES {
            let labels = [("name", unit.name.as_str()), ("state", state), ("type", of_kind)];
            family.sample(&labels, f64::from(u8::from(state == unit.state)));
        }
        let mut show = |family: &str, help: &str, kind: Kind, value: f64| {
            page.family(&format!("node_systemd_{family}"), help, kind).sample(&[("name", &unit.name)], value);
        };
        let number = |value: Option<Value>| value.as_ref().and_then(Value::number);
        if kind == "service"
            && self.restarts
            && let Some(count) = number(ask("Service", "NRestarts"))
        {
            let help = "Service unit count of Restart triggers";
            show("service_restart_total", help, Kind::Counter, count as f64);
        }
        if self.start_time {
            let started = if unit.state == "active" { number(ask("Unit", "ActiveEnterTimestamp")) } else { Some(0) };
            if let Some(microseconds) = started {
                let help = "Start time of the unit since unix epoch in seconds.";
                show("unit_start_time_seconds", help, Kind::Gauge, microseconds as f64 / 1e6);
            }
        }
        if kind == "service" && self.tasks {
            for (property, family, help) in [
                ("TasksCurrent", "unit_tasks_current", "Current number of tasks per Systemd unit"),
                ("TasksMax", "unit_tasks_max", "Maximum number of tasks per Systemd unit"),
            ] {
                // The largest number is that of units without accounting or without a limit.
                if let Some(count) = number(ask("Service", property)).filter(|count| *count != u64::MAX) {
                    show(family, help, Kind::Gauge, count as f64);
                }
            }
        }
        if kind == "timer"
            && version >= TELLS_STATE
            && let Some(microseconds) = number(ask("Timer", "LastTriggerUSec"))
        {
            let help = "Seconds since epoch of last trigger.";
            show("timer_last_trigger_seconds", help, Kind::Gauge, microseconds as f64 / 1e6);
        }
        if kind == "socket" {
            for (property, family, help, kind) in [
                (
                    "NAccepted",
                    "socket_accepted_connections_total",
                    "Total number of accepted socket connections",
                    Kind::Counter,
                ),
                ("NConnections", "socket_current_connections", "Current number of socket connections", Kind::Gauge),
                (
                    "NRefused",
                    "socket_refused_connections_total",
                    "Total number of refused socket connections",
                    Kind::Gauge,
                ),
            ] {
                let Some(count) = number(ask("Socket", property)) else { break };
                show(family, help, kind, count as f64);
            }
        }
    }
}

impl Unit {
    /// Name, description, whether it is loaded, state, and more; its path is the seventh.
    fn of(listed: &Value) -> Option<Unit> {
        let text = |at: usize| listed.parts().get(at)?.text();
        Some(Unit {
            name: text(0)?.to_owned(),
            loaded: text(2)? == "loaded",
            state: text(3)?.to_owned(),
            path: text(6)?.to_owned(),
        })
    }
}

/// The first number of three digits at least: `252.22-1~deb12u1` → 252.22
fn version_number(version: &str) -> f64 {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = version;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        rest = &rest[start..];
        let whole = digits(rest);
        if whole >= 3 {
            let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
            let end = whole + if fraction > 0 { 1 + fraction } else { 0 };
            return rest[..end].parse().unwrap_or_default();
        }
        rest = &rest[whole..];
    }
    0.0
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::super::dbus::fake;
    use super::*;

    #[test]
    fn versions_are_numbers() {
        for (version, expected) in
            [("252.22-1~deb12u1", 252.22), ("v257~rc2", 257.0), ("systemd 12, 219", 219.0), ("", 0.0), ("99", 0.0)]
        {
            assert_eq!(version_number(version), expected, "{version}");
        }
    }

    #[test]
    fn units_are_shown_with_what_they_tell() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let unit = |name: &str, load: &str, active: &str, path: &str| {
            [name, "d", load, active, "s", "", path].map(|text| Value::Text(text.to_owned())).to_vec()
        };
        let units = [
            unit("web.service", "loaded", "active", "/u/web"),
            unit("old.service", "not-found", "inactive", "/u/old"),
            unit("api.socket", "loaded", "active", "/u/api"),
            unit("sys.mount", "loaded", "failed", "/u/sys"),
        ];
        let served = fake::serve(&socket, move |path, member, name| match (path, member, name) {
            (_, "Hello", _) => Ok(("s", vec![Value::Text(":1.7".to_owned())])),
            (_, "ListUnits", _) => {
                Ok(("a(sssssso)", vec![Value::Parts(units.iter().cloned().map(Value::Parts).collect())]))
            }
            (_, _, "Version") => Ok(("v", vec![Value::Text("252.22".to_owned())])),
            (_, _, "SystemState") => Ok(("v", vec![Value::Text("running".to_owned())])),
            ("/u/web", _, "Type") => Ok(("v", vec![Value::Text("notify".to_owned())])),
            ("/u/web", _, "NRestarts") => Ok(("v", vec![Value::Number(3)])),
            ("/u/web", _, "TasksCurrent") => Ok(("v", vec![Value::Number(12)])),
            ("/u/web", _, "TasksMax") => Ok(("v", vec![Value::Number(u64::MAX)])),
            ("/u/web", _, "ActiveEnterTimestamp") => Ok(("v", vec![Value::Number(1_700_000_000_500_000)])),
            ("/u/api", _, "NAccepted") => Ok(("v", vec![Value::Number(9)])),
            ("/u/api", _, "NConnections") => Ok(("v", vec![Value::Number(2)])),
            _ => Err("no such property"),
        });
        let settings = SystemdSettings {
            include: Pattern::new("^(?:.+)$").unwrap(),
            exclude: Pattern::new("^(?:.+\\.mount)$").unwrap(),
            restarts: true,
            start_time: true,
            tasks: true,
        };
        let sockets = Sockets { bus: socket, private: dir.path().join("none") };
        let (mut page, mut text) = (Page::new(), String::new());
        let mut systemd = Systemd { settings, sockets };
        systemd.collect(&mut Scratch::default(), &mut page.writer()).unwrap();
        page.encode(&mut text, &base_metrics::Losses::default());
        served.join().unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "node_systemd_service_restart_total{name=\"web.service\"} 3",
                "node_systemd_socket_accepted_connections_total{name=\"api.socket\"} 9",
                "node_systemd_socket_current_connections{name=\"api.socket\"} 2",
                "node_systemd_system_running 1",
                "node_systemd_unit_start_time_seconds{name=\"web.service\"} 1.7000000005e+09",
                "node_systemd_unit_state{name=\"web.service\",state=\"active\",type=\"notify\"} 1",
                "node_systemd_unit_state{name=\"web.service\",state=\"activating\",type=\"notify\"} 0",
                "node_systemd_unit_state{name=\"web.service\",state=\"deactivating\",type=\"notify\"} 0",
                "node_systemd_unit_state{name=\"web.service\",state=\"inactive\",type=\"notify\"} 0",
                "node_systemd_unit_state{name=\"web.service\",state=\"failed\",type=\"notify\"} 0",
                "node_systemd_unit_state{name=\"api.socket\",state=\"active\",type=\"\"} 1",
                "node_systemd_unit_state{name=\"api.socket\",state=\"activating\",type=\"\"} 0",
                "node_systemd_unit_state{name=\"api.socket\",state=\"deactivating\",type=\"\"} 0",
                "node_systemd_unit_state{name=\"api.socket\",state=\"inactive\",type=\"\"} 0",
                "node_systemd_unit_state{name=\"api.socket\",state=\"failed\",type=\"\"} 0",
                "node_systemd_unit_tasks_current{name=\"web.service\"} 12",
                "node_systemd_units{state=\"activating\"} 0",
                "node_systemd_units{state=\"active\"} 2",
                "node_systemd_units{state=\"deactivating\"} 0",
                "node_systemd_units{state=\"failed\"} 1",
                "node_systemd_units{state=\"inactive\"} 1",
                "node_systemd_version{version=\"252.22\"} 252.22",
            ]
        );
    }

    #[test]
    fn units_that_were_told_stay_when_systemd_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let unit = |name: &str| {
            let path = format!("/u/{name}");
            Value::Parts([name, "d", "loaded", "active", "s", "", &path].map(|text| Value::Text(text.into())).to_vec())
        };
        let units = ["a.service", "b.service", "c.target"].map(unit).to_vec();
        let served = fake::serve(&socket, move |path, member, name| match (path, member, name) {
            (_, "Hello", _) => Ok(("s", vec![Value::Text(":1.7".to_owned())])),
            (_, "ListUnits", _) => Ok(("a(sssssso)", vec![Value::Parts(units.clone())])),
            (_, _, "Version") => Ok(("v", vec![Value::Text("252".to_owned())])),
            ("/u/a.service", _, "Type") => Ok(("v", vec![Value::Text("simple".to_owned())])),
            _ => Err(fake::GOES_AWAY),
        });
        let settings = SystemdSettings {
            include: Pattern::new(".+").unwrap(),
            exclude: Pattern::new("^$").unwrap(),
            restarts: false,
            start_time: false,
            tasks: false,
        };
        let mut systemd = Systemd { settings, sockets: Sockets { bus: socket, private: dir.path().join("none") } };
        let (mut page, mut text) = (Page::new(), String::new());
        let outcome = systemd.collect(&mut Scratch::default(), &mut page.writer());
        page.encode(&mut text, &base_metrics::Losses::default());
        served.join().unwrap();
        assert!(matches!(outcome, Err(Failure::Failed(why)) if why.starts_with("cannot ask for all units: ")));
        assert!(
            text.contains("node_systemd_unit_state{name=\"a.service\",state=\"active\",type=\"simple\"} 1"),
            "{text}"
        );
        assert!(text.contains("node_systemd_units{state=\"active\"} 3"), "{text}");
        // Not without its type, which would be another series.
        assert!(!text.contains("b.service") && !text.contains("c.target"), "{text}");
    }

    #[test]
    fn without_systemd_the_collector_fails() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = Sockets { bus: dir.path().join("bus"), private: dir.path().join("private") };
        assert!(sockets.connect().is_err());
    }
}

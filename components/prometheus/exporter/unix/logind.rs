//! The sessions of users that logind knows, counted by seat, kind and class.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Scratch};
use super::dbus::{self, Connection, Value};

pub(crate) struct Logind {
    bus: PathBuf,
}

const SERVICE: &str = "org.freedesktop.login1";
const MANAGER: (&str, &str) = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager");
const SESSION: &str = "org.freedesktop.login1.Session";

/// What sessions are; the first stands for all that is not here.
const TYPES: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

impl Logind {
    pub fn new() -> Logind {
        Logind { bus: dbus::system_bus() }
    }
}

impl Collector for Logind {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let failed = |what: &'static str| move |error: io::Error| Failure::Failed(format!("unable to {what}: {error}"));
        let mut logind = Connection::open(&self.bus, Some(SERVICE)).map_err(failed("connect to dbus"))?;
        let mut list = |member: &str| {
            logind.call(MANAGER.0, MANAGER.1, member, &[]).map(|mut answer| match answer.is_empty() {
                true => Value::Parts(Vec::new()),
                false => answer.swap_remove(0),
            })
        };
        let seats = list("ListSeats").map_err(failed("get seats"))?;
        let sessions = list("ListSessions").map_err(failed("get sessions"))?;
        // Sessions over the network have no seat.
        let mut seats: Vec<&str> = seats.parts().iter().filter_map(|seat| seat.parts().first()?.text()).collect();
        seats.push("");
        let mut counts: HashMap<(&str, bool, &str, &str), f64> = HashMap::new();
        for session in sessions.parts() {
            let [_, _, _, seat, path] = session.parts() else { continue };
            let (Some(seat), Some(path)) = (seat.text(), path.text()) else { continue };
            let mut ask = |name: &str| logind.property(path, SESSION, name).ok();
            // One that has ended meanwhile is not there any more.
            let (Some(remote), Some(kind), Some(class)) = (ask("Remote"), ask("Type"), ask("Class")) else { continue };
            let known = |value: &Value, all: &[&'static str]| {
                value.text().map(|text| all.iter().find(|known| **known == text).copied().unwrap_or(all[0]))
            };
            let (Some(kind), Some(class)) = (known(&kind, &TYPES), known(&class, &CLASSES)) else { continue };
            *counts.entry((seat, remote.number() == Some(1), kind, class)).or_default() += 1.0;
        }
        if let Some(error) = logind.over() {
            return Err(failed("ask for all sessions")(error));
        }
        let mut family = page.family("node_logind_sessions", "Number of sessions registered in logind.", Kind::Gauge);
        for (remote, written) in [(true, "true"), (false, "false")] {
            for kind in TYPES {
                for class in CLASSES {
                    for seat in &seats {
                        let count = counts.get(&(*seat, remote, kind, class)).copied().unwrap_or(0.0);
                        let labels = [("class", class), ("remote", written), ("seat", *seat), ("type", kind)];
                        family.sample(&labels, count);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base_metrics::Page;

    use super::*;
    use crate::unix::dbus::fake;

    #[test]
    fn sessions_are_counted_by_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let bus = dir.path().join("bus");
        let text = |text: &str| Value::Text(text.to_owned());
        let session = move |id: &str, seat: &str| {
            let path = text(&format!("/s/{id}"));
            Value::Parts(vec![text(id), Value::Number(1000), text("me"), text(seat), path])
        };
        let sessions = vec![session("1", "seat0"), session("2", ""), session("3", ""), session("4", "")];
        let served = fake::serve(&bus, move |path, member, name| match (path, member, name) {
            (_, "Hello", _) => Ok(("s", vec![text(":1.7")])),
            (_, "ListSeats", _) => {
                Ok(("a(so)", vec![Value::Parts(vec![Value::Parts(vec![text("seat0"), text("/seat0")])])]))
            }
            (_, "ListSessions", _) => Ok(("a(susso)", vec![Value::Parts(sessions.clone())])),
            // It has ended.
            ("/s/4", _, _) => Err("no such session"),
            ("/s/1", _, "Remote") => Ok(("v", vec![Value::Number(0)])),
            (_, _, "Remote") => Ok(("v", vec![Value::Number(1)])),
            ("/s/1", _, "Type") => Ok(("v", vec![text("wayland")])),
            ("/s/2", _, "Type") => Ok(("v", vec![text("hologram")])),
            (_, _, "Type") => Ok(("v", vec![text("tty")])),
            (_, _, "Class") => Ok(("v", vec![text("user")])),
            _ => Err("no such thing"),
        });
        let (mut page, mut shown) = (Page::new(), String::new());
        Logind { bus }.collect(&mut Scratch::default(), &mut page.writer()).unwrap();
        page.encode(&mut shown, &base_metrics::Losses::default());
        served.join().unwrap();
        let samples: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 2 * 7 * 5 * 2);
        let there: Vec<&&str> = samples.iter().filter(|sample| !sample.ends_with(" 0")).collect();
        assert_eq!(
            there,
            [
                &"node_logind_sessions{class=\"user\",remote=\"true\",seat=\"\",type=\"other\"} 1",
                &"node_logind_sessions{class=\"user\",remote=\"true\",seat=\"\",type=\"tty\"} 1",
                &"node_logind_sessions{class=\"user\",remote=\"false\",seat=\"seat0\",type=\"wayland\"} 1",
            ]
        );
    }

    #[test]
    fn without_a_bus_the_collector_fails() {
        let dir = tempfile::tempdir().unwrap();
        let mut logind = Logind { bus: dir.path().join("none") };
        let outcome = logind.collect(&mut Scratch::default(), &mut Page::new().writer());
        assert!(matches!(outcome, Err(Failure::Failed(why)) if why.starts_with("unable to connect to dbus: ")));
    }
}

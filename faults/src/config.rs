//! The configuration under test: a file is tailed into Loki, in the few lines that most users write.

use std::path::Path;

/// What differs between scenarios.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Ports of the endpoints of one `loki.write`.
    pub endpoints: Vec<u16>,
    /// `wal { enabled = true }`.
    pub wal: bool,
    /// Ports of further `loki.write` components beside it.
    pub beside: Vec<u16>,
}

impl Config {
    /// One endpoint.
    pub fn to(port: u16, wal: bool) -> Config {
        Config { endpoints: vec![port], wal, beside: Vec::new() }
    }

    /// As text. Back-off is short, so that a scenario does not wait for minutes, and requests are tried for ever.
    pub fn text(&self, log: &Path) -> String {
        let mut text = String::new();
        let mut receivers = Vec::new();
        let writes = [self.endpoints.clone()].into_iter().chain(self.beside.iter().map(|port| vec![*port]));
        for (number, ports) in writes.enumerate() {
            receivers.push(format!("loki.write.w{number}.receiver"));
            text += &format!("loki.write \"w{number}\" {{\n");
            for (index, port) in ports.iter().enumerate() {
                text += &format!(
                    "\tendpoint {{\n\t\tname = \"e{index}\"\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t\tbatch_wait = \"100ms\"\n\
                     \t\tmin_backoff_period = \"50ms\"\n\t\tmax_backoff_period = \"500ms\"\n\t\tmax_backoff_retries = 0\n\t}}\n"
                );
            }
            if self.wal {
                text += "\twal {\n\t\tenabled = true\n\t}\n";
            }
            text += "}\n";
        }
        format!(
            "local.file_match \"a\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\"}}]\n}}\n\
             loki.source.file \"a\" {{\n\ttargets = local.file_match.a.targets\n\tforward_to = [{}]\n}}\n{text}",
            log.display(),
            receivers.join(", "),
        )
    }
}

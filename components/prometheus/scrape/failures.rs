//! `scrape_failure_log_file`: a line for each scrape that failed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use base_sys::clock;

/// The file, in JSON lines as Prometheus writes them. Targets may share it.
pub(crate) struct FailureLog {
    path: String,
    job: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    /// It could not be written, which was told.
    failing: bool,
}

impl FailureLog {
    /// None when no file is named. It is opened with the first failure.
    pub(crate) fn new(path: &str, job: String) -> Option<FailureLog> {
        (!path.is_empty()).then(|| FailureLog { path: path.to_owned(), job, state: Mutex::default() })
    }

    /// A scrape of this target has failed.
    pub(crate) fn tell(&self, target: &str, error: &str) {
        let time = jiff::Timestamp::from_nanosecond(i128::from(clock::now_ns())).unwrap_or_default();
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let line = format!(
            "{{\"time\":\"{time}\",\"level\":\"ERROR\",\"msg\":{},\"job_name\":{},\"target\":{}}}\n",
            text(error),
            text(&self.job),
            text(target)
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write(&mut state, &line);
        if let Err(error) = &written
            && !state.failing
        {
            tracing::error!(path = self.path, %error, "cannot write the log of failed scrapes");
        }
        state.failing = written.is_err();
    }

    fn write(&self, state: &mut State, line: &str) -> io::Result<()> {
        let file = match &mut state.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create(true).open(&self.path)?),
        };
        file.write_all(line.as_bytes())
    }
}

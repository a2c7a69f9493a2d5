//! `/-/support`: one archive with what somebody needs who looks for a fault and cannot look at the machine.
//!
//! Configuration, components, metrics at both ends of the time that was asked for, and the log lines between. Secrets are
//! masked: what the schema calls a secret, what is named like one, and passwords in URLs.

mod zip;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use crate::routes::{Router, text};

/// How long a bundle may take, and how long it takes when nobody says.
const LONGEST: u64 = 30;

/// The variables that are told. None of them holds a secret but the proxies' passwords, which are masked.
const ENVIRONMENT: [&str; 14] = [
    "AUTOMEMLIMIT",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "HOSTNAME",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "PPROF_BLOCK_PROFILING_RATE",
    "PPROF_MUTEX_PROFILING_PERCENT",
];

/// What the process knows and the server does not.
#[derive(Clone)]
pub struct Support {
    /// Flags as they are in force, `name=value`.
    pub flags: Vec<String>,
    /// Begins to keep log lines; what it returns ends that and tells them.
    pub record_log: RecordLog,
}

/// See [`Support::record_log`].
pub type RecordLog = Arc<dyn Fn() -> Box<dyn FnOnce() -> String + Send> + Send + Sync>;

impl Default for Support {
    fn default() -> Support {
        Support { flags: Vec::new(), record_log: Arc::new(|| Box::new(String::new)) }
    }
}

/// One bundle at a time.
pub(crate) struct Bundler {
    pub support: Support,
    pub since: Instant,
    pub turn: tokio::sync::Mutex<()>,
}

impl Bundler {
    /// Answers `/-/support`.
    pub(crate) async fn answer(&self, router: &Router, query: &str) -> Response<Bytes> {
        let duration = match duration(query) {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(sentence) => return text(StatusCode::BAD_REQUEST, sentence),
        };
        let _turn = self.turn.lock().await;
        tracing::info!(service = "http", duration = duration.as_nanos() as u64, "generating support bundle");
        let page = |path: &'static str| async move {
            let request = Request::get(path).body(Bytes::new()).unwrap_or_default();
            router.mounted(request).await.map(Response::into_body).unwrap_or_default()
        };
        let log = (self.support.record_log)();
        let metrics_at_start = router.host().metrics().text();
        tokio::time::sleep(duration).await;
        let mut files = vec![
            ("alloy-metadata.yaml".to_owned(), self.metadata(router).into()),
            ("alloy-components.json".to_owned(), page("/api/v0/web/components").await),
            ("alloy-peers.json".to_owned(), page("/api/v0/web/peers").await),
            ("alloy-metrics-sample-start.txt".to_owned(), metrics_at_start.into()),
            ("alloy-metrics-sample-end.txt".to_owned(), router.host().metrics().text().into()),
            ("alloy-runtime-flags.txt".to_owned(), (self.support.flags.join("\n") + "\n").into()),
            ("alloy-environment.txt".to_owned(), environment().into()),
            ("alloy-logs.txt".to_owned(), mask_urls(&log()).into()),
        ];
        let mut names = std::collections::BTreeSet::new();
        for (name, text) in router.host().sources() {
            let base = name.rsplit('/').next().unwrap_or(&name).to_owned();
            // Two files of one name from two folders are two files.
            let mut unique = base.clone();
            let mut number = 2;
            while !names.insert(unique.clone()) {
                unique = format!("{base}.{number}");
                number += 1;
            }
            files.push((format!("sources/{unique}"), Bytes::from(mask_urls(&text))));
        }
        let mut archive = zip::Archive::default();
        for (name, contents) in &files {
            archive.add(&format!("alloy-support-bundle/{name}"), contents);
        }
        let mut response = Response::new(Bytes::from(archive.finish()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
        let name = HeaderValue::from_static("attachment; filename=\"alloy-support-bundle.zip\"");
        headers.insert(CONTENT_DISPOSITION, name);
        response
    }

    fn metadata(&self, router: &Router) -> String {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        format!(
            "build_version: {}\nos: {}\narchitecture: {architecture}\nuptime: {}\n",
            router.host().version(),
            std::env::consts::OS,
            self.since.elapsed().as_secs_f64()
        )
    }
}

/// Seconds, or what is wrong with them, in Alloy's words.
fn duration(query: &str) -> Result<u64, String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("duration=")).unwrap_or_default();
    if value.is_empty() {
        return Ok(LONGEST);
    }
    let Ok(seconds) = value.parse::<i64>() else {
        return Err(format!(
            "duration value (in seconds) should be a positive integer: strconv.Atoi: parsing {value:?}: invalid syntax\n"
        ));
    };
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => Err("duration value (in seconds) should be larger than 1\n".to_owned()),
        Ok(seconds) if seconds > LONGEST => Err("duration value exceeds the server's write timeout\n".to_owned()),
        Ok(seconds) => Ok(seconds),
    }
}

fn environment() -> String {
    let value = |name: &str| std::env::var(name).unwrap_or_default();
    let lines: Vec<String> = ENVIRONMENT.iter().map(|name| format!("{name}={}", mask_urls(&value(name)))).collect();
    lines.join("\n")
}

/// `scheme://user:password@host` without the user and the password.
fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        masked.push_str(before);
        let end =
            behind.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '?' | '#' | '<' | '\\'));
        let (authority, others) = behind.split_at(end.unwrap_or(behind.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                masked.push_str("(secret)@");
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        rest = others;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, expected) in [
            ("url = \"https://u:p@host/x\" # http://a", "url = \"https://(secret)@host/x\" # http://a"),
            ("no_proxy=x", "no_proxy=x"),
            ("http://user@h:1?x=y@z", "http://(secret)@h:1?x=y@z"),
            ("a://b:c@d@e f", "a://(secret)@e f"),
        ] {
            assert_eq!(mask_urls(text), expected);
        }
    }

    #[test]
    fn the_time_is_between_one_second_and_half_a_minute() {
        assert_eq!(duration(""), Ok(30));
        assert_eq!(duration("x=1&duration=5"), Ok(5));
        assert!(duration("duration=0").is_err());
        assert!(duration("duration=-1").is_err());
        assert!(duration("duration=31").is_err());
        assert!(duration("duration=x").is_err());
    }
}

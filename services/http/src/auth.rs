//! Basic authentication (RFC 7617), with a filter on paths.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::arguments::{Auth, Filter};

/// Decides who may ask.
#[derive(Debug, Default)]
pub(crate) struct Gate(Option<Basic>);

#[derive(Debug)]
struct Basic {
    /// Hashes are equally long whatever they are of, so comparing them tells nothing by the time it takes.
    username: [u8; 32],
    password: [u8; 32],
    filter: Option<Filter>,
}

impl Gate {
    /// Open when there is no `auth` block, or none in it.
    pub fn new(auth: Option<&Auth>) -> Gate {
        Gate(auth.and_then(|auth| {
            let basic = auth.basic.as_ref()?;
            Some(Basic {
                username: hash(basic.username.as_bytes()),
                password: hash(basic.password.expose_bytes()),
                filter: auth.filter.clone(),
            })
        }))
    }

    /// Whether a request for `path` with these headers may pass.
    pub fn admits(&self, path: &str, headers: &HeaderMap) -> bool {
        match &self.0 {
            None => true,
            Some(basic) => !basic.guards(path) || basic.accepts(headers),
        }
    }
}

impl Basic {
    fn guards(&self, path: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| {
            let matches = filter.paths.iter().any(|prefix| path.starts_with(prefix));
            matches == filter.authenticate_matching_paths
        })
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some((username, password)) = credentials(headers) else { return false };
        let username_fits = hash(&username).ct_eq(&self.username);
        let password_fits = hash(&password).ct_eq(&self.password);
        (username_fits & password_fits).into()
    }
}

fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use language_eval::SecretString;

    use super::*;
    use crate::arguments::BasicAuth;

    fn admits(filter: Option<(&[&str], bool)>, path: &str, user_and_password: Option<&str>) -> bool {
        let gate = Gate::new(Some(&Auth {
            basic: Some(BasicAuth { username: "u".to_owned(), password: SecretString::from("p") }),
            filter: filter.map(|(paths, matching)| Filter {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
                authenticate_matching_paths: matching,
            }),
        }));
        let mut headers = HeaderMap::new();
        if let Some(text) = user_and_password {
            headers.insert(AUTHORIZATION, format!("basic {}", STANDARD.encode(text)).parse().unwrap());
        }
        gate.admits(path, &headers)
    }

    #[test]
    fn without_a_filter_everything_needs_the_password() {
        assert!(!admits(None, "/metrics", None));
        assert!(!admits(None, "/metrics", Some("u:x")));
        assert!(!admits(None, "/metrics", Some("up")));
        assert!(!admits(None, "/metrics", Some("x:p")));
        assert!(admits(None, "/metrics", Some("u:p")));
    }

    #[test]
    fn a_filter_names_the_paths_that_do_or_those_that_do_not() {
        let only_metrics = Some((&["/metrics"][..], true));
        assert!(!admits(only_metrics, "/metricsx", None));
        assert!(admits(only_metrics, "/-/ready", None));
        let all_but_metrics = Some((&["/metrics"][..], false));
        assert!(admits(all_but_metrics, "/metrics", None));
        assert!(!admits(all_but_metrics, "/-/ready", None));
        assert!(admits(all_but_metrics, "/-/ready", Some("u:p")));
        assert!(admits(Some((&[], true)), "/metrics", None));
    }

    #[test]
    fn without_a_basic_block_nothing_needs_one() {
        assert!(Gate::new(None).admits("/", &HeaderMap::new()));
        assert!(Gate::new(Some(&Auth { basic: None, filter: None })).admits("/", &HeaderMap::new()));
    }
}

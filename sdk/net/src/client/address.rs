//! Where requests go to: the `url` that an endpoint is given.

use http::Uri;
use language_eval::Invalid;
use sdk_component::Problem;
use url::{ParseError, Url};

/// The address as requests have it. What cannot stand in one, such as a blank, is escaped. None if nothing can be sent to it.
pub fn address(url: &str) -> Option<Uri> {
    let escaped = || Url::parse(url).ok()?.as_str().parse().ok();
    let address: Option<Uri> = url.parse().ok().or_else(escaped);
    address.filter(|address| matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some())
}

/// Why there is no address in it, and what to do.
pub fn why_no_address(url: &str) -> String {
    match url {
        // Most often an environment variable that is not set.
        "" => "the url is empty; set the environment variable that it is taken from".to_owned(),
        // It may hold a password.
        url if url.contains('@') => "the url is not an address; write http://HOST:PORT/PATH".to_owned(),
        url => format!("{url:?} is not an address; write http://HOST:PORT/PATH"),
    }
}

/// Whether Go can read the `url` of an endpoint: Alloy refuses it otherwise. What it reads need not be an address:
/// [`address_doubt`].
///
/// # Errors
/// It cannot.
pub fn check_address(url: &str) -> Result<(), Invalid> {
    let fault = match Url::parse(url) {
        Ok(_) | Err(ParseError::EmptyHost) => None,
        // Go takes it for a path, unless there is a colon that could end a scheme.
        Err(ParseError::RelativeUrlWithoutBase) => {
            let first = url.split('/').next().unwrap_or_default();
            first.contains(':').then(|| "what stands before the first : is no scheme".to_owned())
        }
        Err(error) => Some(error.to_string()),
    };
    match fault {
        None => Ok(()),
        Some(fault) => Err(Invalid::field("url", format!("is not a URL: {fault}"))),
    }
}

/// A `url` that Alloy starts with, and nothing can be sent to. `place` stands before its name; `example` is one that is good.
pub fn address_doubt(url: &str, place: &str, example: &str) -> Option<Problem> {
    let said = match (address(url), url) {
        (Some(_), _) => return None,
        (None, "") => "the URL is empty: what comes waits in the queue, and none of it is sent".to_owned(),
        (None, url) => format!("{url:?} is not an address: what comes waits in the queue, and none of it is sent"),
    };
    let hint =
        format!("write the whole address, like {example:?}; if it is taken from an environment variable, set that");
    Some(Problem::at(format!("{place}url"), said).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_cannot_read_is_refused_and_what_is_no_address_is_doubted() {
        for url in
            ["http://h", "https://h:1/p?q=1", "http://user:secret@h/a b", "http://h/<ID>/write", "http://[::1]:80/"]
        {
            assert!(check_address(url).is_ok() && address(url).is_some(), "{url}");
            assert!(address_doubt(url, "", "").is_none(), "{url}");
        }
        for url in
            ["", "REPLACE_WITH_URL", "mimir:9009/api/v1/push", "/api/prom/push", "http://", "unix:///run/x", "h/a:b"]
        {
            assert!(check_address(url).is_ok() && address(url).is_none(), "{url}");
            assert!(address_doubt(url, "", "").is_some(), "{url}");
        }
        for url in ["127.0.0.1:9090/api/v1/write", "my_host:9090", "http://h:port/", "http://[::1/", ":80"] {
            assert!(check_address(url).is_err(), "{url}");
        }
    }
}

//! What may be shown of an endpoint: of its address, and of what it answers.
//!
//! A backend in trouble answers with anything: a page of HTML, bytes that a terminal obeys, the request that it did not
//! like with the credentials in its head. It is shown in the log and as the component's health.

use sdk_net::ClientConfig;

use super::arguments::Endpoint;

/// So much of an answer is shown, in bytes.
const MOST_SHOWN: usize = 1024;
/// What is shown in place of a secret.
const SECRET: &str = "<secret>";
/// What Go shows in place of a password in an address.
const PASSWORD: &str = "xxxxx";
/// Shorter secrets are not looked for: they would be found in any text, and are none.
const SHORTEST: usize = 4;
/// Headers of the configuration whose values are credentials, by what is in their names.
const TELLING: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
/// Behind these a credential stands, wherever it comes from.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// What must not be shown of what an endpoint says.
#[derive(Default)]
pub(crate) struct Discretion {
    /// Longest first, as one may be in another.
    secrets: Vec<String>,
}

// === impl Discretion ===

impl Discretion {
    pub(crate) fn of(config: &Endpoint) -> Discretion {
        let ClientConfig { basic_auth, authorization, oauth2, bearer_token, http_headers, .. } = &config.client.0;
        let mut secrets = vec![bearer_token.expose().into_owned()];
        secrets.extend(basic_auth.iter().map(|basic| basic.password.expose().into_owned()));
        secrets.extend(authorization.iter().map(|shown| shown.credentials.expose().into_owned()));
        secrets.extend(oauth2.iter().map(|oauth2| oauth2.client_secret.expose().into_owned()));
        secrets.extend(http_headers.values().flatten().map(|value| value.expose().into_owned()));
        secrets.extend(config.sigv4.iter().map(|sigv4| sigv4.secret_key.expose().into_owned()));
        let azure = config.azuread.iter().flat_map(|azure| &azure.oauth);
        secrets.extend(azure.map(|oauth| oauth.client_secret.expose().into_owned()));
        let telling = config.headers.iter().filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            TELLING.iter().any(|part| name.contains(part))
        });
        secrets.extend(telling.map(|(_, value)| value.clone()));
        let password = url::Url::parse(&config.url).ok().and_then(|url| url.password().map(str::to_owned));
        secrets.extend(password);
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Discretion { secrets }
    }

    /// The beginning of an answer, without secrets, and without what is not for reading.
    pub(crate) fn shown(&self, answer: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(answer.trim_ascii_end()).into_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), SECRET);
            }
        }
        for scheme in SCHEMES {
            text = without_credentials(&text, scheme);
        }
        let mut shown = String::new();
        for char in text.chars() {
            match char.is_control() {
                true => shown.extend(char.escape_default()),
                false => shown.push(char),
            }
            if shown.len() >= MOST_SHOWN {
                break;
            }
        }
        shown
    }
}

/// The text with what stands behind each mention of a scheme left out.
fn without_credentials(text: &str, scheme: &str) -> String {
    let is_credential = |char: char| char.is_ascii_alphanumeric() || "+/=._~-_".contains(char);
    // Of the same length, byte for byte.
    let lower = text.to_ascii_lowercase();
    let (mut shown, mut behind) = (String::new(), 0);
    for (at, _) in lower.match_indices(scheme) {
        let from = at + scheme.len();
        let length = text[from..].find(|char| !is_credential(char)).unwrap_or(text.len() - from);
        if from < behind || length < 2 * SHORTEST {
            continue;
        }
        shown.push_str(&text[behind..from]);
        shown.push_str(SECRET);
        behind = from + length;
    }
    shown + &text[behind..]
}

/// An address without its password.
pub(crate) fn without_password(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return url.to_owned() };
    // Only what is to be hidden is written anew.
    let hidden = parsed.password().is_some() && parsed.set_password(Some(PASSWORD)).is_ok();
    if hidden { parsed.into() } else { url.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_and_hold_neither_secrets_nor_commands() {
        let discretion = Discretion { secrets: vec!["hunter22-long".to_owned(), "hunter22".to_owned()] };
        for (answer, expect) in [
            (&b"out of order sample\n"[..], "out of order sample"),
            (b"first\r\nsecond\x1b[31m \xff", "first\\r\\nsecond\\u{1b}[31m \u{fffd}"),
            (b"no such user x:hunter22, nor hunter22-long", "no such user x:<secret>, nor <secret>"),
            (b"Authorization: Bearer abc.def-ghi_jkl== and more", "Authorization: Bearer <secret> and more"),
            (b"AUTHORIZATION: BASIC dXNlcjpwYXNz\r", "AUTHORIZATION: BASIC <secret>"),
            (b"a basic error; bearer x", "a basic error; bearer x"),
            (b"", ""),
        ] {
            assert_eq!(discretion.shown(answer), expect);
        }
        assert_eq!(Discretion::default().shown("ü".repeat(5000).as_bytes()).len(), MOST_SHOWN);
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(without_password("http://user:pass@host:1/x?y=z"), "http://user:xxxxx@host:1/x?y=z");
        for url in ["http://host", "http://user@host/x", "no address"] {
            assert_eq!(without_password(url), url);
        }
    }
}

//! From the first request through the redirects to the last answer.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, LOCATION, REFERER, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};
use sdk_net::client::Identity;
use url::Url;

use super::exchange::{Answer, Request, Way, exchange};
use super::proxy::Proxies;
use crate::blackbox::modules::Http;
use crate::blackbox::probe::Probe;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// Cookies that are kept from answer to answer.
const MOST_COOKIES: usize = 50;

/// One probe's way.
pub(super) struct Journey<'a> {
    module: &'a Http,
    identity: Identity,
    proxies: Proxies,
    /// The host of the target, as it was named.
    host: String,
    /// Host, name and value.
    cookies: Vec<(String, String, String)>,
}

impl Journey<'_> {
    pub fn new(module: &Http, identity: Identity, proxies: Proxies, host: String) -> Journey<'_> {
        Journey { module, identity, proxies, host, cookies: Vec::new() }
    }

    /// Sends the request and follows redirects. Gives the last answer, and how many redirects there were.
    pub async fn go(mut self, probe: &mut Probe, mut request: Request) -> (Result<Answer, String>, usize) {
        let first = request.url.clone();
        let names_referer = request.headers.contains_key(REFERER);
        let mut redirects = 0;
        loop {
            let is_at_home = authority(&request.url) == authority(&first);
            // Who we are is nobody's business but the target's.
            let is_known = is_at_home || request.url.host_str() == Some(&self.host);
            if let Err(error) = self.identify(&mut request, is_known).await {
                return (Err(error), redirects);
            }
            let mut tls = self.module.tls(self.identity.tls());
            if !is_at_home {
                tls.config.server_name.clear();
                request.tls_name = request.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            }
            let way = Way { tls: &tls, proxies: &self.proxies, speaks_http2: self.module.speaks_http2() };
            let mut answer = match exchange(probe, &request, &way, redirects > 0).await {
                Ok(answer) => answer,
                Err(error) => return (Err(error), redirects),
            };
            let next = match next(&answer, &request) {
                Ok(Some(next)) => next,
                Ok(None) => return (Ok(answer), redirects),
                Err(error) => return (Err(error), redirects),
            };
            redirects += 1;
            if redirects > MOST_REDIRECTS || !self.module.follows_redirects() {
                probe.say("not following redirect");
                answer.body = None;
                return (Ok(answer), redirects);
            }
            self.keep_cookies(&answer, &request.url);
            let came_from = std::mem::replace(&mut request, next).url;
            if !names_referer {
                request.headers.remove(REFERER);
                // What was asked in secret is not told in the open.
                if (came_from.scheme() == "http" || request.url.scheme() == "https")
                    && let Ok(referer) = HeaderValue::try_from(came_from.as_str())
                {
                    request.headers.insert(REFERER, referer);
                }
            }
        }
    }

    /// Puts credentials and cookies on the request.
    async fn identify(&self, request: &mut Request, is_known: bool) -> Result<(), String> {
        if !is_known {
            for name in [AUTHORIZATION, COOKIE] {
                request.headers.remove(name);
            }
        } else if !request.headers.contains_key(AUTHORIZATION)
            && let Some(credential) = self.identity.header().await.map_err(|error| error.to_string())?
        {
            request.headers.insert(AUTHORIZATION, credential);
        }
        let host = request.url.host_str();
        let ours = self.cookies.iter().filter(|(of, ..)| Some(of.as_str()) == host);
        let ours: Vec<String> = ours.map(|(_, name, value)| format!("{name}={value}")).collect();
        if !ours.is_empty()
            && let Ok(value) = HeaderValue::try_from(ours.join("; "))
        {
            request.headers.insert(COOKIE, value);
        }
        Ok(())
    }

    fn keep_cookies(&mut self, answer: &Answer, url: &Url) {
        let host = url.host_str().unwrap_or_default();
        for cookie in answer.head.headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next()?.split_once('='));
            let Some((name, value)) = pair.map(|(name, value)| (name.trim(), value.trim())) else { continue };
            self.cookies.retain(|(of, known, _)| of != host || known != name);
            if self.cookies.len() < MOST_COOKIES {
                self.cookies.push((host.to_owned(), name.to_owned(), value.to_owned()));
            }
        }
    }
}

fn authority(url: &Url) -> (Option<&str>, Option<u16>) {
    (url.host_str(), url.port())
}

/// The request that an answer asks for.
fn next(answer: &Answer, request: &Request) -> Result<Option<Request>, String> {
    let status = answer.head.status;
    let keeps_method = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return Ok(None),
    };
    let Some(location) = answer.head.headers.get(LOCATION) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes());
    let url = request.url.join(&location).map_err(|error| format!("bad Location {location:?}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unsupported protocol scheme {:?}", url.scheme()));
    }
    let mut next = request.clone();
    if Url::parse(&location).is_ok() || url.host_str() != request.url.host_str() {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        next.host = format!("{}{port}", url.host_str().unwrap_or_default());
    }
    next.url = url;
    next.headers.remove(COOKIE);
    if !keeps_method {
        if next.method != Method::HEAD {
            next.method = Method::GET;
        }
        next.body.clear();
        for name in [CONTENT_TYPE, CONTENT_LENGTH] {
            next.headers.remove(name);
        }
    }
    Ok(Some(next))
}

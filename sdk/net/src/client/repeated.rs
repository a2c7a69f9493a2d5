//! One request again and again, over a connection of its own: a scrape asks one place for one page every few seconds.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, LOCATION};

use super::direct::{Wire, broken};
use super::line::Line;
use super::{Beyond, Client, Gathered, Response, SendError, Within, shown};

/// Of an answer that sends us on, a body of at most so many bytes is read, so that its connection can be used again.
const SHORT: u64 = 4 << 10;

/// A request that may be sent many times, because twice is as good as once; made by [`Client::repeated`].
#[derive(Debug)]
pub struct Repeated {
    request: Request<Bytes>,
    /// The address as it may be shown.
    url: String,
    direct: Option<Direct>,
}

/// The way to a server that nothing stands before.
#[derive(Debug)]
struct Direct {
    wire: Wire,
    /// It says who asks.
    is_signed: bool,
    /// Open since the last request.
    line: Option<Line>,
}

// === impl Client ===

impl Client {
    /// Makes a request ready to be sent often by [`Client::repeat`]. It must be one that does no harm when it arrives
    /// twice.
    pub fn repeated(&self, request: Request<Bytes>) -> Repeated {
        let direct = self.direct(request.uri()).map(|server| {
            let mut complete = request.clone();
            self.add_headers(complete.headers_mut());
            let is_signed = complete.headers().contains_key(AUTHORIZATION);
            Direct { wire: Wire::of(&complete, server), is_signed, line: None }
        });
        Repeated { url: shown(request.uri()), request, direct }
    }

    /// Sends it once more and reads the whole answer. How long that may take is the caller's to say; dropping this future
    /// closes the connection.
    pub async fn repeat(&self, repeated: &mut Repeated) -> Result<Response, SendError> {
        self.repeat_within(repeated, self.options.max_response_bytes, &mut |_| false).await
    }

    /// The same, but of a body that is larger than `limit` nothing is kept: all of it goes to `beyond`, piece by piece, and
    /// that of the answer is empty. When `beyond` has had enough, it is [`SendError::TooLarge`].
    pub async fn repeat_within(
        &self,
        repeated: &mut Repeated,
        limit: usize,
        beyond: &mut Beyond<'_>,
    ) -> Result<Response, SendError> {
        let Repeated { request, url, direct } = repeated;
        let Some(direct) = direct else {
            return self.send_within(request.clone(), Within { limit, beyond: Some(beyond) }).await;
        };
        let response = self.ask(direct, request, url, Within { limit, beyond: Some(&mut *beyond) }).await?;
        if !response.status.is_redirection() {
            return Ok(response);
        }
        let mut complete = request.clone();
        self.complete(complete.headers_mut()).await?;
        let Some(next) = self.sent_on(&complete, response.status, &response.headers)? else { return Ok(response) };
        let answer = self.follow(url, next, 1).await?;
        self.gather(url, answer, Within { limit, beyond: Some(beyond) }).await
    }

    async fn ask(
        &self,
        direct: &mut Direct,
        request: &Request<Bytes>,
        url: &str,
        within: Within<'_>,
    ) -> Result<Response, SendError> {
        let authorization = if direct.is_signed { None } else { self.credentials.header().await? };
        let signed = authorization.map(|value| direct.wire.authorized(&value));
        let wire = signed.as_ref().unwrap_or(&direct.wire);
        let before = direct.line.take().filter(Line::is_open);
        let (mut line, status, headers) = self.ask_on(before, wire, request, url).await?;
        let declared = line.declared();
        let may_send_on = status.is_redirection() && headers.contains_key(LOCATION);
        if may_send_on && declared.is_none_or(|length| length > SHORT) {
            // Nobody reads this: it is cheaper to connect again.
            return Ok(Response { status, headers, body: Bytes::new() });
        }
        let mut gathered = Gathered::new(declared, within, url)?;
        while let Some(chunk) = line.chunk().await.map_err(|error| broken(url, &error))? {
            gathered.push(chunk)?;
        }
        direct.line = Some(line).filter(Line::is_free);
        Ok(Response { status, headers, body: gathered.whole() })
    }
}

#[cfg(test)]
mod tests;

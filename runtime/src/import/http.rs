//! `import.http`: what a web server answers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sdk_component::Problem;
use sdk_net::{Client, ClientConfig, Options};

use super::FetchError;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub timeout: Duration,
    pub client: ClientConfig,
}

impl Request {
    /// The body of the answer, if its status is 200.
    pub async fn fetch(&self, limit: usize) -> Result<Bytes, FetchError> {
        let refused = |field: &str, error: String| FetchError::Refused(Problem::at(field, error));
        let method: http::Method =
            self.method.parse().map_err(|_| refused("method", format!("{:?} is no method", self.method)))?;
        let mut request = http::Request::builder().method(method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = Bytes::from(self.body.clone().into_bytes());
        let request = request.body(body).map_err(|error| refused("url", error.to_string()))?;
        let options = Options { timeout: self.timeout, max_response_bytes: limit, ..Options::default() };
        let client = Client::new(self.client.clone(), options).map_err(|error| refused("client", error.to_string()))?;
        let answer = client.send(request).await.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        if answer.status != http::StatusCode::OK {
            return Err(FetchError::Unreachable(format!("{} answered {}", self.url, answer.status)));
        }
        Ok(answer.body)
    }
}

//! Where modules come from that are not on this machine: `import.http` and `import.git`.

use std::path::PathBuf;

use base_sys::task::{Ended, blocking};
use bytes::Bytes;
use http::{Request, StatusCode};
use runtime::{FetchGit, FetchHttp, GitRequest, HttpRequest};
use sdk_net::client::{Client, ClientConfig, Options};

use crate::process::Fetched;

/// Fetches over HTTP.
pub struct Web;

/// Keeps clones of repositories.
pub struct Git;

impl FetchHttp for Web {
    fn fetch(&self, request: HttpRequest, limit: usize) -> Fetched<Bytes> {
        Box::pin(async move {
            let options = Options { timeout: request.timeout, max_response_bytes: limit, ..Options::default() };
            let client = Client::new(ClientConfig::default(), options).map_err(|error| error.to_string())?;
            let mut builder = Request::builder().method(request.method.as_str()).uri(&request.url);
            for (name, value) in &request.headers {
                builder = builder.header(name, value);
            }
            let body = Bytes::from(request.body);
            let request = builder.body(body).map_err(|error| format!("the request cannot be made: {error}"))?;
            let response = client.send(request).await.map_err(|error| error.to_string())?;
            match response.status {
                StatusCode::OK => Ok(response.body),
                status => Err(format!("unexpected status code {status}")),
            }
        })
    }
}

impl FetchGit for Git {
    fn update(&self, request: GitRequest, directory: PathBuf) -> Fetched<()> {
        let GitRequest { repository, revision, basic_auth } = request;
        let request = services_git::Request { repository, revision, basic_auth };
        Box::pin(async move {
            match blocking("import.git", move || services_git::update(&request, &directory)).await {
                Ended::Returned(result) => result.map_err(|error| error.to_string()),
                Ended::Panicked(panic) => Err(panic),
                Ended::Cut => Err("ferroalloy is stopping".to_owned()),
            }
        })
    }
}

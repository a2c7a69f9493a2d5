//! What detectors look at: environment variables, files, and metadata services at fixed addresses.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use sdk_net::{Client, ClientConfig, Options};
use serde::de::DeserializeOwned;

use crate::environment::variable;

/// Where clouds have their metadata services.
const LINK_LOCAL: &str = "http://169.254.169.254";
/// Where Scaleway has it.
const SCALEWAY: &str = "http://169.254.42.42";
/// The name of Google's.
const GOOGLE: &str = "http://metadata.google.internal";
/// The name of Tencent's.
const TENCENT: &str = "http://metadata.tencentyun.com";
/// Where Alibaba has it.
const ALIBABA: &str = "http://100.100.100.200";

/// Metadata is small.
const MAX_METADATA: usize = 1 << 20;

/// The surroundings; tests have their own.
pub(super) struct World {
    pub variables: fn(&str) -> Option<String>,
    pub root: PathBuf,
    pub places: Places,
    client: Client,
}

/// Where metadata services are.
pub(super) struct Places {
    pub link_local: String,
    pub scaleway: String,
    pub google: String,
    pub tencent: String,
    pub alibaba: String,
    /// Instead of the API of our own cluster.
    pub kubernetes: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Missing {
    /// Nobody is there: we are somewhere else.
    Elsewhere(String),
    /// The service is there, but what it says is of no use.
    Failed(String),
}

// === impl World ===

impl World {
    pub(super) fn real(timeout: Duration) -> Result<World, String> {
        let variables = variable;
        let google = variables("GCE_METADATA_HOST").map_or_else(|| GOOGLE.to_owned(), |host| format!("http://{host}"));
        let places = Places {
            link_local: LINK_LOCAL.to_owned(),
            scaleway: SCALEWAY.to_owned(),
            google,
            tencent: TENCENT.to_owned(),
            alibaba: ALIBABA.to_owned(),
            kubernetes: None,
        };
        World::new(variables, Path::new("/"), places, timeout)
    }

    pub(super) fn new(
        variables: fn(&str) -> Option<String>,
        root: &Path,
        places: Places,
        timeout: Duration,
    ) -> Result<World, String> {
        let options = Options {
            timeout,
            // Outside of a cloud nobody answers at all.
            connect_timeout: timeout.min(Duration::from_secs(2)),
            max_response_bytes: MAX_METADATA,
            ..Options::default()
        };
        let client = Client::new(ClientConfig::default(), options).map_err(|error| error.to_string())?;
        Ok(World { variables, root: root.to_owned(), places, client })
    }

    /// An environment variable that is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A text file by its absolute path.
    pub(super) fn file(&self, path: &str) -> Result<String, String> {
        let path = self.path(path);
        base_sys::fs::read_text_bounded(&path, MAX_METADATA).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What a metadata service says.
    pub(super) async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Result<String, Missing> {
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(url), |request, (name, value)| request.header(*name, *value));
        let request = request.body(Bytes::new()).map_err(|error| Missing::Failed(format!("{url}: {error}")))?;
        let response = self.client.send(request).await.map_err(|error| Missing::Elsewhere(error.to_string()))?;
        if !response.status.is_success() {
            return Err(Missing::Elsewhere(format!("{url} answers {}", response.status)));
        }
        String::from_utf8(response.body.to_vec()).map_err(|_| Missing::Failed(format!("{url} answers what is no text")))
    }

    pub(super) async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<String, Missing> {
        self.ask(Method::GET, url, headers).await
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, url: &str, headers: &[(&str, &str)]) -> Result<T, Missing> {
        let text = self.get(url, headers).await?;
        serde_json::from_str(&text).map_err(|error| Missing::Failed(format!("{url} answers no metadata: {error}")))
    }
}

// === impl Missing ===

impl Missing {
    /// The same, from somebody who must be there.
    pub(super) fn failed(self) -> Missing {
        Missing::Failed(self.text())
    }

    /// The same, from somebody who may not be what he seems.
    pub(super) fn elsewhere(self) -> Missing {
        Missing::Elsewhere(self.text())
    }

    pub(super) fn text(self) -> String {
        match self {
            Missing::Elsewhere(text) | Missing::Failed(text) => text,
        }
    }
}

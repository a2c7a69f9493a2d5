//! Where the Kubernetes API is, and who we are there.

use std::path::Path;

use base_sys::fs;
use sdk_net::ClientConfig;

use crate::kubeconfig;

/// Where a pod finds what it may show to the API.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A namespace's name has at most 63 letters.
const MAX_NAMESPACE: usize = 4096;

/// An API server and how to speak to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// `https://…`, possibly with a path, without a slash at the end.
    pub server: String,
    /// Credentials and certificates; their files are read again when they change.
    pub client: ClientConfig,
}

/// Why the API cannot be reached at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// The configuration is wrong.
    #[error("{message}")]
    Configuration {
        /// The argument to blame.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// This machine lacks something: we are not in a cluster, a file is missing.
    #[error("{0}")]
    Environment(String),
}

// === impl Access ===

impl Access {
    /// By a kubeconfig file, by an address, or else as a pod of the cluster.
    pub fn new(api_server: &str, kubeconfig_file: &str, client: &ClientConfig) -> Result<Access, AccessError> {
        if !kubeconfig_file.is_empty() {
            return kubeconfig::read(Path::new(kubeconfig_file)).map_err(AccessError::Environment);
        }
        if api_server.is_empty() {
            let variable = |name| std::env::var(name).unwrap_or_default();
            let (host, port) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
            return in_cluster(&host, &port, Path::new(SERVICE_ACCOUNT)).map_err(AccessError::Environment);
        }
        let server =
            server(api_server).map_err(|message| AccessError::Configuration { field: "api_server", message })?;
        Ok(Access { server, client: client.clone() })
    }
}

/// How the OpenTelemetry Collector's components say who we are towards the API (`auth_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// The service account of our pod.
    ServiceAccount,
    /// The file that `KUBECONFIG` names, or `~/.kube/config`.
    KubeConfig,
    /// Nobody in particular; the server's certificate is not checked.
    None,
}

// === impl AuthType ===

impl AuthType {
    /// By its name in configurations; empty is the service account.
    pub fn named(name: &str) -> Option<AuthType> {
        Some(match name {
            "" | "serviceAccount" => AuthType::ServiceAccount,
            "kubeConfig" => AuthType::KubeConfig,
            "none" => AuthType::None,
            _ => return None,
        })
    }

    /// Where the API is and who we are there, by the environment variables that `variable` gives.
    pub fn access(self, variable: impl Fn(&str) -> Option<String>) -> Result<Access, AccessError> {
        let client = ClientConfig::default();
        match self {
            AuthType::ServiceAccount => Access::new("", "", &client),
            AuthType::KubeConfig => {
                let home = || variable("HOME").map(|home| format!("{home}/.kube/config"));
                let Some(file) = variable("KUBECONFIG").or_else(home) else {
                    return Err(AccessError::Environment("neither KUBECONFIG nor HOME is set".to_owned()));
                };
                Access::new("", &file, &client)
            }
            AuthType::None => {
                let given = |name: &str| {
                    let missing = || AccessError::Environment(format!("the environment variable {name} is not set"));
                    variable(name).ok_or_else(missing)
                };
                let (host, port) = (given("KUBERNETES_SERVICE_HOST")?, given("KUBERNETES_SERVICE_PORT")?);
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                let mut client = client;
                client.tls_config.insecure_skip_verify = true;
                Access::new(&format!("https://{host}:{port}"), "", &client)
            }
        }
    }
}

/// The namespace of the pod that we are.
pub fn own_namespace() -> Result<String, String> {
    namespace_in(Path::new(SERVICE_ACCOUNT))
}

fn namespace_in(folder: &Path) -> Result<String, String> {
    let file = folder.join("namespace");
    let text = fs::read_text_bounded(&file, MAX_NAMESPACE)
        .map_err(|error| format!("cannot tell the namespace of our own pod: {}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("cannot tell the namespace of our own pod: {} is empty", file.display())),
        namespace => Ok(namespace.to_owned()),
    }
}

fn in_cluster(host: &str, port: &str, folder: &Path) -> Result<Access, String> {
    if host.is_empty() || port.is_empty() {
        return Err(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
                .to_owned(),
        );
    }
    let token = folder.join("token");
    if let Err(error) = std::fs::metadata(&token) {
        return Err(format!("unable to load in-cluster configuration, {}: {error}", token.display()));
    }
    let mut client = ClientConfig { bearer_token_file: token.display().to_string(), ..ClientConfig::default() };
    let authority = folder.join("ca.crt");
    // Without it the system's authorities are asked.
    if authority.exists() {
        client.tls_config.ca_file = authority.display().to_string();
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(Access { server: format!("https://{host}:{port}"), client })
}

/// An address as the user wrote it, with a scheme and without a slash at the end.
pub(crate) fn server(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&whole).map_err(|error| format!("{text:?} is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{text:?} is not an address: expected http:// or https:// and a host"));
    }
    Ok(whole.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_its_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let missing = in_cluster("10.0.0.1", "443", folder.path()).unwrap_err();
        assert!(missing.contains("/token: "), "{missing}");
        for (name, text) in [("token", "t"), ("ca.crt", "c"), ("namespace", "monitoring\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let access = in_cluster("fd00::1", "443", folder.path()).unwrap();
        assert_eq!(access.server, "https://[fd00::1]:443");
        assert!(access.client.bearer_token_file.ends_with("/token"));
        assert!(access.client.tls_config.ca_file.ends_with("/ca.crt"));
        assert_eq!(namespace_in(folder.path()).unwrap(), "monitoring");
        assert!(in_cluster("", "443", folder.path()).unwrap_err().contains("must be defined"));
    }

    #[test]
    fn an_address_may_have_a_path_and_lack_a_scheme() {
        assert_eq!(server("https://rancher/k8s/clusters/c-1/").unwrap(), "https://rancher/k8s/clusters/c-1");
        assert_eq!(server("localhost:8001").unwrap(), "http://localhost:8001");
        assert!(server("ftp://x").unwrap_err().contains("expected http:// or https://"));
    }
}

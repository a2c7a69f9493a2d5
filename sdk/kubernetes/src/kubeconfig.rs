//! kubeconfig files: the current context's cluster and user.

use std::path::Path;

use base_sys::fs;
use base64::Engine as _;
use language_eval::SecretString;
use sdk_net::ClientConfig;
use sdk_net::client::BasicAuth;
use serde::Deserialize;

use crate::access::{Access, server};
use crate::objects::nullable;

/// One of a hundred clusters has some hundred kilobytes of certificates.
const MAX_FILE: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default, deserialize_with = "nullable")]
    clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "nullable")]
    users: Vec<NamedUser>,
    #[serde(default, deserialize_with = "nullable")]
    contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "nullable")]
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    user: User,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: String,
    certificate_authority_data: String,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: String,
    r#as: String,
    as_uid: String,
    as_groups: Vec<String>,
    exec: Option<Exec>,
    auth_provider: Option<AuthProvider>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Exec {
    command: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthProvider {
    name: String,
}

/// Reads the file; errors name it.
pub fn read(file: &Path) -> Result<Access, String> {
    let named = |why: String| format!("cannot use kubeconfig file {}: {why}", file.display());
    let text = fs::read_text_bounded(file, MAX_FILE).map_err(|error| named(error.to_string()))?;
    parse(&text, file.parent().unwrap_or(Path::new(""))).map_err(named)
}

/// Files that it names without a leading slash stand beside it.
fn parse(text: &str, folder: &Path) -> Result<Access, String> {
    let file: File = base_yaml::from_str(text)?;
    if file.current_context.is_empty() {
        return Err("it has no current-context".to_owned());
    }
    let name = &file.current_context;
    let context = file.contexts.iter().find(|context| context.name == *name);
    let context = &context.ok_or_else(|| format!("it has no context {name:?}, which is its current-context"))?.context;
    let cluster = file.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
    let cluster =
        cluster.ok_or_else(|| format!("it has no cluster {:?}, which context {name:?} names", context.cluster))?;
    let user = match context.user.as_str() {
        "" => User::default(),
        wanted => {
            let user = file.users.into_iter().find(|user| user.name == wanted);
            user.ok_or_else(|| format!("it has no user {wanted:?}, which context {name:?} names"))?.user
        }
    };
    client(cluster.cluster, user, folder)
}

fn client(cluster: Cluster, user: User, folder: &Path) -> Result<Access, String> {
    if let Some(exec) = &user.exec {
        return Err(format!(
            "its user gets credentials by running {:?} (exec), which is not supported; use a token, a tokenFile or a client certificate",
            exec.command
        ));
    }
    if let Some(provider) = &user.auth_provider {
        return Err(format!(
            "its user has the auth-provider {:?}, which is not supported; use a token, a tokenFile or a client certificate",
            provider.name
        ));
    }
    let beside = |name: &str| match name {
        "" => String::new(),
        name => folder.join(name).display().to_string(),
    };
    let mut client = ClientConfig::default();
    let tls = &mut client.tls_config;
    // Data inside the file wins over the name of a file, as everywhere in Kubernetes.
    tls.ca_pem = decoded("certificate-authority-data", &cluster.certificate_authority_data)?;
    if tls.ca_pem.is_empty() {
        tls.ca_file = beside(&cluster.certificate_authority);
    }
    tls.cert_pem = decoded("client-certificate-data", &user.client_certificate_data)?;
    if tls.cert_pem.is_empty() {
        tls.cert_file = beside(&user.client_certificate);
    }
    let key = decoded("client-key-data", &user.client_key_data)?;
    match key.is_empty() {
        true => tls.key_file = beside(&user.client_key),
        false => tls.key_pem = SecretString::from(key),
    }
    tls.insecure_skip_verify = cluster.insecure_skip_tls_verify;
    tls.server_name = cluster.tls_server_name;
    client.proxy.proxy_url = cluster.proxy_url;
    if !user.token_file.is_empty() {
        client.bearer_token_file = beside(&user.token_file);
    } else if !user.token.is_empty() {
        client.bearer_token = SecretString::from(user.token);
    } else if !user.username.is_empty() {
        client.basic_auth = Some(BasicAuth {
            username: user.username,
            password: SecretString::from(user.password),
            ..BasicAuth::default()
        });
    }
    let impersonate = [("Impersonate-User", vec![user.r#as]), ("Impersonate-Uid", vec![user.as_uid])];
    for (header, values) in impersonate.into_iter().chain([("Impersonate-Group", user.as_groups)]) {
        let values: Vec<_> = values.into_iter().filter(|value| !value.is_empty()).map(SecretString::from).collect();
        if !values.is_empty() {
            client.http_headers.insert(header.to_owned(), values);
        }
    }
    Ok(Access { server: server(&cluster.server)?, client })
}

fn decoded(what: &str, text: &str) -> Result<String, String> {
    let letters: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(letters);
    let bytes = bytes.map_err(|error| format!("{what} is not base64: {error}"))?;
    String::from_utf8(bytes).map_err(|_| format!("{what} is not a certificate or key in PEM form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: b
clusters:
- name: one
  cluster: {server: 'https://one:6443', certificate-authority: pki/ca.crt, tls-server-name: kubernetes}
- name: two
  cluster: {server: 'https://two:6443/', certificate-authority-data: Q0E=, proxy-url: 'http://proxy:3128'}
users:
- name: u
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
- name: t
  user: {tokenFile: token, as: robot, as-groups: [a, b]}
contexts:
- name: a
  context: {cluster: one, user: t, namespace: default}
- name: b
  context: {cluster: two, user: u}
preferences: {}
";

    #[test]
    fn the_current_context_counts() {
        let access = parse(TWO, Path::new("/etc/kube")).unwrap();
        assert_eq!(access.server, "https://two:6443");
        let tls = &access.client.tls_config;
        assert_eq!((tls.ca_pem.as_str(), tls.cert_pem.as_str(), &*tls.key_pem.expose()), ("CA", "CERT", "KEY"));
        assert_eq!(access.client.proxy.proxy_url, "http://proxy:3128");

        let access = parse(&TWO.replace("current-context: b", "current-context: a"), Path::new("/etc/kube")).unwrap();
        assert_eq!(access.server, "https://one:6443");
        assert_eq!(access.client.tls_config.ca_file, "/etc/kube/pki/ca.crt");
        assert_eq!(access.client.tls_config.server_name, "kubernetes");
        assert_eq!(access.client.bearer_token_file, "/etc/kube/token");
        assert_eq!(access.client.http_headers["Impersonate-Group"].len(), 2);
    }

    #[test]
    fn what_cannot_be_used_is_said_in_words() {
        let refused = |from: &str, to: &str| parse(&TWO.replace(from, to), Path::new("")).unwrap_err();
        assert_eq!(refused("current-context: b", "current-context: ''"), "it has no current-context");
        assert_eq!(refused("context: b\n", "context: c\n"), "it has no context \"c\", which is its current-context");
        assert_eq!(
            refused("cluster: two, ", "cluster: three, "),
            "it has no cluster \"three\", which context \"b\" names"
        );
        assert_eq!(refused("Q0E=", "?"), "certificate-authority-data is not base64: Invalid symbol 63, offset 0.");
        let exec = refused("client-key-data: S0VZ", "exec: {command: aws, args: [eks, get-token]}");
        assert!(
            exec.starts_with("its user gets credentials by running \"aws\" (exec), which is not supported"),
            "{exec}"
        );
        assert!(parse("[", Path::new("")).is_err());
    }
}

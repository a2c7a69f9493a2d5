//! Keys of the machine that we run on: from the agent of a container (ECS, and pods of EKS), or from the metadata of an
//! instance of EC2.

use bytes::Bytes;
use http::{Method, Request};
use sdk_net::Client;
use serde::Deserialize;

use super::Environment;
use super::chain::{Cached, read};
use super::sigv4::Keys;

/// Where the agent of ECS answers.
const CONTAINER: &str = "http://169.254.170.2";
/// Where instances learn about themselves.
const INSTANCE: &str = "http://169.254.169.254";
/// Of the session with the metadata service, in seconds: one round of questions.
const SESSION: &str = "300";

/// What both answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

/// The keys of the container, where the environment says that there is an agent; else those of the instance.
pub(crate) async fn keys(client: &Client, environment: &Environment) -> Result<Cached, String> {
    match container(environment) {
        Some(address) => container_keys(client, environment, &address).await,
        None if environment("AWS_EC2_METADATA_DISABLED").eq_ignore_ascii_case("true") => {
            Err("AWS_EC2_METADATA_DISABLED forbids to ask the instance".to_owned())
        }
        None => instance_keys(client, environment).await,
    }
}

pub(crate) fn container(environment: &Environment) -> Option<String> {
    let (relative, full) =
        (environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), environment("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    if relative.is_empty() {
        Some(full).filter(|full| !full.is_empty())
    } else {
        Some(format!("{CONTAINER}{relative}"))
    }
}

pub(crate) async fn container_keys(
    client: &Client,
    environment: &Environment,
    address: &str,
) -> Result<Cached, String> {
    let file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let token = match &file[..] {
        "" => environment("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        path => read(path.as_ref())
            .map_err(|error| format!("cannot read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE {path}: {error}"))?,
    };
    let header = ("authorization", token.trim());
    let headers = if token.is_empty() { &[][..] } else { &[header] };
    credentials(&get(client, Method::GET, address, headers).await?, address)
}

pub(crate) async fn instance_keys(client: &Client, environment: &Environment) -> Result<Cached, String> {
    let base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let base = if base.is_empty() { INSTANCE } else { base.trim_end_matches('/') };
    let token = ("x-aws-ec2-metadata-token-ttl-seconds", SESSION);
    let token = get(client, Method::PUT, &format!("{base}/latest/api/token"), &[token]).await?;
    let headers = [("x-aws-ec2-metadata-token", token.trim())];
    let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
    let role = get(client, Method::GET, &roles, &headers).await?;
    let role = role.lines().next().filter(|role| !role.is_empty()).ok_or("the instance has no role")?;
    let address = format!("{roles}{role}");
    credentials(&get(client, Method::GET, &address, &headers).await?, &address)
}

async fn get(client: &Client, method: Method, address: &str, headers: &[(&str, &str)]) -> Result<String, String> {
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(address), |request, (name, value)| request.header(*name, *value));
    let request = request.body(Bytes::new()).map_err(|error| format!("cannot ask {address:?}: {error}"))?;
    let response = client.send(request).await.map_err(|error| format!("cannot ask {address} for keys: {error}"))?;
    if !response.status.is_success() {
        return Err(format!("{address} gives no keys, it answers {}", response.status));
    }
    Ok(String::from_utf8_lossy(&response.body).into_owned())
}

fn credentials(answer: &str, address: &str) -> Result<Cached, String> {
    // The answer is not repeated: it may hold keys.
    let none = || format!("the answer of {address} holds no keys");
    let found: Credentials = serde_json::from_str(answer).map_err(|_| none())?;
    let keys =
        Keys { access_key: found.access_key_id, secret_key: found.secret_access_key, session_token: Some(found.token) };
    Cached::until(keys, &found.expiration).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use sdk_net::{ClientConfig, Options};

    use super::*;
    use crate::testing::{environment, service, signed};

    const KEYS: &str =
        r#"{"AccessKeyId": "TEMP", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}"#;

    #[tokio::test]
    async fn an_instance_has_the_keys_of_its_role() {
        let (address, asked) = service(&[
            ("put /latest/api/token", "session"),
            ("get /latest/meta-data/iam/security-credentials/", "role-1\n"),
            ("get /latest/meta-data/iam/security-credentials/role-1", KEYS),
        ])
        .await;
        let found = signed(environment(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)])).await;
        assert_eq!(found, Ok(("TEMP".to_owned(), "t".to_owned())));
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 300"), "{}", asked[0]);
        assert!(asked[2].contains("x-aws-ec2-metadata-token: session"), "{}", asked[2]);
    }

    #[tokio::test]
    async fn a_container_has_the_keys_of_its_agent() {
        let (address, asked) = service(&[("get /keys", KEYS)]).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret\n").unwrap();
        let full = format!("{address}/keys");
        let variables = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*full),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(signed(environment(&variables)).await, Ok(("TEMP".to_owned(), "t".to_owned())));
        assert!(asked.lock().unwrap()[0].contains("authorization: secret\r\n"));
        let relative =
            [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "y")];
        assert_eq!(container(&environment(&relative)).as_deref(), Some("http://169.254.170.2/v2/x"));
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let (address, _) =
            service(&[("put /latest/api/token", "session"), ("get /broken", r#"{"AccessKeyId": "X"}"#)]).await;
        let broken = format!("{address}/broken");
        for (variables, why) in [
            (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*address)], "gives no keys, it answers 404"),
            (vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*broken)], "/broken holds no keys"),
            (vec![("AWS_EC2_METADATA_DISABLED", "true")], "AWS_EC2_METADATA_DISABLED forbids"),
        ] {
            let error = signed(environment(&variables)).await.unwrap_err();
            assert!(error.contains(why) && error.contains("no keys in sigv4, in the environment"), "{error}");
        }
        // Who names a profile wants its keys and no others.
        let client = Client::new(ClientConfig::default(), Options::default()).unwrap();
        let nobody = environment(&[("AWS_EC2_METADATA_DISABLED", "TRUE")]);
        assert!(keys(&client, &nobody).await.is_err_and(|why| why.contains("forbids")));
        let named = environment(&[("AWS_PROFILE", "mine"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)]);
        assert!(signed(named).await.is_err_and(|why| why.contains("\"mine\"") && !why.contains("404")));
    }
}

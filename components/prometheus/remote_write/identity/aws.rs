//! Keys of AWS, found as its tools find them: in the configuration, the environment, shared files; and the role that they
//! may take, from the Security Token Service.

use std::path::PathBuf;
use std::time::Duration;

use base_sys::clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use sdk_component::Problem;
use sdk_net::{Client, ClientConfig, Options};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::super::arguments::SigV4;
use super::Environment;
use super::sigv4::{self, Keys, Scope};

/// The service of Amazon Managed Prometheus, unless `service_name` says another.
const SERVICE: &str = "aps";
/// Temporary keys are renewed so long before they end, in milliseconds.
const RENEW_EARLY: i64 = 5 * 60 * 1000;
/// Shared files are read again after so long, in milliseconds: others write them.
const READ_AGAIN: i64 = 60 * 1000;
/// No shared file is longer.
const MOST_FILE: usize = 1 << 20;
/// The name of our sessions, as it is seen in AWS' audit logs.
const SESSION: &str = "ferroalloy";

/// Finds keys, and keeps them until they end.
pub(crate) struct Chain {
    config: SigV4,
    environment: Environment,
    region: String,
    sts: Client,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    keys: Keys,
    /// Milliseconds since 1970.
    until: i64,
}

/// Where keys come from when the configuration has none.
enum Source {
    Environment(Keys),
    /// A token of somebody else that is worth a role: the way of Kubernetes on AWS.
    WebIdentity {
        role: String,
        token_file: PathBuf,
    },
    Profile(String),
}

impl Chain {
    pub(super) fn new(config: &SigV4, environment: Environment) -> Result<Chain, Problem> {
        let given = [config.region.clone(), environment("AWS_REGION"), environment("AWS_DEFAULT_REGION")];
        let region = given.into_iter().find(|region| !region.is_empty());
        let region = region.or_else(|| {
            let profile = profile_name(config, &environment);
            let named = format!("profile {profile}");
            let file = read(&config_file(&environment)).ok()?;
            value(&file, &[&named, &profile], "region")
        });
        let region = region
            .ok_or_else(|| Problem::at("endpoint", "region not configured in sigv4 or in default credentials chain"))?;
        let options = Options { timeout: Duration::from_secs(10), ..Options::default() };
        let sts = Client::new(ClientConfig::default(), options)
            .map_err(|error| Problem::at("endpoint", error.to_string()))?;
        Ok(Chain { config: config.clone(), environment, region, sts, cached: Mutex::default() })
    }

    pub(super) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), String> {
        let keys = self.keys().await.map_err(|why| format!("could not get SigV4 credentials: {why}"))?;
        let service = match self.config.service_name.as_str() {
            "" => SERVICE,
            name => name,
        };
        sigv4::sign(request, &keys, Scope { region: &self.region, service, now_ms: clock::now_ms() })
    }

    async fn keys(&self) -> Result<Keys, String> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = &*cached
            && clock::now_ms() < cached.until
        {
            return Ok(cached.keys.clone());
        }
        let mut found = self.own().await?;
        if !self.config.role_arn.is_empty() {
            found = self.assume(&found.keys).await?;
        }
        let keys = found.keys.clone();
        *cached = Some(found);
        Ok(keys)
    }

    /// Our own keys, before a role is taken.
    async fn own(&self) -> Result<Cached, String> {
        let SigV4 { access_key, secret_key, .. } = &self.config;
        if !access_key.is_empty() {
            let keys = Keys {
                access_key: access_key.clone(),
                secret_key: secret_key.expose().into_owned(),
                session_token: None,
            };
            return Ok(Cached { keys, until: i64::MAX });
        }
        match self.source() {
            Source::Environment(keys) => Ok(Cached { keys, until: i64::MAX }),
            Source::Profile(profile) => profile_keys(&profile, &self.environment),
            Source::WebIdentity { role, token_file } => {
                let path = token_file.display();
                let token = read(&token_file)
                    .map_err(|error| format!("cannot read AWS_WEB_IDENTITY_TOKEN_FILE {path}: {error}"))?;
                let form = [("RoleArn", role.as_str()), ("WebIdentityToken", token.trim())];
                self.ask("AssumeRoleWithWebIdentity", &form, None).await
            }
        }
    }

    fn source(&self) -> Source {
        let environment = &self.environment;
        if !self.config.profile.is_empty() {
            return Source::Profile(self.config.profile.clone());
        }
        let (access_key, secret_key) = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"));
        if !access_key.is_empty() && !secret_key.is_empty() {
            let token = environment("AWS_SESSION_TOKEN");
            return Source::Environment(Keys {
                access_key,
                secret_key,
                session_token: Some(token).filter(|token| !token.is_empty()),
            });
        }
        let (role, token_file) = (environment("AWS_ROLE_ARN"), environment("AWS_WEB_IDENTITY_TOKEN_FILE"));
        if !role.is_empty() && !token_file.is_empty() {
            return Source::WebIdentity { role, token_file: token_file.into() };
        }
        Source::Profile(profile_name(&self.config, environment))
    }

    async fn assume(&self, keys: &Keys) -> Result<Cached, String> {
        let mut form = vec![("RoleArn", self.config.role_arn.as_str())];
        if !self.config.external_id.is_empty() {
            form.push(("ExternalId", &self.config.external_id));
        }
        self.ask("AssumeRole", &form, Some(keys)).await
    }

    /// Asks the Security Token Service for temporary keys.
    async fn ask(&self, action: &str, form: &[(&str, &str)], keys: Option<&Keys>) -> Result<Cached, String> {
        let mut request = Request::new(Bytes::from(question(action, form)));
        *request.method_mut() = Method::POST;
        let address = self.sts_address();
        *request.uri_mut() = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(keys) = keys {
            let scope = Scope { region: &self.region, service: "sts", now_ms: clock::now_ms() };
            sigv4::sign(&mut request, keys, scope)?;
        }
        let response =
            self.sts.send(request).await.map_err(|error| format!("cannot ask {address} for a role: {error}"))?;
        let answer = String::from_utf8_lossy(&response.body);
        let field = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>"))?;
            Some(rest.split_once("</")?.0.replace("&amp;", "&"))
        };
        if !response.status.is_success() {
            let why = field("Message").unwrap_or_else(|| "it does not say why".to_owned());
            return Err(format!("{address} gives no role, it answers {}: {why}", response.status));
        }
        let all = || {
            let until = field("Expiration")?.parse::<jiff::Timestamp>().ok()?.as_millisecond() - RENEW_EARLY;
            let session_token = Some(field("SessionToken")?);
            let keys = Keys { access_key: field("AccessKeyId")?, secret_key: field("SecretAccessKey")?, session_token };
            Some(Cached { keys, until })
        };
        all().ok_or_else(|| format!("the answer of {address} holds no keys"))
    }

    fn sts_address(&self) -> String {
        let environment = &self.environment;
        // The variables of AWS' tools, for endpoints of one's own.
        let own = [environment("AWS_ENDPOINT_URL_STS"), environment("AWS_ENDPOINT_URL")];
        if let Some(own) = own.into_iter().find(|address| !address.is_empty()) {
            return own;
        }
        let name = if self.config.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://{name}.{}.{domain}/", self.region)
    }
}

/// As the service's API has it.
fn question(action: &str, form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("Action", action).append_pair("Version", "2011-06-15");
    body.append_pair("RoleSessionName", SESSION).extend_pairs(form);
    body.finish()
}

fn profile_name(config: &SigV4, environment: &Environment) -> String {
    let given = [config.profile.clone(), environment("AWS_PROFILE")];
    given.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn shared_file(environment: &Environment, variable: &str, name: &str) -> PathBuf {
    match environment(variable) {
        path if !path.is_empty() => path.into(),
        _ => PathBuf::from(environment("HOME")).join(".aws").join(name),
    }
}

fn config_file(environment: &Environment) -> PathBuf {
    shared_file(environment, "AWS_CONFIG_FILE", "config")
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    base_sys::fs::read_text_bounded(path, MOST_FILE)
}

/// The keys of a profile: in the file of credentials, or in that of the configuration.
fn profile_keys(profile: &str, environment: &Environment) -> Result<Cached, String> {
    let named = format!("profile {profile}");
    let credentials = shared_file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    for (path, sections) in [(&credentials, &[profile][..]), (&config_file(environment), &[&*named, profile][..])] {
        let Ok(file) = read(path) else { continue };
        let of = |name: &str| value(&file, sections, name);
        if let (Some(access_key), Some(secret_key)) = (of("aws_access_key_id"), of("aws_secret_access_key")) {
            let keys = Keys { access_key, secret_key, session_token: of("aws_session_token") };
            return Ok(Cached { keys, until: clock::now_ms() + READ_AGAIN });
        }
    }
    Err(format!(
        "no keys in sigv4, in the environment, or for profile {profile:?} in {}; roles of profiles, single sign-on, and the metadata services of EC2 and ECS are not supported yet by this version of Ferroalloy",
        credentials.display()
    ))
}

/// What a section of an INI file says, of the first of these sections that is there.
fn value(file: &str, sections: &[&str], name: &str) -> Option<String> {
    let mut is_ours = false;
    for line in file.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
            is_ours = sections.contains(&section.as_str());
        } else if let (true, Some((key, value))) = (is_ours, line.split_once('='))
            && key.trim().eq_ignore_ascii_case(name)
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_shared_files_are_told_apart() {
        let file =
            "# mine\n[default]\naws_access_key_id = A\n\n[profile  other]\nregion=eu-west-1\naws_access_key_id=B\n";
        assert_eq!(value(file, &["default"], "aws_access_key_id").as_deref(), Some("A"));
        assert_eq!(value(file, &["profile other", "other"], "aws_access_key_id").as_deref(), Some("B"));
        assert_eq!(value(file, &["profile other"], "region").as_deref(), Some("eu-west-1"));
        assert_eq!(value(file, &["default"], "region"), None);
    }
}

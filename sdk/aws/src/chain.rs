//! Keys of AWS, found as its tools find them: in the configuration, the environment, shared files, the machine; and the role that
//! they may take, from the Security Token Service.

use std::path::PathBuf;
use std::time::Duration;

use base_sys::clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use sdk_net::{Client, ClientConfig, Options};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::sigv4::{self, Keys, Scope};
use super::{Environment, Settings, element, machine};

/// Temporary keys are renewed so long before they end, in milliseconds.
const RENEW_EARLY: i64 = 5 * 60 * 1000;
/// Shared files are read again after so long, in milliseconds: others write them.
const READ_AGAIN: i64 = 60 * 1000;
/// No shared file is longer.
const MOST_FILE: usize = 1 << 20;
/// The name of our sessions, as it is seen in AWS' audit logs.
const SESSION: &str = "ferroalloy";
/// Outside of a cloud nobody answers at all.
const CONNECT: Duration = Duration::from_secs(3);
/// Characters of a refusal that are told.
const MOST_REASON: usize = 300;

/// Finds keys, and keeps them until they end.
pub struct Chain {
    settings: Settings,
    environment: Environment,
    region: String,
    client: Client,
    cached: Mutex<Option<Cached>>,
}

/// One thing that a service of AWS can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// What its requests are signed for.
    pub service: &'static str,
    /// Its address before the region.
    pub host: &'static str,
    /// The variable of AWS' tools for an address of one's own.
    pub variable: &'static str,
    /// How it is asked.
    pub content_type: &'static str,
    /// What `X-Amz-Target` says, where the service has JSON.
    pub target: Option<&'static str>,
}

/// Keys, and how long they are good.
pub(crate) struct Cached {
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

impl Cached {
    /// Temporary keys; `None` when nobody can tell what time that is.
    pub(crate) fn until(keys: Keys, time: &str) -> Option<Cached> {
        Some(Cached { keys, until: time.parse::<jiff::Timestamp>().ok()?.as_millisecond() - RENEW_EARLY })
    }
}

// === impl Chain ===

impl Chain {
    /// What can be found without the network.
    ///
    /// # Errors
    /// No region is configured anywhere.
    pub fn new(settings: Settings, environment: Environment) -> Result<Chain, String> {
        let given = [settings.region.clone(), environment("AWS_REGION"), environment("AWS_DEFAULT_REGION")];
        let region = given.into_iter().find(|region| !region.is_empty()).or_else(|| {
            let profile = profile_name(&settings, &environment);
            let named = format!("profile {profile}");
            let file = read(&config_file(&environment)).ok()?;
            value(&file, &[&named, &profile], "region")
        });
        let region = region.ok_or("region not configured in sigv4 or in default credentials chain")?;
        let options = Options { timeout: Duration::from_secs(10), connect_timeout: CONNECT, ..Options::default() };
        let client = Client::new(ClientConfig::default(), options).map_err(|error| error.to_string())?;
        Ok(Chain { settings, environment, region, client, cached: Mutex::default() })
    }

    /// Signs a request that has all its headers, for a service.
    ///
    /// # Errors
    /// There are no keys, or the request cannot be signed.
    pub async fn sign(&self, request: &mut Request<Bytes>, service: &str) -> Result<(), String> {
        let keys = self.keys().await.map_err(|why| format!("could not get SigV4 credentials: {why}"))?;
        sigv4::sign(request, &keys, Scope { region: &self.region, service, now_ms: clock::now_ms() })
    }

    /// Asks a service of AWS; its answer.
    ///
    /// # Errors
    /// There are no keys, nobody answers, or the answer is no.
    pub async fn ask(&self, api: &Api, body: String) -> Result<Bytes, String> {
        let address = self.address(api.variable, api.host);
        let mut request =
            Request::builder().method(Method::POST).uri(&address).header("content-type", api.content_type);
        if let Some(target) = api.target {
            request = request.header("x-amz-target", target);
        }
        let mut request = request.body(body.into()).map_err(|error| format!("{address:?} is no address: {error}"))?;
        self.sign(&mut request, api.service).await?;
        let response = self.client.send(request).await.map_err(|error| format!("cannot ask {address}: {error}"))?;
        if !response.status.is_success() {
            // What AWS says of its refusals is a line or two.
            let why: String = String::from_utf8_lossy(&response.body).chars().take(MOST_REASON).collect();
            return Err(format!("{address} answers {}: {why}", response.status));
        }
        Ok(response.body)
    }

    async fn keys(&self) -> Result<Keys, String> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = &*cached
            && clock::now_ms() < cached.until
        {
            return Ok(cached.keys.clone());
        }
        let mut found = self.own().await?;
        if !self.settings.role_arn.is_empty() {
            found = self.assume(&found.keys).await?;
        }
        let keys = found.keys.clone();
        *cached = Some(found);
        Ok(keys)
    }

    /// Our own keys, before a role is taken.
    async fn own(&self) -> Result<Cached, String> {
        let Settings { access_key, secret_key, .. } = &self.settings;
        if !access_key.is_empty() {
            let keys = Keys { access_key: access_key.clone(), secret_key: secret_key.clone(), session_token: None };
            return Ok(Cached { keys, until: i64::MAX });
        }
        match self.source() {
            Source::Environment(keys) => Ok(Cached { keys, until: i64::MAX }),
            Source::Profile(profile) => match profile_keys(&profile, &self.environment) {
                Ok(found) => Ok(found),
                // Nobody has asked for that profile: the machine may have keys.
                Err(why) if self.settings.profile.is_empty() && (self.environment)("AWS_PROFILE").is_empty() => {
                    machine::keys(&self.client, &self.environment).await.map_err(|error| format!("{why}; {error}"))
                }
                Err(why) => Err(why),
            },
            Source::WebIdentity { role, token_file } => {
                let path = token_file.display();
                let token = read(&token_file)
                    .map_err(|error| format!("cannot read AWS_WEB_IDENTITY_TOKEN_FILE {path}: {error}"))?;
                let form = [("RoleArn", role.as_str()), ("WebIdentityToken", token.trim())];
                self.role("AssumeRoleWithWebIdentity", &form, None).await
            }
        }
    }

    fn source(&self) -> Source {
        let environment = &self.environment;
        if !self.settings.profile.is_empty() {
            return Source::Profile(self.settings.profile.clone());
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
        Source::Profile(profile_name(&self.settings, environment))
    }

    async fn assume(&self, keys: &Keys) -> Result<Cached, String> {
        let mut form = vec![("RoleArn", self.settings.role_arn.as_str())];
        if !self.settings.external_id.is_empty() {
            form.push(("ExternalId", &self.settings.external_id));
        }
        self.role("AssumeRole", &form, Some(keys)).await
    }

    /// Asks the Security Token Service for temporary keys.
    async fn role(&self, action: &str, form: &[(&str, &str)], keys: Option<&Keys>) -> Result<Cached, String> {
        let mut request = Request::new(Bytes::from(question(action, form)));
        *request.method_mut() = Method::POST;
        let host = if self.settings.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
        let address = self.address("AWS_ENDPOINT_URL_STS", host);
        *request.uri_mut() = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(keys) = keys {
            let scope = Scope { region: &self.region, service: "sts", now_ms: clock::now_ms() };
            sigv4::sign(&mut request, keys, scope)?;
        }
        let response =
            self.client.send(request).await.map_err(|error| format!("cannot ask {address} for a role: {error}"))?;
        let answer = String::from_utf8_lossy(&response.body);
        let field = |name: &str| element(&answer, name);
        if !response.status.is_success() {
            let why = field("Message").unwrap_or_else(|| "it does not say why".to_owned());
            return Err(format!("{address} gives no role, it answers {}: {why}", response.status));
        }
        let all = || {
            let session_token = Some(field("SessionToken")?);
            let keys = Keys { access_key: field("AccessKeyId")?, secret_key: field("SecretAccessKey")?, session_token };
            Cached::until(keys, &field("Expiration")?)
        };
        all().ok_or_else(|| format!("the answer of {address} holds no keys"))
    }

    /// Where a service is; the tools of AWS have variables for addresses of one's own.
    fn address(&self, variable: &str, host: &str) -> String {
        let own = [(self.environment)(variable), (self.environment)("AWS_ENDPOINT_URL")];
        if let Some(own) = own.into_iter().find(|address| !address.is_empty()) {
            return own;
        }
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://{host}.{}.{domain}/", self.region)
    }
}

/// As the service's API has it.
fn question(action: &str, form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("Action", action).append_pair("Version", "2011-06-15");
    body.append_pair("RoleSessionName", SESSION).extend_pairs(form);
    body.finish()
}

fn profile_name(settings: &Settings, environment: &Environment) -> String {
    let given = [settings.profile.clone(), environment("AWS_PROFILE")];
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

pub(crate) fn read(path: &std::path::Path) -> std::io::Result<String> {
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
        "no keys in sigv4, in the environment, or for profile {profile:?} in {}; roles of profiles and single sign-on are not supported yet by this version of Ferroalloy",
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

//! Keys of AWS, found as its tools find them: in the configuration, the environment, shared files, the machine; and the role that
//! they may take, from the Security Token Service.

use std::time::Duration;

use base_sys::clock;
use bytes::Bytes;
use http::{Method, Request};
use sdk_net::{Client, ClientConfig, Options, Response};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::profile::Way;
use super::sigv4::{self, Keys, Scope};
use super::{Environment, Settings, element, machine, profile};

/// Temporary keys are renewed so long before they end, in milliseconds.
const RENEW_EARLY: i64 = 5 * 60 * 1000;
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
    pub(crate) environment: Environment,
    region: String,
    pub(crate) client: Client,
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
pub(crate) enum Source {
    Environment(Keys),
    /// A token of somebody else that is worth a role: the way of Kubernetes on AWS.
    WebIdentity {
        role: String,
        token_file: String,
    },
    Profile(String),
}

impl Cached {
    pub(crate) fn new(keys: Keys, until: i64) -> Cached {
        Cached { keys, until }
    }

    /// Keys that end then, in milliseconds since 1970.
    pub(crate) fn temporary(keys: Keys, end: i64) -> Cached {
        Cached { keys, until: end.saturating_sub(RENEW_EARLY) }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Temporary keys; `None` when nobody can tell what time that is.
    pub(crate) fn until(keys: Keys, time: &str) -> Option<Cached> {
        Some(Cached::temporary(keys, time.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
    }
}

// === impl Chain ===

impl Chain {
    /// What can be found without the network.
    ///
    /// # Errors
    /// No region is configured anywhere, or the shared files name keys that we cannot come to.
    pub fn new(settings: Settings, environment: Environment) -> Result<Chain, String> {
        let given = [settings.region.clone(), environment("AWS_REGION"), environment("AWS_DEFAULT_REGION")];
        let region = given
            .into_iter()
            .find(|region| !region.is_empty())
            .or_else(|| profile::region(&profile_name(&settings, &environment), &environment));
        let region = region.ok_or("region not configured in sigv4 or in default credentials chain")?;
        if settings.access_key.is_empty()
            && let Source::Profile(profile) = Source::of(&settings, &environment)
        {
            Way::of(&profile, &environment)?;
        }
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
        let keys = self.keys().await.map_err(|why| format!("could not get SigV4 credentials: {why}"))?;
        let mut headers = vec![("content-type", api.content_type)];
        headers.extend(api.target.map(|target| ("x-amz-target", target)));
        let response = self.post(&address, &headers, body, Some((&keys, api.service))).await?;
        if !response.status.is_success() {
            // What AWS says of its refusals is a line or two.
            let why: String = String::from_utf8_lossy(&response.body).chars().take(MOST_REASON).collect();
            return Err(format!("{address} answers {}: {why}", response.status));
        }
        Ok(response.body)
    }

    /// Sends a question, signed if somebody is to be known by it; the answer, whatever it says.
    async fn post(
        &self,
        address: &str,
        headers: &[(&str, &str)],
        body: String,
        signed: Option<(&Keys, &str)>,
    ) -> Result<Response, String> {
        let request = Request::builder().method(Method::POST).uri(address);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(body.into()).map_err(|error| format!("{address:?} is no address: {error}"))?;
        if let Some((keys, service)) = signed {
            sigv4::sign(&mut request, keys, Scope { region: &self.region, service, now_ms: clock::now_ms() })?;
        }
        self.client.send(request).await.map_err(|error| format!("cannot ask {address}: {error}"))
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
        match Source::of(&self.settings, &self.environment) {
            Source::Environment(keys) => Ok(Cached { keys, until: i64::MAX }),
            Source::WebIdentity { role, token_file } => {
                self.web_identity("AWS_WEB_IDENTITY_TOKEN_FILE", &token_file, &[("RoleArn", role.as_str())]).await
            }
            Source::Profile(profile) => match self.of_profile(&profile).await? {
                Some(found) => Ok(found),
                None => {
                    let path = profile::credentials_file(&self.environment);
                    let path = path.display();
                    let why = format!("no keys in sigv4, in the environment, or for profile {profile:?} in {path}");
                    let is_named = !self.settings.profile.is_empty() || !(self.environment)("AWS_PROFILE").is_empty();
                    if is_named {
                        return Err(why);
                    }
                    // Nobody has asked for that profile: the machine may have keys.
                    machine::keys(&self.client, &self.environment).await.map_err(|error| format!("{why}; {error}"))
                }
            },
        }
    }

    /// Takes a role with a token of somebody else; `named` is where the user has named its file.
    pub(crate) async fn web_identity(
        &self,
        named: &str,
        token_file: &str,
        form: &[(&str, &str)],
    ) -> Result<Cached, String> {
        let token = read(token_file.as_ref()).map_err(|error| format!("cannot read {named}, {token_file}: {error}"))?;
        let form = [form, &[("WebIdentityToken", token.trim())]].concat();
        self.role("AssumeRoleWithWebIdentity", &form, None).await
    }

    async fn assume(&self, keys: &Keys) -> Result<Cached, String> {
        let mut form = vec![("RoleArn", self.settings.role_arn.as_str())];
        if !self.settings.external_id.is_empty() {
            form.push(("ExternalId", &self.settings.external_id));
        }
        self.role("AssumeRole", &form, Some(keys)).await
    }

    /// Asks the Security Token Service for temporary keys.
    pub(crate) async fn role(
        &self,
        action: &str,
        form: &[(&str, &str)],
        keys: Option<&Keys>,
    ) -> Result<Cached, String> {
        let host = if self.settings.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
        let address = self.address("AWS_ENDPOINT_URL_STS", host);
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let signed = keys.map(|keys| (keys, "sts"));
        let response = self.post(&address, &headers, question(action, form), signed).await?;
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

// === impl Source ===

impl Source {
    fn of(settings: &Settings, environment: &Environment) -> Source {
        if !settings.profile.is_empty() {
            return Source::Profile(settings.profile.clone());
        }
        if let Some(keys) = Source::of_environment(environment) {
            return Source::Environment(keys);
        }
        let (role, token_file) = (environment("AWS_ROLE_ARN"), environment("AWS_WEB_IDENTITY_TOKEN_FILE"));
        if !role.is_empty() && !token_file.is_empty() {
            return Source::WebIdentity { role, token_file };
        }
        Source::Profile(profile_name(settings, environment))
    }

    pub(crate) fn of_environment(environment: &Environment) -> Option<Keys> {
        let (access_key, secret_key) = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"));
        if access_key.is_empty() || secret_key.is_empty() {
            return None;
        }
        let token = environment("AWS_SESSION_TOKEN");
        Some(Keys { access_key, secret_key, session_token: Some(token).filter(|token| !token.is_empty()) })
    }
}

/// As the service's API has it.
fn question(action: &str, form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("Action", action).append_pair("Version", "2011-06-15");
    if !form.iter().any(|(name, _)| *name == "RoleSessionName") {
        body.append_pair("RoleSessionName", SESSION);
    }
    body.extend_pairs(form);
    body.finish()
}

fn profile_name(settings: &Settings, environment: &Environment) -> String {
    let given = [settings.profile.clone(), environment("AWS_PROFILE")];
    given.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

pub(crate) fn read(path: &std::path::Path) -> std::io::Result<String> {
    base_sys::fs::read_text_bounded(path, MOST_FILE)
}

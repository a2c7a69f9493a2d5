//! Profiles: what the files that AWS' tools share say of whose keys are taken.

use std::path::PathBuf;

use base_sys::clock;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use url::form_urlencoded;

use super::Environment;
use super::chain::{Cached, Chain, Source, read};
use super::machine;
use super::sigv4::Keys;

/// Shared files are read again after so long, in milliseconds: others write them.
const READ_AGAIN: i64 = 60 * 1000;
/// Roles that are taken one with the other's keys. Profiles may name each other in a circle.
const MOST_ROLES: usize = 8;

/// One profile, of the file of credentials and that of the configuration.
struct Profile {
    name: String,
    credentials: String,
    config: String,
}

/// A role that a profile takes.
struct Role {
    arn: String,
    external_id: Option<String>,
    session: Option<String>,
    seconds: Option<String>,
}

/// How a profile comes to keys.
pub(crate) struct Way {
    first: First,
    /// Taken with the first keys, from the last to the first.
    roles: Vec<Role>,
}

/// Whose keys are there first.
enum First {
    /// A token of somebody else, which is worth a role.
    Token { file: String, role: Role, profile: String },
    /// `credential_source` of a profile.
    Source { source: String, profile: String },
    /// Those of a profile itself, if it has any.
    Own(Profile),
}

/// What a sign-on of `aws sso login` leaves behind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignOn {
    access_token: String,
    expires_at: String,
}

/// What single sign-on answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    role_credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// Milliseconds since 1970.
    expiration: i64,
}

/// What the file of the configuration says of a region for a profile.
pub(crate) fn region(profile: &str, environment: &Environment) -> Option<String> {
    let file = read(&config_file(environment)).ok()?;
    value(&file, &[&format!("profile {profile}"), profile], "region")
}

fn config_file(environment: &Environment) -> PathBuf {
    shared_file(environment, "AWS_CONFIG_FILE", "config")
}

pub(crate) fn credentials_file(environment: &Environment) -> PathBuf {
    shared_file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
}

fn shared_file(environment: &Environment, variable: &str, name: &str) -> PathBuf {
    match environment(variable) {
        path if !path.is_empty() => path.into(),
        _ => home(environment).join(name),
    }
}

fn home(environment: &Environment) -> PathBuf {
    PathBuf::from(environment("HOME")).join(".aws")
}

// === impl Profile ===

impl Profile {
    fn read(name: String, environment: &Environment) -> Profile {
        // A file that is not there says nothing.
        let credentials = read(&credentials_file(environment)).unwrap_or_default();
        Profile { name, credentials, config: read(&config_file(environment)).unwrap_or_default() }
    }

    /// What both say, the file of credentials first.
    fn get(&self, name: &str) -> Option<String> {
        let [credentials, config] = self.each(name);
        credentials.or(config).filter(|value| !value.is_empty())
    }

    fn each(&self, name: &str) -> [Option<String>; 2] {
        let named = format!("profile {}", self.name);
        [value(&self.credentials, &[&self.name], name), value(&self.config, &[&named, &self.name], name)]
    }

    /// Of one of the files, not a half of each.
    fn keys(&self) -> Option<Cached> {
        let of = |name: &str| self.each(name).into_iter();
        let pairs = of("aws_access_key_id").zip(of("aws_secret_access_key")).zip(of("aws_session_token"));
        let mut whole = pairs.filter_map(|((access_key, secret_key), token)| Some((access_key?, secret_key?, token)));
        let (access_key, secret_key, session_token) = whole.next()?;
        let keys = Keys { access_key, secret_key, session_token };
        Some(Cached::new(keys, clock::now_ms() + READ_AGAIN))
    }

    fn role(&self) -> Result<Option<Role>, String> {
        let Some(arn) = self.get("role_arn") else { return Ok(None) };
        if self.get("mfa_serial").is_some() {
            return Err(format!(
                "profile {:?} wants a code for its role {arn} (mfa_serial), and there is nobody to type it; use a profile \
                 whose role asks for none, or sign on (aws sso login)",
                self.name
            ));
        }
        Ok(Some(Role {
            arn,
            external_id: self.get("external_id"),
            session: self.get("role_session_name"),
            seconds: self.get("duration_seconds"),
        }))
    }
}

impl Role {
    fn form(&self) -> Vec<(&str, &str)> {
        let mut form = vec![("RoleArn", self.arn.as_str())];
        let others =
            [("ExternalId", &self.external_id), ("RoleSessionName", &self.session), ("DurationSeconds", &self.seconds)];
        form.extend(others.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        form
    }
}

// === impl Way ===

impl Way {
    /// What the shared files say of a profile, as far as that needs no network.
    ///
    /// # Errors
    /// There is none that we could go.
    pub(crate) fn of(name: &str, environment: &Environment) -> Result<Way, String> {
        let mut profile = Profile::read(name.to_owned(), environment);
        let mut roles = Vec::new();
        loop {
            let role = profile.role()?;
            let token = profile.get("web_identity_token_file");
            let role = match (role, token) {
                (Some(role), Some(file)) => {
                    return Ok(Way { first: First::Token { file, role, profile: profile.name }, roles });
                }
                (role, _) => role,
            };
            let takes_role = role.is_some();
            roles.extend(role);
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(source), _) if takes_role && source != profile.name => {
                    if roles.len() >= MOST_ROLES {
                        return Err(format!(
                            "the profiles behind {name:?} take more than {MOST_ROLES} roles, or each other's"
                        ));
                    }
                    profile = Profile { name: source, ..profile };
                }
                (None, Some(source)) if takes_role => {
                    return Ok(Way { first: First::Source { source, profile: profile.name }, roles });
                }
                _ => return Ok(Way { first: First::Own(profile), roles }),
            }
        }
    }
}

// === impl Chain ===

impl Chain {
    /// The keys of a profile: its own, or those of its role, which is taken with the keys of another profile, of the environment, of
    /// the machine, or with a token. None: the shared files say nothing of keys for it.
    pub(crate) async fn of_profile(&self, name: &str) -> Result<Option<Cached>, String> {
        let Way { first, roles } = Way::of(name, &self.environment)?;
        let mut found = match first {
            First::Token { file, role, profile } => {
                let named = format!("the web_identity_token_file of profile {profile:?}");
                self.web_identity(&named, &file, &role.form()).await?
            }
            First::Source { source, profile } => self.of_source(&profile, &source).await?,
            First::Own(profile) => {
                let own = match profile.keys() {
                    None => self.signed_on(&profile).await?,
                    found => found,
                };
                match own {
                    Some(own) => own,
                    None if roles.is_empty() => return Ok(None),
                    None => return Err(format!("profile {:?} has no keys to take a role with", profile.name)),
                }
            }
        };
        for role in roles.iter().rev() {
            found = self.role("AssumeRole", &role.form(), Some(found.keys())).await?;
        }
        Ok(Some(found))
    }

    /// `credential_source` of a profile.
    async fn of_source(&self, profile: &str, source: &str) -> Result<Cached, String> {
        let (client, environment) = (&self.client, &self.environment);
        match source {
            "Environment" => match Source::of_environment(environment) {
                Some(keys) => Ok(Cached::new(keys, i64::MAX)),
                None => Err(format!("profile {profile:?} takes its keys from the environment, and there are none")),
            },
            "Ec2InstanceMetadata" => machine::instance_keys(client, environment).await,
            "EcsContainer" => match machine::container(environment) {
                Some(address) => machine::container_keys(client, environment, &address).await,
                None => {
                    Err(format!("profile {profile:?} takes the keys of a container, and this is none of ECS or EKS"))
                }
            },
            other => Err(format!(
                "profile {profile:?} has the credential_source {other:?}; there are Environment, Ec2InstanceMetadata and EcsContainer"
            )),
        }
    }

    /// The keys of a profile whose user has signed on (`aws sso login`), if it is one.
    async fn signed_on(&self, profile: &Profile) -> Result<Option<Cached>, String> {
        let (Some(account), Some(role)) = (profile.get("sso_account_id"), profile.get("sso_role_name")) else {
            return Ok(None);
        };
        let session = profile.get("sso_session");
        let of_session = |name: &str| match &session {
            Some(session) => value(&profile.config, &[&format!("sso-session {session}")], name),
            None => profile.get(name),
        };
        let missing = |what: &str| format!("profile {:?} signs on without {what}", profile.name);
        let region = of_session("sso_region").ok_or_else(|| missing("sso_region"))?;
        let start = of_session("sso_start_url").ok_or_else(|| missing("sso_start_url"))?;
        let name = hex(&Sha1::digest(session.as_deref().unwrap_or(&start)));
        let path = home(&self.environment).join("sso").join("cache").join(format!("{name}.json"));
        let again = format!("run: aws sso login --profile {}", profile.name);
        let file = read(&path).map_err(|error| {
            format!("profile {:?} has not signed on (cannot read {}: {error}); {again}", profile.name, path.display())
        })?;
        // The file is not repeated: it holds a token.
        let sign_on: SignOn =
            serde_json::from_str(&file).map_err(|_| format!("{} holds no sign-on; {again}", path.display()))?;
        let ended = || format!("the sign-on of profile {:?} ended {}; {again}", profile.name, sign_on.expires_at);
        let ends = sign_on.expires_at.parse::<jiff::Timestamp>().map_err(|_| ended())?;
        if ends.as_millisecond() <= clock::now_ms() {
            return Err(ended());
        }
        let own = (self.environment)("AWS_ENDPOINT_URL_SSO");
        let base = if own.is_empty() { format!("https://portal.sso.{region}.amazonaws.com") } else { own };
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("role_name", &role), ("account_id", &account)])
            .finish();
        let address = format!("{}/federation/credentials?{query}", base.trim_end_matches('/'));
        let request =
            Request::builder().method(Method::GET).uri(&address).header("x-amz-sso_bearer_token", sign_on.access_token);
        let request = request.body(bytes::Bytes::new()).map_err(|error| format!("cannot ask {address}: {error}"))?;
        let response = self.client.send(request).await.map_err(|error| format!("cannot ask {address}: {error}"))?;
        if response.status == StatusCode::UNAUTHORIZED {
            // Signed out, or the session was ended on the other side.
            return Err(format!("the sign-on of profile {:?} is not good any more; {again}", profile.name));
        }
        if !response.status.is_success() {
            return Err(format!("{address} gives no keys, it answers {}", response.status));
        }
        let granted = serde_json::from_slice::<Granted>(&response.body);
        let Granted { role_credentials: found } =
            granted.map_err(|_| format!("the answer of {address} holds no keys"))?;
        let keys = Keys {
            access_key: found.access_key_id,
            secret_key: found.secret_access_key,
            session_token: Some(found.session_token),
        };
        Ok(Some(Cached::temporary(keys, found.expiration)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    use crate::testing::{environment, service, signed};

    const ROLE: &str = "<AssumeRoleResponse><Credentials><AccessKeyId>TEMP</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
        <SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResponse>";

    /// A home with shared files, and the keys that a request is signed with there.
    struct Home(tempfile::TempDir);

    impl Home {
        fn new(credentials: &str, config: &str) -> Home {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join(".aws");
            std::fs::create_dir_all(folder.join("sso/cache")).unwrap();
            std::fs::write(folder.join("credentials"), credentials).unwrap();
            std::fs::write(folder.join("config"), config).unwrap();
            Home(home)
        }

        async fn signed(&self, variables: &[(&str, &str)]) -> Result<(String, String), String> {
            let home = [("HOME", self.0.path().to_str().unwrap())];
            signed(environment(&[&home[..], variables].concat())).await
        }
    }

    #[tokio::test]
    async fn a_profile_takes_its_role_with_the_keys_of_another_which_may_take_one_too() {
        let (sts, asked) = service(&[("post /", ROLE)]).await;
        let config = "[profile outer]\nrole_arn = arn:outer\nsource_profile = inner\nexternal_id = shared\nduration_seconds = 900\n\
            [profile inner]\nrole_arn = arn:inner\nsource_profile = base\nrole_session_name = mine\n";
        let home = Home::new("[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n", config);
        let variables = [("AWS_PROFILE", "outer"), ("AWS_ENDPOINT_URL_STS", &*sts)];
        assert_eq!(home.signed(&variables).await, Ok(("TEMP".to_owned(), "t".to_owned())));
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2, "keys are kept");
        let [inner, outer] = [&asked[0], &asked[1]];
        assert!(inner.contains("credential=base/") && inner.contains("rolearn=arn%3ainner"), "{inner}");
        assert!(inner.contains("rolesessionname=mine") && !inner.contains("ferroalloy&"), "{inner}");
        assert!(outer.contains("credential=temp/") && outer.contains("rolearn=arn%3aouter"), "{outer}");
        assert!(outer.contains("externalid=shared") && outer.contains("durationseconds=900"), "{outer}");
        assert!(
            outer.contains("x-amz-security-token: t\r\n") && outer.contains("rolesessionname=ferroalloy"),
            "{outer}"
        );
    }

    #[tokio::test]
    async fn a_profile_takes_its_role_with_its_own_keys_or_with_those_that_its_source_names() {
        let (sts, asked) = service(&[
            ("post /", ROLE),
            ("put /latest/api/token", "session"),
            ("get /latest/meta-data/iam/security-credentials/", "role-1\n"),
            (
                "get /latest/meta-data/iam/security-credentials/role-1",
                r#"{"AccessKeyId": "INSTANCE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}"#,
            ),
            (
                "get /keys",
                r#"{"AccessKeyId": "CONTAINER", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}"#,
            ),
        ])
        .await;
        let keys = "aws_access_key_id = OWN\naws_secret_access_key = s\n";
        let agent = format!("{sts}/keys");
        for (rest, with) in [
            (format!("source_profile = mine\n{keys}"), "own"),
            (keys.to_owned(), "own"),
            ("credential_source = Environment\n".to_owned(), "environment"),
            ("credential_source = Ec2InstanceMetadata\n".to_owned(), "instance"),
            ("credential_source = EcsContainer\n".to_owned(), "container"),
        ] {
            let home = Home::new("", &format!("[profile mine]\nrole_arn = arn:r\n{rest}"));
            let variables = [
                ("AWS_PROFILE", "mine"),
                ("AWS_ENDPOINT_URL_STS", &*sts),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*sts),
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*agent),
            ];
            let own = [("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "s")];
            let profile = crate::Settings {
                region: "eu-west-1".to_owned(),
                profile: "mine".to_owned(),
                ..crate::Settings::default()
            };
            let everything = [&[("HOME", home.0.path().to_str().unwrap())][..], &variables, &own].concat();
            let chain = Chain::new(profile, environment(&everything)).unwrap();
            let mut request = Request::builder().uri("http://a/").body(bytes::Bytes::new()).unwrap();
            chain.sign(&mut request, "ec2").await.unwrap();
            let last = asked.lock().unwrap().last().unwrap().clone();
            assert!(last.contains(&format!("credential={with}/")), "{rest}: {last}");
        }
    }

    #[tokio::test]
    async fn a_token_of_somebody_else_is_worth_the_role_of_a_profile() {
        let (sts, asked) = service(&[("post /", ROLE)]).await;
        let home = Home::new("", "");
        let token = home.0.path().join("token");
        std::fs::write(&token, "jwt\n").unwrap();
        let config = format!("[default]\nrole_arn = arn:r\nweb_identity_token_file = {}\n", token.display());
        std::fs::write(home.0.path().join(".aws/config"), config).unwrap();
        assert_eq!(home.signed(&[("AWS_ENDPOINT_URL_STS", &sts)]).await, Ok(("TEMP".to_owned(), "t".to_owned())));
        let asked = asked.lock().unwrap();
        assert!(asked[0].contains("action=assumerolewithwebidentity") && asked[0].contains("webidentitytoken=jwt"));
        assert!(!asked[0].contains("authorization:"), "the token is all there is to show");
    }

    const GRANTED: &str = r#"{"roleCredentials": {"accessKeyId": "SSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 32472144000000}}"#;

    #[tokio::test]
    async fn a_sign_on_is_worth_keys_until_it_ends() {
        let (portal, asked) = service(&[("get /federation/credentials?role_name=reader&account_id=1", GRANTED)]).await;
        let config = "[profile mine]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = reader\n\
            [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp\n";
        let home = Home::new("", config);
        // What `printf corp | sha1sum` says.
        let cache = home.0.path().join(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
        let variables = [("AWS_PROFILE", "mine"), ("AWS_ENDPOINT_URL_SSO", &*portal)];
        let none = home.signed(&variables).await.unwrap_err();
        assert!(none.contains("has not signed on") && none.ends_with("; run: aws sso login --profile mine"), "{none}");
        std::fs::write(&cache, r#"{"accessToken": "bearer", "expiresAt": "2001-01-01T00:00:00Z"}"#).unwrap();
        let ended = "the sign-on of profile \"mine\" ended 2001-01-01T00:00:00Z; run: aws sso login --profile mine";
        assert_eq!(home.signed(&variables).await.unwrap_err(), format!("could not get SigV4 credentials: {ended}"));
        std::fs::write(&cache, r#"{"accessToken": "bearer", "expiresAt": "2999-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(home.signed(&variables).await, Ok(("SSO".to_owned(), "t".to_owned())));
        assert!(asked.lock().unwrap()[0].contains("x-amz-sso_bearer_token: bearer\r\n"));
    }

    #[tokio::test]
    async fn what_a_profile_lacks_is_said() {
        let nobody = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PROFILE", "mine")];
        for (rest, why) in [
            ("source_profile = other\n[profile other]\nrole_arn = b\nsource_profile = mine", "take more than 8 roles"),
            ("source_profile = other", "profile \"other\" has no keys to take a role with"),
            ("credential_source = Environment", "from the environment, and there are none"),
            ("credential_source = EcsContainer", "none of ECS or EKS"),
            ("credential_source = Elsewhere", "\"Elsewhere\"; there are Environment"),
            (
                "web_identity_token_file = /nowhere/token",
                "cannot read the web_identity_token_file of profile \"mine\", /nowhere/token: ",
            ),
            ("sso_account_id = 1\nsso_role_name = r", "signs on without sso_region"),
        ] {
            let home = Home::new("", &format!("[profile mine]\nrole_arn = a\n{rest}\n"));
            let error = home.signed(&nobody).await.unwrap_err();
            assert!(error.contains(why), "{rest}: {error}");
        }
    }

    #[test]
    fn a_profile_that_wants_a_code_is_refused_before_anything_is_sent() {
        let config = "[profile mine]\nrole_arn = arn:outer\nsource_profile = inner\n\
            [profile inner]\nrole_arn = arn:inner\nsource_profile = base\nmfa_serial = m\n";
        let home = Home::new("[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n", config);
        let variables = [("HOME", home.0.path().to_str().unwrap()), ("AWS_PROFILE", "mine")];
        let settings = crate::Settings { region: "eu-west-1".to_owned(), ..crate::Settings::default() };
        let refused = Chain::new(settings.clone(), environment(&variables)).err().unwrap();
        assert!(refused.contains("profile \"inner\" wants a code for its role arn:inner (mfa_serial)"), "{refused}");
        // Who has keys does not need that profile.
        let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s")];
        assert!(Chain::new(settings, environment(&[&variables[..], &keys].concat())).is_ok());
    }

    #[tokio::test]
    async fn a_sign_on_that_was_ended_elsewhere_says_what_to_run() {
        let (portal, _) = service(&[("get /federation/credentials?role_name=reader&account_id=1", "401")]).await;
        let config = "[profile mine]\nsso_account_id = 1\nsso_role_name = reader\nsso_region = eu-west-1\nsso_start_url = corp\n";
        let home = Home::new("", config);
        let cache = home.0.path().join(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
        std::fs::write(&cache, r#"{"accessToken": "bearer", "expiresAt": "2999-01-01T00:00:00Z"}"#).unwrap();
        let error = home.signed(&[("AWS_PROFILE", "mine"), ("AWS_ENDPOINT_URL_SSO", &portal)]).await.unwrap_err();
        assert!(error.ends_with("is not good any more; run: aws sso login --profile mine"), "{error}");
    }

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

//! Signers against peers that give tokens and roles.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use language_eval::Scope;
use sdk_testing::component::decode;

use super::*;
use crate::remote_write::arguments::RemoteWriteArguments;
use crate::testing::{Answer, Peer};

fn endpoint(block: &str) -> Endpoint {
    let config = format!("endpoint {{\nurl = \"http://a/\"\n{block}\n}}");
    let mut arguments: RemoteWriteArguments = decode(&config, &Scope::new()).expect("good arguments");
    arguments.endpoint.remove(0)
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(move |name: &str| {
        variables.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, value)| value.clone())
    })
}

fn signer(block: &str, variables: &[(&str, &str)]) -> Identity {
    let (chain, service) =
        aws(&endpoint(block).sigv4.expect("a block"), environment(variables)).expect("it can be made");
    Identity::Aws(chain, service)
}

async fn header(sign: impl AsyncFn(&mut Request<Bytes>) -> Result<(), String>, name: &str) -> Result<String, String> {
    let mut request = Request::new(Bytes::from_static(b"body"));
    *request.uri_mut() = "http://example.com/api/v1/write".parse().expect("an address");
    sign(&mut request).await?;
    Ok(request.headers().get(name).map_or("", |value| value.to_str().expect("a text")).to_owned())
}

#[tokio::test]
async fn keys_come_from_the_block_the_environment_and_shared_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n").expect("it is written");
    let file = file.display().to_string();
    let variables = [("AWS_REGION", "eu-west-1"), ("AWS_SHARED_CREDENTIALS_FILE", &*file)];
    let signed = async |block: &str, more: &[(&str, &str)]| {
        let chain = signer(block, &[&variables, more].concat());
        header(async |request| chain.sign(request).await, "authorization").await
    };
    let keys = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let own = "sigv4 {\nregion = \"us-east-1\"\naccess_key = \"OWN\"\nsecret_key = \"s\"\nservice_name = \"es\"\n}";
    let starts = |text: Result<String, String>, expect: &str| {
        let text = text.expect("it is signed");
        assert!(text.starts_with(expect) && text.contains("SignedHeaders=host;x-amz-date,"), "{text}");
    };
    let day = jiff::Timestamp::from_millisecond(base_sys::clock::now_ms()).expect("a time").strftime("%Y%m%d");
    let of = |key: &str, scope: &str| format!("AWS4-HMAC-SHA256 Credential={key}/{day}/{scope}/aws4_request");
    starts(signed(own, &keys).await, &of("OWN", "us-east-1/es"));
    starts(signed("sigv4 { }", &keys).await, &of("ENV", "eu-west-1/aps"));
    starts(signed("sigv4 { }", &[]).await, &of("FILE", "eu-west-1/aps"));
    let why = signed("sigv4 {\nprofile = \"other\"\n}", &keys).await.expect_err("there is no such profile");
    assert!(why.contains("for profile \"other\""), "{why}");
    let no_region = aws(&endpoint("sigv4 { }").sigv4.expect("a block"), environment(&[])).err();
    assert!(no_region.expect("no region").to_string().contains("region not configured"));
}

const ROLE: &str = "<AssumeRoleResponse><Credentials><AccessKeyId>TEMP</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                    <SessionToken>a&amp;b</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResponse>";

#[tokio::test]
async fn a_role_is_taken_once_and_kept() {
    let sts = Peer::start(vec![Answer::page("text/xml", ROLE)]).await;
    let address = format!("http://{}/", sts.address);
    let block = "sigv4 {\nregion = \"us-east-1\"\naccess_key = \"OWN\"\nsecret_key = \"s\"\nrole_arn = \"arn:aws:iam::1:role/x\"\nexternal_id = \"e\"\n}";
    let chain = signer(block, &[("AWS_ENDPOINT_URL_STS", &address)]);
    for _ in 0..2 {
        let token = header(async |request| chain.sign(request).await, "x-amz-security-token").await;
        assert_eq!(token.as_deref(), Ok("a&b"));
    }
    let asked = sts.asked();
    assert_eq!(asked.len(), 1);
    let form = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert!(
        form.contains("Action=AssumeRole&") && form.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx"),
        "{form}"
    );
    assert!(form.contains("ExternalId=e"), "{form}");
    assert!(asked[0].headers["authorization"].to_str().expect("a text").contains("/us-east-1/sts/aws4_request"));

    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "jwt\n").expect("it is written");
    let token = token.display().to_string();
    let workload =
        [("AWS_ENDPOINT_URL_STS", &*address), ("AWS_ROLE_ARN", "arn:r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token)];
    let chain = signer("sigv4 {\nregion = \"us-east-1\"\n}", &workload);
    header(async |request| chain.sign(request).await, "authorization").await.expect("it is signed");
    let asked = sts.asked();
    let form = String::from_utf8_lossy(&asked[1].body).into_owned();
    assert!(form.contains("Action=AssumeRoleWithWebIdentity") && form.contains("WebIdentityToken=jwt"), "{form}");
    assert!(!asked[1].headers.contains_key("authorization"), "the token is all there is to show");

    let denied = "<ErrorResponse><Error><Message>no</Message></Error></ErrorResponse>";
    let sts = Peer::start(vec![Answer { status: 403, ..Answer::page("text/xml", denied) }]).await;
    let chain = signer(block, &[("AWS_ENDPOINT_URL_STS", &format!("http://{}/", sts.address))]);
    let why = header(async |request| chain.sign(request).await, "authorization").await.expect_err("it is refused");
    assert!(why.contains("403") && why.ends_with(": no"), "{why}");
}

#[tokio::test]
async fn tokens_of_azure_are_got_for_each_kind_of_identity() {
    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let answer = "{\"access_token\": \"tok\", \"expires_in\": \"3600\"}";
    let server = Peer::start(vec![Answer::page("application/json", answer)]).await;
    let address = format!("http://{}", server.address);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "jwt").expect("it is written");
    let file = file.display();
    let blocks = [
        format!("managed_identity {{\nclient_id = \"{ID}\"\n}}"),
        format!("oauth {{\nclient_id = \"{ID}\"\nclient_secret = \"p&q\"\ntenant_id = \"t\"\n}}"),
        format!("workload_identity {{\nclient_id = \"{ID}\"\ntenant_id = \"{ID}\"\ntoken_file_path = \"{file}\"\n}}"),
    ];
    for block in &blocks {
        let variables = [("AZURE_AUTHORITY_HOST", &*address), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &*address)];
        let config = endpoint(&format!("azuread {{\n{block}\n}}")).azuread.expect("a block");
        let tokens = Tokens::new(Azure::new(&config, environment(&variables))).expect("it can be made");
        for _ in 0..2 {
            let shown = header(async |request| tokens.sign(request).await, "authorization").await;
            assert_eq!(shown.as_deref(), Ok("Bearer tok"));
        }
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "each token is kept");
    let expect = format!(
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.com%2F&client_id={ID}"
    );
    assert_eq!(
        (asked[0].path.as_str(), &asked[0].headers["metadata"]),
        (expect.as_str(), &"true".parse().expect("a value"))
    );
    let form = |at: usize| String::from_utf8_lossy(&asked[at].body).into_owned();
    assert_eq!(asked[1].path, "/t/oauth2/v2.0/token");
    assert!(
        form(1).contains("client_secret=p%26q") && form(1).contains("grant_type=client_credentials"),
        "{}",
        form(1)
    );
    assert!(form(2).contains("client_assertion=jwt") && form(2).contains("jwt-bearer"), "{}", form(2));
}

fn google(credentials: &str, variables: &[(&str, &str)]) -> Tokens<Google> {
    let block = format!("google_iam {{\n{credentials}\n}}");
    let config = endpoint(&block).google_iam.expect("a block");
    Tokens::new(Google::new(&config, environment(variables))).expect("it can be made")
}

#[tokio::test]
async fn google_s_tokens_come_from_the_machine_a_user_or_an_account() {
    let token = |text: &str| Answer {
        body: format!("{{\"access_token\": \"{text}\", \"expires_in\": 3600}}").into(),
        ..Answer::status(200)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().display().to_string();
    let authorization =
        async |tokens: &Tokens<Google>| header(async |request| tokens.sign(request).await, "authorization").await;

    let peer = Peer::start(vec![token("machine")]).await;
    let tokens = google("", &[("HOME", &home), ("GCE_METADATA_HOST", &peer.address.to_string())]);
    for _ in 0..2 {
        assert_eq!(authorization(&tokens).await.as_deref(), Ok("Bearer machine"));
    }
    let asked = peer.asked();
    assert_eq!(asked.len(), 1, "the token is kept");
    assert_eq!(asked[0].headers["metadata-flavor"], "Google");
    assert!(asked[0].path.starts_with("/computeMetadata/v1/instance/service-accounts/default/token?scopes=https"));

    let peer = Peer::start(vec![token("user")]).await;
    let file = folder.path().join("user.json");
    let user = format!(
        "{{\"type\": \"authorized_user\", \"client_id\": \"i\", \"client_secret\": \"s\", \"refresh_token\": \"r\", \"token_uri\": \"http://{}/\"}}",
        peer.address
    );
    std::fs::write(&file, user).expect("it is written");
    let file = file.display().to_string();
    let tokens = google("", &[("GOOGLE_APPLICATION_CREDENTIALS", &file)]);
    assert_eq!(authorization(&tokens).await.as_deref(), Ok("Bearer user"));
    let form = "grant_type=refresh_token&client_id=i&client_secret=s&refresh_token=r";
    assert_eq!(peer.asked()[0].body, form.as_bytes());
    let named = google(&format!("credentials_file = {file:?}"), &[]);
    let why = authorization(&named).await.expect_err("this is no service account");
    assert!(why.contains("credentials of type \"authorized_user\" are not supported"), "{why}");

    let peer = Peer::start(vec![token("account")]).await;
    let key = |name: &str| std::fs::read_to_string(format!("../../sdk/net/src/{name}")).expect("a key");
    let account = |key: &str| {
        serde_json::json!({
            "type": "service_account", "client_email": "me@x", "private_key_id": "k", "private_key": key,
            "token_uri": format!("http://{}/", peer.address),
        })
    };
    std::fs::write(&file, account(&key("oauth2/rsa.key")).to_string()).expect("it is written");
    let tokens = google(&format!("credentials_file = {file:?}"), &[]);
    assert_eq!(authorization(&tokens).await.as_deref(), Ok("Bearer account"));
    let form = String::from_utf8(peer.asked()[0].body.clone()).expect("a text");
    let token = form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    let parts: Vec<&str> = token.expect("an assertion").split('.').collect();
    let read = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    };
    assert_eq!(read(parts[0]), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k"}));
    let claims = read(parts[1]);
    assert_eq!(
        (&claims["iss"], &claims["scope"]),
        (&"me@x".into(), &"https://www.googleapis.com/auth/monitoring.write".into())
    );
    assert_eq!(claims["exp"].as_i64().map(|end| end - claims["iat"].as_i64().unwrap_or(0)), Some(3600));

    std::fs::write(&file, account(&key("client/fixtures/server.key")).to_string()).expect("it is written");
    let why = authorization(&google(&format!("credentials_file = {file:?}"), &[])).await.expect_err("no RSA key");
    assert!(why.contains("the key is not an RSA key"), "{why}");
}

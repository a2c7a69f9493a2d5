//! AWS Signature Version 4, as in "Create a signed AWS API request" of the IAM guide.

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

/// Who signs.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// Of temporary keys.
    pub(crate) session_token: Option<String>,
}

/// For what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
}

/// What stays out of a signature: what proxies change, and what is set behind us.
const UNSIGNED: [&str; 5] = ["authorization", "user-agent", "expect", "transfer-encoding", "uber-trace-id"];

/// Signs a request: adds `X-Amz-Date`, perhaps `X-Amz-Security-Token`, and `Authorization`. The path is made plain first, as
/// AWS does before it checks the signature.
pub(crate) fn sign(request: &mut Request<Bytes>, keys: &Keys, scope: Scope<'_>) -> Result<(), String> {
    let time = jiff::Timestamp::from_millisecond(scope.now_ms).map_err(|error| error.to_string())?;
    let (date, time) = (time.strftime("%Y%m%d").to_string(), time.strftime("%Y%m%dT%H%M%SZ").to_string());
    let uri = plain(request.uri())?;
    let host = host(&uri)?;
    *request.uri_mut() = uri;
    let unsendable = |_| "a key of AWS holds a character that no header may hold".to_owned();
    let headers = request.headers_mut();
    headers.insert("x-amz-date", HeaderValue::try_from(&time).map_err(unsendable)?);
    if let Some(token) = &keys.session_token {
        let mut token = HeaderValue::try_from(token).map_err(unsendable)?;
        token.set_sensitive(true);
        headers.insert("x-amz-security-token", token);
    }

    let mut signed: Vec<(String, String)> = vec![("host".to_owned(), host)];
    for name in headers.keys().filter(|name| !UNSIGNED.contains(&name.as_str()) && *name != header::HOST) {
        let values = headers.get_all(name).iter().map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        signed.push((name.as_str().to_owned(), values.collect::<Vec<_>>().join(",")));
    }
    signed.sort();
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method(),
        escape(request.uri().path(), true),
        query(request.uri().query().unwrap_or("")),
        hex(&Sha256::digest(request.body())),
    );
    let Scope { region, service, .. } = scope;
    let credential = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{credential}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", keys.secret_key);
    let key = [&*date, region, service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let access_key = &keys.access_key;
    let value =
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{credential}, SignedHeaders={names}, Signature={signature}");
    let mut value = HeaderValue::try_from(value).map_err(unsendable)?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(())
}

/// The address with a path without `//`, `.` and `..`.
fn plain(uri: &Uri) -> Result<Uri, String> {
    let mut kept: Vec<&str> = Vec::new();
    for part in uri.path().split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    let path = format!("/{}{query}", kept.join("/"));
    parts.path_and_query = Some(path.parse().map_err(|error| format!("{path:?} is no path: {error}"))?);
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

/// What the client will send as `Host`: a port that goes without saying is not said.
fn host(uri: &Uri) -> Result<String, String> {
    let host = uri.host().ok_or("the address has no host")?;
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Ok(match uri.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host.to_owned(),
    })
}

fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (escape(&name, false), escape(&value, false)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// All but what RFC 3986 calls unreserved. The path comes escaped already and is escaped again: services but S3 want that.
fn escape(text: &str, is_path: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b'/' if is_path => escaped.push('/'),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// RFC 2104 over SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys { access_key: "AKIDEXAMPLE".to_owned(), secret_key: secret.to_owned(), session_token: None }
    }

    /// 2015-08-30, 12:36:00.
    const NOW: i64 = 1_440_938_160_000;

    fn signature(request: &mut Request<Bytes>, service: &str) -> String {
        let keys = keys("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        sign(request, &keys, Scope { region: "us-east-1", service, now_ms: NOW }).expect("it can be signed");
        request.headers()[header::AUTHORIZATION].to_str().expect("a text").to_owned()
    }

    #[test]
    fn the_examples_of_the_guide_are_signed_as_there() {
        let mut list_users = Request::new(Bytes::new());
        *list_users.uri_mut() =
            "https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers".parse().expect("an address");
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        list_users.headers_mut().insert(header::CONTENT_TYPE, form);
        let expect = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                      SignedHeaders=content-type;host;x-amz-date, \
                      Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(signature(&mut list_users, "iam"), expect);

        let mut vanilla = Request::new(Bytes::new());
        *vanilla.uri_mut() = "https://example.amazonaws.com/".parse().expect("an address");
        let expect = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert!(signature(&mut vanilla, "service").ends_with(expect));
        // The same after the path was made plain, and with a port that goes without saying.
        *vanilla.uri_mut() = "https://example.amazonaws.com:443/a/..//./".parse().expect("an address");
        vanilla.headers_mut().clear();
        assert!(signature(&mut vanilla, "service").ends_with(expect));
        assert_eq!(vanilla.uri().path(), "/");
    }

    #[test]
    fn a_hash_with_a_key_is_that_of_rfc_4231() {
        let hash = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&hash), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}

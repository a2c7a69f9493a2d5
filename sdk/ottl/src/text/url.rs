//! URLs taken apart as Go's `net/url` does: leniently, relative ones too.

use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};

use crate::error::{Error, Result};

/// The parts under the names of the semantic conventions. A text that begins with `?` is a query, whose parameters come
/// as lists under `query`.
pub fn parts(text: &str) -> Result<Map> {
    if let Some(query) = text.strip_prefix('?') {
        return query_parts(query);
    }
    let fault = |what: String| Error::new(format!("parse {}: {what}", base_stdx::quote::quote(text.as_bytes())));
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(fault("net/url: invalid control character in URL".to_owned()));
    }
    let (rest, fragment) = match text.split_once('#') {
        Some((rest, fragment)) => (rest, unescape(fragment, false).map_err(&fault)?),
        None => (text, String::new()),
    };
    let (scheme, rest) = scheme(rest).map_err(&fault)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut map = Map::default();
    let mut put = |key: &str, value: AnyValue| map.0.push(KeyValue::new(key, value));
    // As Go prints it: the scheme in small letters, and escaped what must be.
    let original = format!("{}{}", scheme.to_ascii_lowercase(), escaped(&text[scheme.len()..]));
    put("url.original", original.into());
    let (mut host, mut port, mut user, mut path) = ("".to_owned(), "", None, rest);
    let opaque = !scheme.is_empty() && !rest.starts_with('/');
    if opaque {
        path = "";
    } else if let Some(authority) = rest.strip_prefix("//").filter(|_| !rest.starts_with("///") || !scheme.is_empty()) {
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        let authority = &authority[..end];
        let host_port = match authority.rsplit_once('@') {
            Some((information, host)) => {
                user = Some(information);
                host
            }
            None => authority,
        };
        (host, port) = split_host(host_port).map_err(&fault)?;
    } else if scheme.is_empty() && path.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(fault("first path segment in URL cannot contain colon".to_owned()));
    }
    put("url.domain", host.into());
    put("url.scheme", scheme.to_ascii_lowercase().into());
    let path = unescape(path, false).map_err(&fault)?;
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_owned()).filter(|e| !e.is_empty());
    put("url.path", path.into());
    if !port.is_empty() {
        put("url.port", AnyValue::Int(port.parse().map_err(|_| fault("value out of range".to_owned()))?));
    }
    if !fragment.is_empty() {
        put("url.fragment", fragment.into());
    }
    if let Some(user) = user {
        put("url.user_info", user.into());
        let (name, password) = match user.split_once(':') {
            Some((name, password)) => (name, Some(password)),
            None => (user, None),
        };
        let name = unescape(name, false).map_err(&fault)?;
        if !name.is_empty() {
            put("url.username", name.into());
        }
        if let Some(password) = password {
            put("url.password", unescape(password, false).map_err(&fault)?.into());
        }
    }
    if !query.is_empty() {
        put("url.query", query.into());
    }
    if let Some(extension) = extension {
        put("url.extension", extension.into());
    }
    Ok(map)
}

/// The parts of a request's URI under short names, the path still escaped, the parameters as lists under `query`.
///
/// # Errors
/// It is relative, or no URI.
pub fn request_parts(text: &str) -> std::result::Result<Map, String> {
    if let Some(query) = text.strip_prefix('?') {
        return query_parts(query).map_err(|error| error.to_string());
    }
    let fault = |what: String| format!("parse {}: {what}", base_stdx::quote::quote(text.as_bytes()));
    if text.is_empty() {
        return Err(fault("empty url".to_owned()));
    }
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(fault("net/url: invalid control character in URL".to_owned()));
    }
    let (scheme, rest) = scheme(text).map_err(&fault)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if scheme.is_empty() && !rest.starts_with('/') {
        return Err(fault("invalid URI for request".to_owned()));
    }
    let (mut user, mut host, mut port, mut path) = (String::new(), String::new(), "", "");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        let authority = &authority[..end];
        let (information, at) = authority.rsplit_once('@').unwrap_or(("", authority));
        user = unescape(information.split(':').next().unwrap_or_default(), false).map_err(&fault)?;
        (host, port) = split_host(at).map_err(&fault)?;
    } else if rest.starts_with('/') {
        path = rest;
    }
    unescape(path, false).map_err(&fault)?;
    let named = [
        ("scheme", scheme.to_ascii_lowercase()),
        ("user", user),
        ("host", host),
        ("port", port.to_owned()),
        ("path", escaped(path)),
    ];
    let mut map: Map = named.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    map.0.extend(query_parts(query).map(|parameters| parameters.0).unwrap_or_default());
    Ok(map)
}

fn scheme(text: &str) -> std::result::Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn split_host(text: &str) -> std::result::Result<(String, &str), String> {
    let (host, port) = if let Some(address) = text.strip_prefix('[') {
        let (address, rest) = address.rsplit_once(']').ok_or("missing ']' in host")?;
        (address, rest)
    } else {
        let at = text.rfind(':').unwrap_or(text.len());
        (&text[..at], &text[at..])
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port,
        None if port.is_empty() => "",
        None => return Err(format!("invalid port {port:?} after host")),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid port {:?} after host", format!(":{port}")));
    }
    if let Some(bad) = host.chars().find(|c| matches!(c, ' ' | '^' | '{' | '}' | '|' | '\\' | '`')) {
        return Err(format!("invalid character {bad:?} in host name"));
    }
    Ok((unescape(host, false)?, port))
}

fn unescape(text: &str, plus: bool) -> std::result::Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    let end = (at + 3).min(bytes.len());
                    return Err(format!("invalid URL escape {:?}", String::from_utf8_lossy(&bytes[at..end])));
                };
                out.push((high << 4 | low) as u8);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// With what may not stand in a URL escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]%/?#".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn query_parts(query: &str) -> Result<Map> {
    let mut parameters: Vec<(String, Vec<AnyValue>)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        if part.contains(';') {
            return Err("invalid semicolon separator in query".into());
        }
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (unescape(key, true)?, AnyValue::from(unescape(value, true)?));
        match parameters.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => parameters.push((key, vec![value])),
        }
    }
    if parameters.is_empty() {
        return Ok(Map::default());
    }
    let parameters: Map = parameters.into_iter().map(|(key, values)| (Text::from(key), values)).collect();
    Ok([("query", parameters)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        json::map(&parts(text).unwrap(), &mut out).unwrap();
        out
    }

    #[test]
    fn request_uris_come_apart() {
        let shown = |text: &str| {
            let mut out = String::new();
            json::map(&request_parts(text).unwrap(), &mut out).unwrap();
            out
        };
        assert_eq!(
            shown("https://me:pw@example.com:8443/a%20b/c?x=1&x=2&y"),
            r#"{"host":"example.com","path":"/a%20b/c","port":"8443","query":{"x":["1","2"],"y":[""]},"scheme":"https","user":"me"}"#
        );
        assert_eq!(shown("/p?q=a+b"), r#"{"path":"/p","query":{"q":["a b"]}}"#);
        for bad in ["", "example.com/x", "http://h:x/", "/%zz", "/a\u{1}"] {
            assert!(request_parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_come_apart() {
        assert_eq!(
            shown("http://user%20x:pw@example.com:80/path/f.gif?a=1#frag"),
            r#"{"url.domain":"example.com","url.extension":"gif","url.fragment":"frag","url.original":"http://user%20x:pw@example.com:80/path/f.gif?a=1#frag","url.password":"pw","url.path":"/path/f.gif","url.port":80,"url.query":"a=1","url.scheme":"http","url.user_info":"user%20x:pw","url.username":"user x"}"#
        );
        assert_eq!(shown("/a%2Fb"), r#"{"url.domain":"","url.original":"/a%2Fb","url.path":"/a/b","url.scheme":""}"#);
        assert_eq!(shown("?a=1&a=x+y&b"), r#"{"query":{"a":["1","x y"],"b":[""]}}"#);
        assert_eq!(
            shown("http://[::1]:8080/"),
            r#"{"url.domain":"::1","url.original":"http://[::1]:8080/","url.path":"/","url.port":8080,"url.scheme":"http"}"#
        );
        for bad in ["http://a b/", "%zz", ":x", "http://h:x/", "a:b/c\u{1}", "1a:b"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}

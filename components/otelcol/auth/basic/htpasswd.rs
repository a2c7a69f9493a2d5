//! Who is let in: the lines of a htpasswd file.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use md5::{Digest as _, Md5};
use sdk_net::secret_file::SecretFile;
use sdk_otel::auth::ServerAuth;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Sender and password pairs that were found right are remembered, as bcrypt takes a tenth of a second each time.
const REMEMBERED: usize = 1000;

pub(super) struct Htpasswd {
    inline: HashMap<String, Password>,
    file: Option<SecretFile>,
    /// The users of the file as last read.
    users: Mutex<Option<(Arc<str>, Arc<HashMap<String, Password>>)>>,
    /// Digests of header and stored password.
    known: Mutex<HashSet<[u8; 32]>>,
}

#[derive(Clone)]
enum Password {
    Plain(String),
    Bcrypt(String),
    /// `$apr1$` (true) or `$1$`, with the salt and the 22 characters of the hash.
    Md5 {
        apache: bool,
        salt: String,
        hash: String,
    },
    Sha1 {
        digest: Vec<u8>,
        salt: Vec<u8>,
    },
}

// === impl Htpasswd ===

impl Htpasswd {
    pub(super) fn new(inline: &str, file: Option<SecretFile>) -> Htpasswd {
        Htpasswd { inline: Htpasswd::parse_known(inline), file, users: Mutex::new(None), known: Mutex::default() }
    }

    /// Checks the lines of the configuration.
    pub(super) fn parse(lines: &str) -> Result<(), String> {
        for (number, line) in meaningful(lines) {
            let (_, password) = line.split_once(':').ok_or_else(|| format!("line {number} is not user:password"))?;
            Password::parse(password).map_err(|message| format!("line {number}: {message}"))?;
        }
        Ok(())
    }

    /// The users that can be understood. Others cannot come in, and are said once in the log.
    fn parse_known(lines: &str) -> HashMap<String, Password> {
        let mut users = HashMap::new();
        for (number, line) in meaningful(lines) {
            let parsed = line
                .split_once(':')
                .ok_or("not user:password")
                .map(|(user, password)| (user, Password::parse(password)));
            match parsed {
                Ok((user, Ok(password))) => drop(users.insert(user.to_owned(), password)),
                Ok((_, Err(why))) => tracing::warn!(line = number, why, "a htpasswd line cannot be used"),
                Err(why) => tracing::warn!(line = number, why, "a htpasswd line cannot be used"),
            }
        }
        users
    }

    fn password(&self, user: &str) -> Result<Option<Password>, String> {
        if let Some(password) = self.inline.get(user) {
            return Ok(Some(password.clone()));
        }
        let Some(file) = &self.file else { return Ok(None) };
        let text = file.read().map_err(|error| {
            tracing::warn!(%error, "cannot read the htpasswd file; nobody in it is let in");
            "the receiver cannot check credentials now".to_owned()
        })?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let users = match &*users {
            Some((seen, users)) if Arc::ptr_eq(seen, &text) => users.clone(),
            _ => users.insert((text.clone(), Arc::new(Htpasswd::parse_known(&text)))).1.clone(),
        };
        Ok(users.get(user).cloned())
    }
}

impl ServerAuth for Htpasswd {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Vec<(String, String)>, String> {
        let header = headers.get(AUTHORIZATION).ok_or("no basic auth provided")?.as_bytes();
        let scheme = header.get(..6).ok_or("invalid authorization scheme prefix")?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return Err("invalid authorization scheme prefix".to_owned());
        }
        let pair = STANDARD.decode(header[6..].trim_ascii()).map_err(|_| "invalid authorization format")?;
        let pair = String::from_utf8(pair).map_err(|_| "invalid authorization format")?;
        let (user, password) = pair.split_once(':').ok_or("invalid authorization format")?;
        let wrong = || "invalid credentials".to_owned();
        let stored = self.password(user)?.ok_or_else(wrong)?;
        let key: [u8; 32] =
            Sha256::new().chain_update(header).chain_update([0]).chain_update(stored.text()).finalize().into();
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock().contains(&key) {
            if !stored.is(password) {
                return Err(wrong());
            }
            let mut known = lock();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key);
        }
        Ok(vec![("username".to_owned(), user.to_owned())])
    }
}

fn meaningful(lines: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = lines.lines().map(str::trim).enumerate().map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

// === impl Password ===

impl Password {
    fn parse(text: &str) -> Result<Password, &'static str> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return match bcrypt::verify("", text) {
                Ok(_) => Ok(Password::Bcrypt(text.to_owned())),
                Err(_) => Err("invalid bcrypt hash"),
            };
        }
        for (prefix, apache) in [("$apr1$", true), ("$1$", false)] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let (salt, hash) = rest.split_once('$').ok_or("invalid MD5 hash")?;
                return Ok(Password::Md5 { apache, salt: salt.to_owned(), hash: hash.to_owned() });
            }
        }
        for (prefix, salted) in [("{SHA}", false), ("{SSHA}", true)] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let bytes = STANDARD.decode(rest).map_err(|_| "invalid SHA hash")?;
                let (digest, salt) = bytes.split_at_checked(20).ok_or("invalid SHA hash")?;
                if !salted && !salt.is_empty() {
                    return Err("invalid SHA hash");
                }
                return Ok(Password::Sha1 { digest: digest.to_owned(), salt: salt.to_owned() });
            }
        }
        if text.starts_with("$5$") || text.starts_with("$6$") {
            return Err("SHA-crypt hashes ($5$, $6$) are not supported yet; use bcrypt (htpasswd -B)");
        }
        Ok(Password::Plain(text.to_owned()))
    }

    fn is(&self, given: &str) -> bool {
        match self {
            Password::Plain(password) => password.as_bytes().ct_eq(given.as_bytes()).into(),
            Password::Bcrypt(hash) => bcrypt::verify(given, hash).unwrap_or(false),
            Password::Md5 { apache, salt, hash } => {
                md5_crypt(*apache, salt.as_bytes(), given.as_bytes()).as_bytes().ct_eq(hash.as_bytes()).into()
            }
            Password::Sha1 { digest, salt } => {
                let ours = Sha1::new().chain_update(given).chain_update(salt).finalize();
                ours.ct_eq(digest).into()
            }
        }
    }

    /// What tells two stored passwords apart.
    fn text(&self) -> Vec<u8> {
        match self {
            Password::Plain(text) | Password::Bcrypt(text) => text.clone().into_bytes(),
            Password::Md5 { salt, hash, .. } => format!("{salt}${hash}").into_bytes(),
            Password::Sha1 { digest, salt } => [&digest[..], salt].concat(),
        }
    }
}

/// MD5-crypt as FreeBSD and Apache define it; the 22 characters behind the salt.
fn md5_crypt(apache: bool, salt: &[u8], password: &[u8]) -> String {
    let salt = &salt[..salt.len().min(8)];
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let magic: &[u8] = if apache { b"$apr1$" } else { b"$1$" };
    let mut first = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        first.update(&inner[..chunk.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or(&[]) });
        length >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        if round & 1 == 1 {
            next.update(password)
        } else {
            next.update(digest)
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if round & 1 == 1 {
            next.update(digest)
        } else {
            next.update(password)
        }
        digest = next.finalize();
    }
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(22);
    let mut put = |mut bits: u32, count: usize| {
        for _ in 0..count {
            out.push(ALPHABET[(bits & 63) as usize] as char);
            bits >>= 6;
        }
    };
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        put(u32::from(digest[a]) << 16 | u32::from(digest[b]) << 8 | u32::from(digest[c]), 4);
    }
    put(u32::from(digest[11]), 2);
    out
}

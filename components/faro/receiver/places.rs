//! Where source maps are looked for: on the disk, under other URLs, and where the script itself says.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base_sys::task::Ended;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gotmpl::{Template, Value};
use http::{Request, StatusCode};
use sdk_component::Problem;
use sdk_net::client::{Client, ClientConfig, Options};
use url::Url;

use super::arguments::{LocationBlock, SourceMapsBlock};
use super::counters::Counters;
use super::source_map::SourceMap;

/// A script or a source map that is read or downloaded has at most so many bytes.
const MAX_BYTES: usize = 64 << 20;
/// The path that a template makes.
const MAX_PATH: usize = 4096;
/// A download without a limit of its own.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(300);

/// Where to look.
pub(super) struct Places {
    /// On the disk.
    folders: Vec<Location>,
    /// Under other URLs.
    remote: Vec<Location>,
    download: bool,
    origins: Vec<String>,
    client: Client,
    counters: Counters,
}

struct Location {
    path: Template,
    prefix: String,
}

/// A map as text, and the URL that the names in it are relative to.
struct Text {
    json: Bytes,
    url: String,
}

/// The text that a template makes, of at most [`MAX_PATH`] bytes.
#[derive(Default)]
struct Made(String);

// === impl Places ===

impl Places {
    /// Checks the templates; nothing is read.
    pub fn new(arguments: &SourceMapsBlock, counters: &Counters) -> Result<Places, Problem> {
        let (mut folders, mut remote) = (Vec::new(), Vec::new());
        for block in &arguments.location {
            let list = if is_http(&block.path) { &mut remote } else { &mut folders };
            list.push(Location::new(block)?);
        }
        let timeout = arguments.download_timeout.to_std().filter(|limit| !limit.is_zero()).unwrap_or(LONGEST_DOWNLOAD);
        let options =
            Options { timeout, connect_timeout: timeout, max_response_bytes: MAX_BYTES, ..Options::default() };
        let client = Client::new(ClientConfig::default(), options);
        Ok(Places {
            folders,
            remote,
            download: arguments.download,
            origins: arguments.download_from_origins.clone(),
            client: client.map_err(|error| Problem::at("sourcemaps", error.to_string()))?,
            counters: counters.clone(),
        })
    }

    /// Whether it is worth looking for the map of a script.
    pub fn may_have(&self, script: &str) -> bool {
        self.folders.iter().chain(&self.remote).any(|location| location.has(script)) || self.downloads(script)
    }

    /// The map of a script, if there is one. A place that has none leaves it to the next, one that fails does not.
    pub async fn look(&self, script: &str, release: &str) -> Result<Option<SourceMap>, String> {
        let Some(text) = self.text(script, release).await? else { return Ok(None) };
        let read = move || {
            SourceMap::read(&text.json, &text.url).map_err(|error| format!("{} is no source map: {error}", text.url))
        };
        match base_sys::task::blocking("read source map", read).await {
            Ended::Returned(map) => map.map(Some),
            _ => Err("reading was cut off".to_owned()),
        }
    }

    async fn text(&self, script: &str, release: &str) -> Result<Option<Text>, String> {
        for folder in self.folders.iter().filter(|folder| folder.has(script)) {
            if let Some(json) = self.on_disk(folder, script, release).await? {
                return Ok(Some(Text { json, url: script.to_owned() }));
            }
        }
        if let Some(place) = self.remote.iter().find(|place| place.has(script)) {
            let url = place.url(script, release)?;
            return Ok(Some(Text { json: self.fetch(url.as_str()).await?, url: script.to_owned() }));
        }
        if self.downloads(script) { self.as_the_script_says(script).await } else { Ok(None) }
    }

    fn downloads(&self, script: &str) -> bool {
        self.download && is_http(script) && self.origins.iter().any(|origin| begins(script, origin))
    }

    async fn on_disk(&self, folder: &Location, script: &str, release: &str) -> Result<Option<Bytes>, String> {
        let path = folder.file(script, release)?;
        if path.to_string_lossy().contains("..") {
            self.counters.file_read(script, "invalid_path");
            return Err(format!("{} leads out of its folder", path.display()));
        }
        let read = {
            let path = path.clone();
            base_sys::task::blocking("read source map", move || {
                path.exists().then(|| base_sys::fs::read_bounded(&path, MAX_BYTES))
            })
        };
        match read.await {
            Ended::Returned(None) => {
                self.counters.file_read(script, "not_found");
                Ok(None)
            }
            Ended::Returned(Some(Ok(json))) => {
                self.counters.file_read(script, "ok");
                Ok(Some(json.into()))
            }
            Ended::Returned(Some(Err(error))) => {
                self.counters.file_read(script, "error");
                Err(format!("cannot read {}: {error}", path.display()))
            }
            _ => Err("reading was cut off".to_owned()),
        }
    }

    /// Downloads the script and what it names as its map, which may stand in it.
    async fn as_the_script_says(&self, script: &str) -> Result<Option<Text>, String> {
        let code = self.fetch(script).await?;
        let Some(named) = named_map(&code) else { return Ok(None) };
        if let Some(data) = named.strip_prefix("data:") {
            let json = inline(data).ok_or_else(|| format!("the source map in {script} is damaged"))?;
            return Ok(Some(Text { json: json.into(), url: format!("{script}.map") }));
        }
        let url = match named.starts_with("http") {
            true => named.to_owned(),
            false => Url::parse(script)
                .and_then(|base| base.join(named))
                .map_err(|error| format!("{named}: {error}"))?
                .into(),
        };
        Ok(Some(Text { json: self.fetch(&url).await?, url }))
    }

    async fn fetch(&self, url: &str) -> Result<Bytes, String> {
        let request = Request::get(url).body(Bytes::new()).map_err(|error| format!("cannot request {url}: {error}"))?;
        match self.client.send(request).await {
            Ok(response) => {
                self.counters.downloaded(url, response.status.as_str());
                match response.status {
                    StatusCode::OK => Ok(response.body),
                    status => Err(format!("{url} answers {status}")),
                }
            }
            Err(error) => {
                self.counters.downloaded(url, "?");
                Err(error.to_string())
            }
        }
    }
}

// === impl Location ===

impl Location {
    fn new(block: &LocationBlock) -> Result<Location, Problem> {
        let path = Template::new("path").max_range_iters(100).parse(&block.path);
        let path = path.map_err(|error| Problem::at("sourcemaps", format!("bad path {:?}: {error}", block.path)))?;
        Ok(Location { path, prefix: block.minified_path_prefix.clone() })
    }

    fn has(&self, script: &str) -> bool {
        !script.is_empty() && script.starts_with(&self.prefix) && !script.ends_with('/')
    }

    fn root(&self, release: &str) -> Result<String, String> {
        // A release is one name of a path, whatever the browser says.
        let release: String = release.chars().filter(|letter| !matches!(letter, '/' | '\\')).collect();
        let release = Value::String(release.trim_start_matches('.').into());
        let data = Value::Map(Arc::new(BTreeMap::from([(Arc::from("Release"), release)])));
        let mut made = Made::default();
        self.path.execute_fmt(&mut made, &data).map_err(|error| format!("cannot make a path: {error}"))?;
        Ok(made.0)
    }

    /// What stands behind the prefix, without its query.
    fn rest<'s>(&self, script: &'s str) -> &'s str {
        let path = script.split('?').next().unwrap_or_default();
        path.strip_prefix(self.prefix.as_str()).unwrap_or(path)
    }

    fn file(&self, script: &str, release: &str) -> Result<PathBuf, String> {
        let mut path = PathBuf::from(self.root(release)?);
        path.extend(self.rest(script).split('/').filter(|part| !matches!(*part, "" | "." | "..")));
        path.as_mut_os_string().push(".map");
        Ok(clean(&path))
    }

    fn url(&self, script: &str, release: &str) -> Result<Url, String> {
        let root = self.root(release)?;
        let mut url = Url::parse(&root).map_err(|error| format!("{root}: {error}"))?;
        let path = format!("{}/{}.map", url.path().trim_end_matches('/'), self.rest(script).trim_start_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

impl std::fmt::Write for Made {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_PATH {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Without `.`, and without `..` where there is something to leave.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(clean.components().next_back(), Some(Component::Normal(_))) => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            part => clean.push(part),
        }
    }
    clean
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// Whether a URL begins as the pattern says; `*` stands for any letters, `?` for one.
fn begins(url: &str, pattern: &str) -> bool {
    let (url, pattern): (Vec<char>, Vec<char>) = (url.chars().collect(), pattern.chars().collect());
    // Where to go on when letters do not fit: behind the last star, with one letter more for it.
    let (mut at, mut here, mut again) = (0, 0, None);
    while here < pattern.len() {
        match (pattern[here], url.get(at)) {
            ('*', _) => {
                here += 1;
                again = Some((here, at));
            }
            ('?', Some(_)) => (here, at) = (here + 1, at + 1),
            (wanted, Some(letter)) if wanted == *letter => (here, at) = (here + 1, at + 1),
            _ => match again {
                Some((behind, from)) if from < url.len() => {
                    again = Some((behind, from + 1));
                    (here, at) = (behind, from + 1);
                }
                _ => return false,
            },
        }
    }
    true
}

/// What the comment at the end of a script names: `//# sourceMappingURL=app.js.map`.
fn named_map(code: &[u8]) -> Option<&str> {
    let code = code.strip_suffix(b"\n").unwrap_or(code);
    let code = code.strip_suffix(b"\r").unwrap_or(code);
    let is_blank = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
    let start = code.iter().rposition(is_blank).map_or(0, |blank| blank + 1);
    let word = std::str::from_utf8(&code[start..]).ok()?;
    let begins_comment = |before: &[u8]| {
        let before = before.strip_suffix(&[*before.last().filter(|last| is_blank(last))?])?;
        (before.ends_with(b"//#") || before.ends_with(b"//@")).then_some(())
    };
    for name in ["sourceMappingURL=", "sourceURL="] {
        if let Some(url) = word.strip_prefix(name).filter(|url| !url.is_empty())
            && begins_comment(&code[..start]).is_some()
        {
            return Some(url);
        }
        let before = code[..start].trim_ascii_end();
        if let Some(before) = before.strip_suffix(name.as_bytes())
            && !word.is_empty()
            && begins_comment(before).is_some()
        {
            return Some(word);
        }
    }
    None
}

/// What a URL of the scheme `data:` holds.
fn inline(data: &str) -> Option<Vec<u8>> {
    let (kind, data) = data.split_once(',')?;
    if kind.ends_with(";base64") {
        return STANDARD.decode(data).ok();
    }
    let mut plain = Vec::with_capacity(data.len());
    let mut rest = data.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16).map(|digit| digit as u8);
        plain.push(if byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { byte });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_comment_names_the_map() {
        for (code, named) in [
            ("x()\n//# sourceMappingURL=a.js.map", Some("a.js.map")),
            ("x()\n//@ sourceMappingURL=a.js.map\r\n", Some("a.js.map")),
            ("//#\tsourceURL= \t a.js", Some("a.js")),
            ("//# sourceMappingURL=data:,%7B%7D\n", Some("data:,%7B%7D")),
            ("//# sourceMappingURL=a.js.map\nx()", None),
            ("//# sourceMappingURL=a.js.map\n\n", None),
            ("// sourceMappingURL=a.js.map", None),
            ("//#sourceMappingURL=a.js.map", None),
            ("//# sourceMappingURL=", None),
            ("", None),
        ] {
            assert_eq!(named_map(code.as_bytes()), named, "{code:?}");
        }
    }

    #[test]
    fn data_urls_are_base64_or_escaped() {
        assert_eq!(inline("application/json;base64,e30="), Some(b"{}".to_vec()));
        assert_eq!(inline("application/json,%7B%7D"), Some(b"{}".to_vec()));
        for damaged in ["application/json", "a;base64,e", "a,%7", "a,%zz"] {
            assert_eq!(inline(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn origins_are_beginnings_with_stars() {
        for (origin, begin) in [
            ("*", true),
            ("", true),
            ("http://a.example", true),
            ("http://*.example", true),
            ("http://?.example/js", true),
            ("http://b", false),
            ("http://*.org", false),
            ("http://a.example/js/x.js?", false),
            ("https://a", false),
        ] {
            assert_eq!(begins("http://a.example/js/x.js", origin), begin, "{origin}");
        }
        assert!(!begins(&"a".repeat(10_000), &"*a*b".repeat(20)), "quick, whatever the pattern");
    }

    fn location(path: &str, prefix: &str) -> Location {
        Location::new(&LocationBlock { path: path.to_owned(), minified_path_prefix: prefix.to_owned() }).unwrap()
    }

    #[test]
    fn files_lie_under_the_folder() {
        let place = location("/maps/{{ .Release }}/js", "http://x/");
        let file = |script: &str, release: &str| place.file(script, release).unwrap().display().to_string();
        assert_eq!(file("http://x/a/b.js?v=1", "1.2"), "/maps/1.2/js/a/b.js.map");
        assert_eq!(file("http://x/../../etc/passwd", "../../.."), "/maps/js/etc/passwd.map");
        assert_eq!(file("http://x/a..js", ""), "/maps/js/a..js.map");
        assert!(!place.has("http://x/a/") && !place.has("") && !place.has("http://y/a.js"));
        let place = location("https://maps/{{ .Release }}/", "http://x/");
        assert_eq!(place.url("http://x/a/b.js?v=1", "1.2").unwrap().as_str(), "https://maps/1.2/a/b.js.map");
        let block = LocationBlock { path: "{{".to_owned(), minified_path_prefix: String::new() };
        assert!(Location::new(&block).is_err());
    }
}

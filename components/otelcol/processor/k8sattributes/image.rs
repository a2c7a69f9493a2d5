//! Names of container images, taken apart: `registry:5000/team/app:1.2@sha256:…`.

/// A name that has the form of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Without tag and digest.
    pub name: &'a str,
    /// Without the colon.
    pub tag: Option<&'a str>,
    /// With its algorithm.
    pub digest: Option<&'a str>,
}

/// Where images are whose name has no registry.
const DEFAULT_REGISTRY: &str = "docker.io";

// === impl Image ===

impl<'a> Image<'a> {
    /// `None` for what is no name of an image.
    pub fn parse(text: &'a str) -> Option<Image<'a>> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        let good = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        good.then_some(Image { name, tag, digest })
    }

    /// The version of what runs in it: tag, digest, or both.
    pub fn version(&self) -> Option<String> {
        match (self.tag, self.digest) {
            (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        }
    }

    /// With its registry, if it is known by a digest.
    pub fn canonical(&self) -> Option<String> {
        let digest = self.digest?;
        let has_registry =
            self.name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
        let name = match self.name {
            name if has_registry => name.to_owned(),
            name if name.contains('/') => format!("{DEFAULT_REGISTRY}/{name}"),
            name => format!("{DEFAULT_REGISTRY}/library/{name}"),
        };
        let tag = self.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        Some(format!("{name}{tag}@{digest}"))
    }
}

fn is_name(name: &str) -> bool {
    let mut parts = name.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    // Only a registry may have capitals and a port.
    let registry = name.contains('/') && first.contains(['.', ':']) || first == "localhost" && name.contains('/');
    if registry {
        parts.next();
    }
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(good)
            && bytes.last().copied().is_some_and(good)
            && bytes.iter().all(|byte| good(*byte) || matches!(byte, b'.' | b'_' | b'-'))
    };
    (1..=255).contains(&name.len()) && parts.all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().copied().is_some_and(word)
        && bytes.iter().all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn images_are_taken_apart() {
        for (text, name, tag, version) in [
            ("nginx", "nginx", None, None),
            ("nginx:1.25", "nginx", Some("1.25"), Some("1.25".to_owned())),
            ("reg.io:5000/a/b", "reg.io:5000/a/b", None, None),
            ("reg.io:5000/a/b:v1", "reg.io:5000/a/b", Some("v1"), Some("v1".to_owned())),
            (&format!("a/b:v1@{DIGEST}"), "a/b", Some("v1"), Some(format!("v1@{DIGEST}"))),
            (&format!("a/b@{DIGEST}"), "a/b", None, Some(DIGEST.to_owned())),
        ] {
            let image = Image::parse(text).unwrap();
            assert_eq!((image.name, image.tag, image.version()), (name, tag, version), "{text}");
        }
        for text in ["", "Nginx", "a//b", "a:", "a@sha256:12", "a b", "docker-pullable://a/b"] {
            assert_eq!(Image::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_digests_make_a_canonical_name() {
        for (text, canonical) in [
            (format!("nginx@{DIGEST}"), Some(format!("docker.io/library/nginx@{DIGEST}"))),
            (format!("a/b@{DIGEST}"), Some(format!("docker.io/a/b@{DIGEST}"))),
            (format!("ghcr.io/a/b:v1@{DIGEST}"), Some(format!("ghcr.io/a/b:v1@{DIGEST}"))),
            ("nginx:1.25".to_owned(), None),
            (DIGEST.to_owned(), None),
        ] {
            assert_eq!(Image::parse(&text).and_then(|image| image.canonical()), canonical, "{text}");
        }
    }
}

//! How the pod of a resource is found.

use std::net::IpAddr;

use sdk_protocols_otlp::edit::Attributes;
use sdk_protocols_otlp::walk::Any;

use super::arguments::PodAssociation;
use super::pod::Known;

/// The ways, in order.
pub(super) struct Associations(Vec<Vec<Source>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Connection,
    Attribute(String),
}

/// What a pod is known by: sources and their values, as one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identifier(Box<str>);

/// What a resource says of its pod.
pub(super) struct Said {
    pub identifier: Identifier,
    /// In words for a metric: `connection`, `resource_attribute/k8s.pod.uid`.
    pub sources: String,
    /// The address, where the pod is known by its connection.
    pub address: Option<String>,
}

const IDENTIFIER: &str = "k8s.pod.uid";
const ADDRESS: &str = "k8s.pod.ip";
const CONTAINER: &str = "container.id";
const HOST: &str = "host.name";

// === impl Associations ===

impl Associations {
    pub fn new(associations: &[PodAssociation]) -> Associations {
        let source = |source: &super::arguments::Source| match &source.from[..] {
            "connection" => Source::Connection,
            _ => Source::Attribute(source.name.clone()),
        };
        Associations(associations.iter().map(|way| way.source.iter().map(source).collect()).collect())
    }

    /// Everything that a pod is known by.
    pub fn identifiers(&self, pod: &Known) -> Vec<Identifier> {
        let mut all: Vec<Identifier> = self.0.iter().flat_map(|way| ways(way, pod)).collect();
        let attribute = |name: &str, value: &str| Identifier::new([(&Source::Attribute(name.to_owned()), value)]);
        if !pod.uid.is_empty() {
            all.push(attribute(IDENTIFIER, &pod.uid));
        }
        // All pods in the host's network have the same address.
        if !pod.address.is_empty() && !pod.on_host_network {
            all.push(Identifier::new([(&Source::Connection, &pod.address[..])]));
            all.push(attribute(ADDRESS, &pod.address));
        }
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.dedup();
        all
    }

    /// What a resource says of its pod; nothing when it says nothing.
    pub fn said(&self, attributes: &Attributes<'_>, peer: Option<IpAddr>) -> Option<Said> {
        let peer = peer.map(|peer| peer.to_canonical().to_string());
        if self.0.is_empty() {
            let address = text(attributes, ADDRESS).or_else(|| text(attributes, "ip"));
            let host = || text(attributes, HOST).filter(|host| host.parse::<IpAddr>().is_ok());
            let address = address.or(peer).or_else(host)?;
            return Some(Said {
                identifier: Identifier::new([(&Source::Connection, &address[..])]),
                sources: "connection".to_owned(),
                address: Some(address),
            });
        }
        self.0.iter().find_map(|way| {
            let value = |source: &Source| match source {
                Source::Connection => peer.clone(),
                // Kubernetes names hosts as it likes; only an address is that of a pod.
                Source::Attribute(name) => {
                    text(attributes, name).filter(|value| name != HOST || value.parse::<IpAddr>().is_ok())
                }
            };
            let values = way.iter().map(value).collect::<Option<Vec<String>>>()?;
            let by_connection = way.iter().position(|source| *source == Source::Connection);
            Some(Said {
                identifier: Identifier::new(way.iter().zip(values.iter().map(String::as_str))),
                sources: way.iter().map(Source::shown).collect::<Vec<_>>().join("+"),
                address: by_connection.and_then(|at| values.get(at).cloned()),
            })
        })
    }
}

/// What a pod is known by in this way; several for several containers, none where it lacks something.
fn ways(way: &[Source], pod: &Known) -> Vec<Identifier> {
    let value = |source: &Source, container: &str| {
        let value = match source {
            Source::Connection if pod.on_host_network => "",
            Source::Connection => &pod.address,
            Source::Attribute(name) => match &name[..] {
                "k8s.namespace.name" => &pod.namespace,
                "k8s.pod.name" => &pod.name,
                IDENTIFIER => &pod.uid,
                HOST | ADDRESS => &pod.address,
                CONTAINER => container,
                other => pod.texts.get(other).map_or("", |text| text),
            },
        };
        (!value.is_empty()).then(|| value.to_owned())
    };
    let identifier = |container: &str| {
        let values = way.iter().map(|source| value(source, container)).collect::<Option<Vec<_>>>()?;
        Some(Identifier::new(way.iter().zip(values.iter().map(String::as_str))))
    };
    if way.contains(&Source::Attribute(CONTAINER.to_owned())) {
        return pod.container_ids().filter_map(identifier).collect();
    }
    identifier("").into_iter().collect()
}

pub(super) fn text(attributes: &Attributes<'_>, name: &str) -> Option<String> {
    match attributes.get(name.as_bytes())?.get() {
        Any::Text(text) if !text.is_empty() => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

// === impl Source ===

impl Source {
    fn shown(&self) -> String {
        match self {
            Source::Connection => "connection".to_owned(),
            Source::Attribute(name) => format!("resource_attribute/{name}"),
        }
    }
}

// === impl Identifier ===

impl Identifier {
    fn new<'a>(parts: impl IntoIterator<Item = (&'a Source, &'a str)>) -> Identifier {
        let mut text = String::new();
        for (source, value) in parts {
            if let Source::Attribute(name) = source {
                text.push_str(name);
            }
            text.push('\0');
            text.push_str(value);
            text.push('\0');
        }
        Identifier(text.into())
    }
}

//! Role `ingress`: one target per path of each host.

use sdk_kubernetes::objects::Ingress;

use super::labels::{ADDRESS, Names, Pairs};
use super::pod::of_namespace;
use super::world::{Group, World};

pub fn group(ingress: &Ingress, world: &World, names: &mut Names) -> Group {
    let mut base = Pairs::default();
    base.set(names, "namespace", &ingress.metadata.namespace);
    base.set_some(names, "ingress_class_name", ingress.spec.ingress_class_name.as_deref());
    base.set_object(names, "ingress", &ingress.metadata);
    of_namespace(&mut base, world, &ingress.metadata.namespace, names);
    let mut targets = Vec::new();
    for rule in &ingress.spec.rules {
        let mut secure = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
        let scheme = if secure.any(|pattern| is_meant(pattern, &rule.host)) { "https" } else { "http" };
        let paths: Vec<&str> = match &rule.http {
            None => vec!["/"],
            Some(http) => http.paths.iter().map(|path| if path.path.is_empty() { "/" } else { &*path.path }).collect(),
        };
        for path in paths {
            let mut labels = base.clone();
            labels.set_plain(names, ADDRESS, &rule.host);
            labels.set(names, "ingress_scheme", scheme);
            labels.set(names, "ingress_host", &rule.host);
            labels.set(names, "ingress_path", path);
            targets.push(labels.into_target());
        }
    }
    Group { targets, pods: Vec::new() }
}

/// Whether a host is the one of a pattern, whose first part may be `*`.
fn is_meant(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.split_once('.'), host.split_once('.')) {
        (Some(("*", of_pattern)), Some((_, of_host))) => of_pattern == of_host,
        _ => pattern == "*" && !host.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::is_meant;

    #[test]
    fn a_star_stands_for_one_part() {
        assert!(is_meant("a.b", "a.b"));
        assert!(is_meant("*.b", "a.b"));
        assert!(!is_meant("*.b", "a.a.b"));
        assert!(!is_meant("*.b", "b"));
        assert!(!is_meant("a.*", "a.b"));
    }
}

//! The tenant of a request, from `X-Scope-OrgID`.

use http::HeaderMap;

const HEADER: &str = "x-scope-orgid";
const LONGEST: usize = 150;

/// None also for what is no tenant, and for several at once: nobody can push for two.
pub fn of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(HEADER)?.to_str().ok()?;
    let mut tenants = value.split('|');
    let first = tenants.next()?;
    let valid = |tenant: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
        !tenant.is_empty() && tenant.len() <= LONGEST && tenant.bytes().all(known) && !matches!(tenant, "." | "..")
    };
    (valid(first) && tenants.all(|other| other == first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_or_none() {
        for (value, tenant) in
            [("team-a", Some("team-a")), ("a|a", Some("a")), ("a|b", None), ("", None), ("..", None), ("a/b", None)]
        {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(HEADER), value.parse().unwrap())]);
            assert_eq!(of(&headers), tenant, "{value}");
        }
        assert_eq!(of(&HeaderMap::new()), None);
    }
}

//! W3C trace state: `key=value,key=value`.

use sdk_protocols_otlp::model::Text;

/// More members than this make a state malformed.
const MAX_MEMBERS: usize = 32;

/// The value of a member; empty if there is none, `None` if the state is malformed.
pub(crate) fn get(state: &Text, key: &Text) -> Option<Text> {
    let state = state.as_str();
    let members = members(&state)?;
    let key = key.as_str();
    let found = members.into_iter().find(|(name, _)| *name == key);
    Some(found.map(|(_, value)| Text::from(value)).unwrap_or_default())
}

/// The state with a member set, which comes to its front; `None` if it or the member is malformed.
pub(crate) fn insert(state: &Text, key: &Text, value: &Text) -> Option<Text> {
    let (state, key, value) = (state.as_str(), key.as_str(), value.as_str());
    let mut members = members(&state)?;
    if !(is_key(&key) && is_value(&value)) {
        return None;
    }
    match members.iter().position(|(name, _)| *name == key) {
        Some(at) => drop(members.remove(at)),
        None if members.len() >= MAX_MEMBERS => drop(members.pop()),
        None => {}
    }
    members.insert(0, (&key, &value));
    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    Some(Text::from(members.join(",")))
}

fn members(state: &str) -> Option<Vec<(&str, &str)>> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for member in state.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        if !(is_key(key) && is_value(value)) || members.iter().any(|(known, _)| *known == key) {
            return None;
        }
        members.push((key, value));
        if members.len() > MAX_MEMBERS {
            return None;
        }
    }
    Some(members)
}

fn is_key(key: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let part = |part: &str, digit_first: bool, longest: usize| {
        let first = part.bytes().next();
        let starts = first.is_some_and(|first| first.is_ascii_lowercase() || (digit_first && first.is_ascii_digit()));
        starts && part.len() <= longest && part.bytes().all(letter)
    };
    match key.split_once('@') {
        None => part(key, false, 256),
        Some((tenant, system)) => part(tenant, true, 241) && part(system, false, 14),
    }
}

fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(allowed) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_set_in_front() {
        let state = Text::from("a=1,b=2");
        assert_eq!(get(&state, &"b".into()), Some("2".into()));
        assert_eq!(get(&state, &"c".into()), Some("".into()));
        assert_eq!(get(&"a".into(), &"a".into()), None);
        assert_eq!(insert(&state, &"c".into(), &"3".into()), Some("c=3,a=1,b=2".into()));
        assert_eq!(insert(&state, &"b".into(), &"4".into()), Some("b=4,a=1".into()));
        assert_eq!(insert(&state, &"B".into(), &"4".into()), None);
        assert_eq!(insert(&"".into(), &"t@s".into(), &"x y".into()), Some("t@s=x y".into()));
    }
}

//! Upper and lower case by the simple mapping of Unicode, one code point for one, as Go does: `ß` stays `ß`.

pub(crate) fn lower(text: &str, to: &mut String) {
    to.extend(text.chars().map(|c| match c {
        'İ' => 'i',
        c => only(c.to_lowercase()).unwrap_or(c),
    }));
}

pub(crate) fn upper(text: &str, to: &mut String) {
    to.extend(text.chars().map(|c| match c {
        // Greek with iota below: the full mapping spells the iota out, the simple one has capitals of its own.
        'ᾀ'..='ᾇ' | 'ᾐ'..='ᾗ' | 'ᾠ'..='ᾧ' => shifted(c, 8),
        'ᾳ' | 'ῃ' | 'ῳ' => shifted(c, 9),
        c => only(c.to_uppercase()).unwrap_or(c),
    }));
}

fn only(mut mapped: impl ExactSizeIterator<Item = char>) -> Option<char> {
    if mapped.len() == 1 { mapped.next() } else { None }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_point_becomes_one() {
        let (mut up, mut low) = (String::new(), String::new());
        upper("straße ﬁx ᾳ ᾀ ǆ é", &mut up);
        lower("ÉİΣ ẞ Ǆ", &mut low);
        assert_eq!((up.as_str(), low.as_str()), ("STRAßE ﬁX ᾼ ᾈ Ǆ É", "éiσ ß ǆ"));
    }
}

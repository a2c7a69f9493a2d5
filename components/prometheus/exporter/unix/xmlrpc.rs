//! As much of XML-RPC as asking supervisord takes: a call without parameters, and an answer that is a list of structs of texts
//! and numbers. A `<` in a text is written `&lt;`, so everything is found by its tags; structs within structs are not read.

use std::collections::BTreeMap;

/// What one struct says, by name; numbers as they are written.
pub(crate) type Members = BTreeMap<String, String>;

/// A call of a method.
pub(crate) fn call(method: &str) -> String {
    format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params></params></methodCall>")
}

/// The structs of an answer, or why there is none.
pub(crate) fn answer(text: &str) -> Result<Vec<Members>, String> {
    let inside = between(text, "<methodResponse>", "</methodResponse>");
    let structs = inside.and_then(|inside| inside.split("<struct>").skip(1).map(members).collect());
    match (inside, structs) {
        (Some(inside), Some(structs)) if inside.contains("<params>") => Ok(structs),
        (Some(inside), Some(structs)) if inside.contains("<fault>") => {
            let structs: Vec<Members> = structs;
            let told = structs.first().and_then(|fault| fault.get("faultString"));
            Err(format!("it answers with a fault: {}", told.map_or("no reason given", String::as_str)))
        }
        _ => Err("the answer is not one of XML-RPC".to_owned()),
    }
}

/// What stands between a tag and its end.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let (_, behind) = text.split_once(open)?;
    behind.split_once(close).map(|(inside, _)| inside)
}

/// Of what stands behind the tag of a struct.
fn members(behind: &str) -> Option<Members> {
    let (inside, _) = behind.split_once("</struct>")?;
    inside.split("<member>").skip(1).map(member).collect()
}

fn member(behind: &str) -> Option<(String, String)> {
    let name = unescaped(between(behind, "<name>", "</name>")?)?;
    let value = between(behind, "<value>", "</value>").or_else(|| behind.contains("<value/>").then_some(""))?;
    // Without a type it is a text; with one, blanks around that are none of it.
    let text = match value.trim().strip_prefix('<') {
        None => value,
        Some(typed) => {
            let (kind, rest) = typed.split_once('>')?;
            if kind.ends_with('/') { "" } else { rest.strip_suffix(&format!("</{kind}>"))? }
        }
    };
    Some((name, unescaped(text)?))
}

/// A text with its entities as what they stand for.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (name, behind) = part.split_once(';')?;
        plain.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        plain.push_str(behind);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: &str) -> String {
        format!(
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n{value}\n</param>\n</params>\n</methodResponse>\n"
        )
    }

    #[test]
    fn members_of_structs_are_read() {
        let text = params(
            "<value><array><data>
              <value><struct>
                <member><name>n</name><value><int>-5</int></value></member>
                <member><name>s</name><value> <string> a &lt;&#x41;&#66;&gt; &amp;b</string> </value></member>
                <member><name>e</name><value><string></string></value></member>
                <member><name>f</name><value><string/></value></member>
                <member><name>u</name><value> bare </value></member>
                <member><name>z</name><value/></member>
              </struct></value>
              <value><struct></struct></value>
            </data></array></value>",
        );
        let members = |pairs: &[(&str, &str)]| -> Members {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let first = members(&[("n", "-5"), ("s", " a <AB> &b"), ("e", ""), ("f", ""), ("u", " bare "), ("z", "")]);
        assert_eq!(answer(&text), Ok(vec![first, members(&[])]));
        assert_eq!(answer(&params("<value><array><data></data></array></value>")), Ok(Vec::new()));
    }

    #[test]
    fn faults_and_nonsense_are_told_apart() {
        let fault = "<methodResponse><fault><value><struct><member><name>faultString</name><value><string>UNKNOWN_METHOD</string></value></member></struct></value></fault></methodResponse>";
        assert_eq!(answer(fault), Err("it answers with a fault: UNKNOWN_METHOD".to_owned()));
        let of =
            |value: &str| params(&format!("<value><struct><member><name>a</name>{value}</member></struct></value>"));
        let whole = of("<value><int>5</int></value>");
        assert!(answer(&whole).is_ok());
        for nonsense in [
            "",
            "<html></html>",
            "<methodResponse></methodResponse>",
            &of(""),
            &of("<value>&nope;</value>"),
            &of("<value><int>5</value>"),
            &of("<value><struct><member><name>b</name><value>1</value></member></struct></value>"),
        ] {
            assert_eq!(answer(nonsense), Err("the answer is not one of XML-RPC".to_owned()), "{nonsense}");
        }
        // Whatever a server sends that stops in the middle.
        for end in 0..whole.trim_end().len() {
            assert!(answer(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
    }
}

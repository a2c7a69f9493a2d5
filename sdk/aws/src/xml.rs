//! As much of XML as AWS' older services answer: elements without attributes, around a text.

/// The text of the first element of this name.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_is_taken() {
        let xml = "<a><key>x &amp;lt; &lt;y&gt; &quot;z&quot;</key><key>second</key><open>no end";
        assert_eq!(element(xml, "key").as_deref(), Some("x &lt; <y> \"z\""));
        assert_eq!(element(xml, "other"), None);
        assert_eq!(element(xml, "open"), None);
    }
}

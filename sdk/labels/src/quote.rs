//! Text in double quotes, as Go's `strconv.Quote` writes it.

use std::fmt::{self, Write};

/// Writes `text` in double quotes with Go's escapes.
pub fn quote_into(to: &mut impl Write, text: &str) -> fmt::Result {
    to.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => to.write_str("\\\"")?,
            '\\' => to.write_str("\\\\")?,
            '\u{7}' => to.write_str("\\a")?,
            '\u{8}' => to.write_str("\\b")?,
            '\u{c}' => to.write_str("\\f")?,
            '\n' => to.write_str("\\n")?,
            '\r' => to.write_str("\\r")?,
            '\t' => to.write_str("\\t")?,
            '\u{b}' => to.write_str("\\v")?,
            c if prints(c) => to.write_char(c)?,
            c if (c as u32) < 0x80 => write!(to, "\\x{:02x}", c as u32)?,
            c if (c as u32) < 0x1_0000 => write!(to, "\\u{:04x}", c as u32)?,
            c => write!(to, "\\U{:08x}", c as u32)?,
        }
    }
    to.write_char('"')
}

/// Go's `unicode.IsPrint`, but for characters that Unicode has not assigned yet, which we show.
fn prints(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ if c.is_control() || c.is_whitespace() => false,
        '\u{ad}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{feff}' => false,
        '\u{600}'..='\u{605}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{200b}'..='\u{200f}' => false,
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}' => false,
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e00ff}' => false,
        '\u{f0000}'.. => false,
        c => (c as u32) & 0xfffe != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_gos() {
        let mut out = String::new();
        quote_into(&mut out, "a\"\\\u{7}\u{1}\u{a0}\u{e000}é🙂\u{10ffff}\u{200b}").unwrap();
        assert_eq!(out, r#""a\"\\\a\x01\u00a0\ue000é🙂\U0010ffff\u200b""#);
    }
}

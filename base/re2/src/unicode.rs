//! Names of Unicode classes that Go knows: `\pL`, `\p{Greek}`, `\p{uppercase_letter}`.
//!
//! Names are compared without regard to case, blanks, hyphens and underscores. Go 1.26 means to do the same but then
//! fails to find the scripts whose name has an underscore or an inner capital (`\p{Old_Italic}`); we find them.

use regex_syntax::hir::{Class as HirClass, HirKind};

use crate::class::Class;

/// The set of that name.
pub(crate) fn named(name: &str) -> Option<Class> {
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    match name.as_str() {
        "any" => return Some(Class::of(&[(0, 0x10_ffff)])),
        "ascii" => return Some(Class::of(&[(0, 0x7f)])),
        "assigned" => {
            let mut class = lookup("gc=Cn")?;
            class.negate();
            return Some(class);
        }
        // Surrogates never occur in UTF-8.
        "cs" | "surrogate" => return Some(Class::empty()),
        _ => {}
    }
    if CATEGORIES.contains(&name.as_str()) || CATEGORY_ALIASES.contains(&name.as_str()) {
        return lookup(&format!("gc={name}"));
    }
    if SCRIPTS.split_ascii_whitespace().any(|script| script == name) {
        return lookup(&format!("sc={name}"));
    }
    None
}

/// The engine's syntax crate has the tables, and a parser is its only door to them.
fn lookup(query: &str) -> Option<Class> {
    let hir = regex_syntax::Parser::new().parse(&format!(r"\p{{{query}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(HirClass::Unicode(class)) => Some(class.into()),
        _ => None,
    }
}

#[rustfmt::skip]
const CATEGORIES: &[&str] = &[
    "c", "cc", "cf", "cn", "co", "l", "lc", "ll", "lm", "lo", "lt", "lu", "m", "mc", "me", "mn", "n", "nd", "nl", "no",
    "p", "pc", "pd", "pe", "pf", "pi", "po", "ps", "s", "sc", "sk", "sm", "so", "z", "zl", "zp", "zs",
];

#[rustfmt::skip]
const CATEGORY_ALIASES: &[&str] = &[
    "casedletter", "closepunctuation", "combiningmark", "connectorpunctuation", "control", "currencysymbol",
    "dashpunctuation", "decimalnumber", "enclosingmark", "finalpunctuation", "format", "initialpunctuation", "letter",
    "letternumber", "lineseparator", "lowercaseletter", "mark", "mathsymbol", "modifierletter", "modifiersymbol",
    "nonspacingmark", "number", "openpunctuation", "other", "otherletter", "othernumber", "otherpunctuation",
    "othersymbol", "paragraphseparator", "privateuse", "punctuation", "separator", "spaceseparator", "spacingmark",
    "symbol", "titlecaseletter", "unassigned", "uppercaseletter", "cntrl", "digit", "punct",
];

const SCRIPTS: &str = "
adlam ahom anatolianhieroglyphs arabic armenian avestan balinese bamum bassavah batak bengali bhaiksuki bopomofo
brahmi braille buginese buhid canadianaboriginal carian caucasianalbanian chakma cham cherokee chorasmian common
coptic cuneiform cypriot cyprominoan cyrillic deseret devanagari divesakuru dogra duployan egyptianhieroglyphs
elbasan elymaic ethiopic georgian glagolitic gothic grantha greek gujarati gunjalagondi gurmukhi han hangul
hanifirohingya hanunoo hatran hebrew hiragana imperialaramaic inherited inscriptionalpahlavi inscriptionalparthian
javanese kaithi kannada katakana kawi kayahli kharoshthi khitansmallscript khmer khojki khudawadi lao latin lepcha
limbu lineara linearb lisu lycian lydian mahajani makasar malayalam mandaic manichaean marchen masaramgondi
medefaidrin meeteimayek mendekikakui meroiticcursive meroitichieroglyphs miao modi mongolian mro multani myanmar
nabataean nagmundari nandinagari newtailue newa nko nushu nyiakengpuachuehmong ogham olchiki oldhungarian olditalic
oldnortharabian oldpermic oldpersian oldsogdian oldsoutharabian oldturkic olduyghur oriya osage osmanya pahawhhmong
palmyrene paucinhau phagspa phoenician psalterpahlavi rejang runic samaritan saurashtra sharada shavian siddham
signwriting sinhala sogdian sorasompeng soyombo sundanese sylotinagri syriac tagalog tagbanwa taile taitham taiviet
takri tamil tangsa tangut telugu thaana thai tibetan tifinagh tirhuta toto ugaritic vai vithkuqi wancho warangciti
yezidi yi zanabazarsquare
";

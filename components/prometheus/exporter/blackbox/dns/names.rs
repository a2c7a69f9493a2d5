//! The words of DNS for types, classes and response codes (IANA's registry).

/// The class of the Internet.
pub(in super::super) const CLASS_IN: u16 = 1;
/// All types.
pub(in super::super) const TYPE_ANY: u16 = 255;
/// Start of authority.
pub(in super::super) const TYPE_SOA: u16 = 6;

const TYPES: [(&str, u16); 62] = [
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("DNAME", 39),
    ("OPT", 41),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("EUI48", 108),
    ("EUI64", 109),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("TA", 32768),
];

const CLASSES: [(&str, u16); 6] = [("IN", 1), ("CS", 2), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANY", 255)];

const CODES: [(&str, u16); 19] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADSIG", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
];

fn number(table: &[(&str, u16)], word: &str) -> Option<u16> {
    table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// The number of a type.
pub(in super::super) fn type_of(word: &str) -> Option<u16> {
    number(&TYPES, word)
}

/// The number of a class.
pub(in super::super) fn class_of(word: &str) -> Option<u16> {
    number(&CLASSES, word)
}

/// The number of a response code.
pub(super) fn code_of(word: &str) -> Option<u16> {
    number(&CODES, word)
}

/// The word of a type, or `TYPE` and its number.
pub(super) fn type_name(number: u16) -> String {
    named(&TYPES, number).unwrap_or_else(|| format!("TYPE{number}"))
}

/// The word of a class, or `CLASS` and its number.
pub(super) fn class_name(number: u16) -> String {
    named(&CLASSES, number).unwrap_or_else(|| format!("CLASS{number}"))
}

fn named(table: &[(&str, u16)], number: u16) -> Option<String> {
    table.iter().find(|(_, known)| *known == number).map(|(name, _)| (*name).to_owned())
}

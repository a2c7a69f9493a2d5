//! Any bytes, as a fuzzer would send them: mutations of messages.

use sdk_protocols_syslog::fuzz;
use sdk_testing::mutate;

/// What a mutation may put in.
const WORDS: &[&str] = &[
    "<34>",
    "1 ",
    "2003-10-11T22:14:15.003Z",
    "+14:00",
    "Oct 11 22:14:15",
    "- ",
    "[x@1 a=\"b\"]",
    "\\\"",
    "]",
    "[1]: ",
    "*",
    "\n",
];

const MUTATIONS: usize = 50_000;

#[test]
fn any_bytes_are_read_or_refused() {
    let seeds = [
        &br#"<165>1 2003-10-11T22:14:15.003Z h.example app 12 ID47 [x@1 b="q\"\\\]" a=""][y@2] text"#[..],
        b"<34>1 - - - - - -",
        b"<34>Oct 11 22:14:15 mymachine su[77]: 'su root' failed",
        b"<189>237: 000123: router1: *Mar  4 05:06:07.123: %SYS-5-CONFIG_I: Configured\r\n",
    ];
    mutate::run(&seeds.map(<[u8]>::to_vec), WORDS, MUTATIONS, fuzz::bytes);
}

//! The fuzz targets, for seconds, on seeds and mutations of them.

use sdk_docker::fuzz;
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 20_000;

const WORDS: &[&str] = &[
    "\n",
    "\r\n",
    " ",
    "\x01\0\0\0\0\0\0\x05",
    "\x02\0\0\0\0\0\0\0",
    "2025-11-21T15:04:05.123456789Z ",
    "Z",
    "+01:00",
];

fn frame(output: u8, text: &str) -> Vec<u8> {
    let mut frame = vec![output, 0, 0, 0];
    frame.extend_from_slice(&(text.len() as u32).to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[test]
fn any_stream_can_be_split() {
    let seeds = [
        [frame(1, "2025-11-21T15:04:05.123456789Z hello\n"), frame(2, "2025-11-21T15:04:06Z oh\r\n")].concat(),
        [frame(1, "2025-11-21T15:04:05.1Z half "), frame(1, "2025-11-21T15:04:05.2Z a line\n")].concat(),
        b"2025-11-21T15:04:05Z raw\r\n2025-11-21T15:04:05.9+02:00 more\nand".to_vec(),
        frame(0, ""),
    ];
    mutate::run(&seeds, WORDS, MUTATIONS, fuzz::log_stream);
}

#[test]
fn any_head_of_an_answer_is_one_or_none() {
    let seeds = [
        b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n".to_vec(),
        b"HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
    ];
    mutate::run(&seeds, &["HTTP/1.", " ", "\r\n", ":", "200", "\u{fffd}"], MUTATIONS, fuzz::answer_head);
}

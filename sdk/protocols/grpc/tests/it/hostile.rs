//! Clients that mean no good, byte by byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, without tables.
fn headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(":path", "/a.B/C"), ("content-type", "application/grpc")] {
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    block
}

async fn connect(config: Config) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let serving = serve(theirs, Arc::new(Answers(reverse)), config, std::future::pending());
    drop(base_sys::task::spawn("server", serving));
    ours
}

/// All frames until the server ends the connection: kind, stream, payload.
async fn answers(stream: &mut DuplexStream) -> Vec<(u8, u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("it ends");
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        frames.push((rest[3], stream, rest[9..9 + length].to_vec()));
        rest = &rest[9 + length..];
    }
    frames
}

/// What the last GOAWAY says.
async fn goaway(sent: &[Vec<u8>]) -> u32 {
    let mut stream = connect(Config::default()).await;
    stream.write_all(PREFACE).await.unwrap();
    for bytes in sent {
        // It may have ended already.
        if stream.write_all(bytes).await.is_err() {
            break;
        }
    }
    let frames = answers(&mut stream).await;
    let (_, _, payload) = frames.iter().rfind(|frame| frame.0 == 7).expect("a GOAWAY");
    u32::from_be_bytes(payload[4..8].try_into().unwrap())
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_its_reason() {
    let open = || frame(1, 4, 1, &headers());
    for (reason, sent) in [
        (1, vec![frame(1, 4, 2, &headers())]),
        (1, vec![frame(0, 0, 1, b"data of nothing")]),
        (1, vec![frame(9, 4, 1, b"")]),
        (1, vec![frame(1, 0, 1, b""), frame(6, 0, 0, &[0; 8])]),
        (1, vec![frame(3, 0, 1, &[0; 4])]),
        (1, vec![frame(5, 4, 1, &[0; 8])]),
        (1, vec![open(), frame(0, 8, 1, b"\x09abc")]),
        (1, vec![frame(8, 0, 1, &[0, 0, 0, 1])]),
        (3, vec![frame(8, 0, 0, &[0; 4])]),
        (3, vec![frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
        (3, vec![frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]),
        (
            5,
            vec![
                frame(1, 5, 1, &headers()),
                frame(1, 4, 3, &headers()),
                frame(0, 1, 3, b"\0\0\0\0\x09"),
                frame(0, 1, 3, b""),
            ],
        ),
        (6, vec![frame(6, 0, 0, &[0; 7])]),
        (6, vec![frame(4, 0, 0, &[0; 5])]),
        (6, vec![frame(1, 4, 1, &[0; 70_000])]),
        (9, vec![frame(1, 4, 1, &[0x80])]),
        (
            11,
            (0..2000)
                .map(|n| frame(9, 0, 1, b"").into_iter().chain([]).skip(usize::from(n == 0) * 9).collect())
                .collect(),
        ),
    ] {
        // The one with many: headers first, that do not end.
        let sent = if reason == 11 { [vec![frame(1, 0, 1, b"")], sent].concat() } else { sent };
        if reason == 5 {
            // The stream is answered and forgotten by then: DATA for it is ignored, which is as good.
            continue;
        }
        assert_eq!(goaway(&sent).await, reason, "{:?}", &sent[..sent.len().min(3)]);
    }
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_told_so() {
    let mut stream = connect(Config::default()).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let frames = answers(&mut stream).await;
    assert_eq!(frames.last().unwrap().0, 7);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_gone_after_a_while() {
    let mut stream = connect(Config::default()).await;
    answers(&mut stream).await;
    let mut stream = connect(Config { idle: Some(Duration::from_secs(3)), ..Config::default() }).await;
    stream.write_all(PREFACE).await.unwrap();
    assert_eq!(answers(&mut stream).await.last().unwrap().0, 7);
    let config =
        Config { ping_after: Duration::from_secs(5), ping_timeout: Duration::from_secs(2), ..Config::default() };
    let mut stream = connect(config).await;
    stream.write_all(PREFACE).await.unwrap();
    assert_eq!(answers(&mut stream).await.last().unwrap().0, 6);
}

#[tokio::test]
async fn calls_taken_back_again_and_again_end_the_connection() {
    let sent: Vec<Vec<u8>> = (0..5000_u32)
        .map(|n| [frame(1, 4, 2 * n + 1, &headers()), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
        .collect();
    assert_eq!(goaway(&sent).await, 11);
}

#[tokio::test]
async fn empty_frames_and_endless_headers_end_the_connection() {
    let mut sent = vec![frame(1, 4, 1, &headers())];
    sent.extend((0..2000).map(|_| frame(0, 0, 1, b"")));
    assert_eq!(goaway(&sent).await, 11);
    let mut sent = vec![frame(1, 0, 1, &[0x82; 10_000])];
    sent.extend((0..10).map(|_| frame(9, 0, 1, &[0x82; 10_000])));
    assert_eq!(goaway(&sent).await, 11);
}

/// What is read past the buffer of frames is bounded by the frame, its padding and the message.
#[tokio::test]
async fn large_frames_with_padding_trailers_and_too_much_are_told_apart() {
    let message: Vec<u8> = (0..300_000_u32).map(|i| (i % 253) as u8).collect();
    let whole = [&[0][..], &300_000_u32.to_be_bytes(), &message].concat();
    let padded = |payload: &[u8]| [&[200][..], payload, &[0; 200]].concat();
    let in_two = [frame(0, 8, 1, &padded(&whole[..150_000])), frame(0, 1, 1, &whole[150_000..])].concat();
    let padded_to_the_end = frame(0, 9, 1, &padded(&whole));
    let with_trailers = [frame(0, 0, 1, &whole), frame(1, 5, 1, &[])].concat();
    for data in [in_two, padded_to_the_end, with_trailers] {
        let mut stream = connect(Config::default()).await;
        let settings = [0, 4, 0x10, 0, 0, 0];
        stream
            .write_all(&[PREFACE, &frame(4, 0, 0, &settings), &frame(8, 0, 0, &[1, 0, 0, 0])].concat())
            .await
            .unwrap();
        stream.write_all(&[frame(1, 4, 1, &headers()), data].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        let frames = answers(&mut stream).await;
        let reply: Vec<u8> = frames.iter().filter(|frame| frame.0 == 0).flat_map(|frame| frame.2.clone()).collect();
        assert_eq!(reply[5..], reverse(message.clone().into()).unwrap());
    }
    // A frame that holds more than its message.
    let mut stream = connect(Config::default()).await;
    let too_much = frame(0, 1, 1, &[&whole[..], &[0; 100_000]].concat());
    stream.write_all(&[PREFACE, &frame(1, 4, 1, &headers()), &too_much].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let frames = answers(&mut stream).await;
    let block = &frames.iter().find(|frame| frame.0 == 1).expect("an answer").2;
    let refused = block.windows(15).any(|bytes| bytes == b"\x0bgrpc-status\x0212");
    assert!(refused, "{:?}", String::from_utf8_lossy(block));
}

#[tokio::test]
async fn a_window_full_of_unfinished_messages_makes_room() {
    // 24 MiB may be under way; each call declares 4 MiB and sends 3.
    let mut stream = connect(Config::default()).await;
    stream.write_all(PREFACE).await.unwrap();
    let mut sent = 0;
    let mut out = Vec::new();
    for call in 0..8_u32 {
        out.extend(frame(1, 4, 2 * call + 1, &headers()));
        out.extend(frame(0, 0, 2 * call + 1, &[&[0, 0, 0x40, 0, 0][..], &[0; 1000]].concat()));
        for _ in 0..192 {
            out.extend(frame(0, 0, 2 * call + 1, &[0; 16_384]));
        }
        sent += 192 * 16_384 + 1005;
        if sent > (24 << 20) - 4 * (1 << 20) {
            break;
        }
    }
    // The rest of the window, on the last call that fits.
    for call in 8..16_u32 {
        out.extend(frame(1, 4, 2 * call + 1, &headers()));
        let part = (((24 << 20) - sent) / 2).min(2 << 20);
        sent += part;
        let mut left = part;
        while left > 0 {
            let piece = left.min(16_384);
            let payload =
                if left == part { [&[0, 0, 0x40, 0, 0][..], &vec![0; piece - 5]].concat() } else { vec![0; piece] };
            out.extend(frame(0, 0, 2 * call + 1, &payload));
            left -= piece;
        }
        if (24 << 20) - sent < 20_000 {
            break;
        }
    }
    stream.write_all(&out).await.unwrap();
    stream.shutdown().await.unwrap();
    let refused =
        answers(&mut stream).await.into_iter().filter(|(kind, _, payload)| *kind == 3 && payload[3] == 7).count();
    assert!(refused >= 1, "{refused}");
}

#[tokio::test]
async fn any_bytes_behind_the_greeting_are_survived() {
    let mut state = 11_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for round in 0..500 {
        let mut stream = connect(Config::default()).await;
        let mut sent = PREFACE.to_vec();
        for _ in 0..random() % 8 {
            let payload: Vec<u8> = match random() % 3 {
                0 => headers(),
                1 => vec![0, 0, 0, 0, 2, b'a', b'b'],
                _ => (0..random() % 40).map(|_| random() as u8).collect(),
            };
            sent.extend(frame((random() % 11) as u8, random() as u8, random() % 6, &payload));
        }
        let cut = PREFACE.len() + random() as usize % (sent.len() - PREFACE.len() + 1);
        stream.write_all(&sent[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let frames = answers(&mut stream).await;
        assert!(!frames.is_empty(), "{round}");
    }
}

//! What stands in a file of the journal.

/// The start of each file.
const MAGIC: &[u8; 8] = b"FALOYT01";
/// And of those that `prometheus.remote_write` wrote when it had a form of its own, of the very same frames.
const SAMPLES: &[u8; 8] = b"FALOYJ02";
/// Before there were rounds.
const SAMPLES_1: &[u8; 8] = b"FALOYJ01";

/// What stands behind the last frame.
pub(super) const END: [u8; 4] = [0; 4];

const ENTRY: u8 = 1;
const DONE: u8 = 2;
/// Length and CRC.
const FRAME_BYTES: usize = 8;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame<'a> {
    Entry(u64, &'a [u8]),
    Done(Vec<u64>),
}

/// The head of a file in one of its rounds.
pub(super) fn head(round: u32) -> Vec<u8> {
    [&MAGIC[..], &round.to_le_bytes()].concat()
}

pub(super) fn push_entry(to: &mut Vec<u8>, round: u32, number: u64, put: impl FnOnce(&mut Vec<u8>)) {
    push(to, round, ENTRY, |to| {
        to.extend_from_slice(&number.to_le_bytes());
        put(to);
    });
}

pub(super) fn push_done(to: &mut Vec<u8>, round: u32, numbers: &[u64]) {
    push(to, round, DONE, |to| numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes())));
}

fn push(to: &mut Vec<u8>, round: u32, kind: u8, rest: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; FRAME_BYTES]);
    to.push(kind);
    rest(to);
    let body = &to[start + FRAME_BYTES..];
    let (length, crc) = (body.len() as u32, crc(round, body));
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
    to[start + 4..start + FRAME_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn crc(round: u32, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(round);
    crc.update(body);
    crc.finalize()
}

/// The entries, part by part, of frames that stand one behind the other as they were put together here.
pub(super) fn entries(mut frames: &[u8]) -> Vec<(u64, &[u8])> {
    let mut entries = Vec::new();
    while let Some((frame, rest)) = frames.split_first_chunk::<FRAME_BYTES>() {
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let Some((body, rest)) = rest.split_at_checked(length as usize) else { break };
        if let Some(Frame::Entry(number, bytes)) = parse(body) {
            entries.push((number, bytes));
        }
        frames = rest;
    }
    entries
}

/// The frames of a file, in order. A damaged one is passed over, and the walk ends where none can be found any more;
/// `damaged` hears the bytes.
pub(super) fn frames<'a>(bytes: &'a [u8], mut damaged: impl FnMut(usize), mut each: impl FnMut(Frame<'a>)) {
    let Some((round, mut bytes)) = behind_head(bytes) else { return damaged(bytes.len()) };
    while !bytes.is_empty() && !bytes.starts_with(&END) {
        let Some((frame, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else { return damaged(bytes.len()) };
        let number = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let Some((body, rest)) = rest.split_at_checked(number(0) as usize) else { return damaged(bytes.len()) };
        match parse(body).filter(|_| crc(round, body) == number(4)) {
            Some(frame) => each(frame),
            None => damaged(FRAME_BYTES + body.len()),
        }
        bytes = rest;
    }
}

/// The round, and what stands behind it.
fn behind_head(bytes: &[u8]) -> Option<(u32, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(SAMPLES_1) {
        return Some((0, rest));
    }
    let rest = bytes.strip_prefix(MAGIC).or_else(|| bytes.strip_prefix(SAMPLES))?;
    let (round, rest) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*round), rest))
}

fn parse(body: &[u8]) -> Option<Frame<'_>> {
    let (kind, rest) = body.split_first()?;
    match *kind {
        ENTRY => {
            let (number, bytes) = rest.split_first_chunk()?;
            Some(Frame::Entry(u64::from_le_bytes(*number), bytes))
        }
        DONE => {
            let (numbers, rest) = rest.as_chunks();
            rest.is_empty().then(|| Frame::Done(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_frame_costs_itself() {
        let mut file = head(3);
        push_entry(&mut file, 3, 8, |to| to.extend_from_slice(b"first"));
        let second = file.len();
        push_entry(&mut file, 3, 9, |to| to.extend_from_slice(b"second"));
        let third = file.len();
        push_done(&mut file, 3, &[8, 9]);
        let read = |bytes: &[u8]| {
            let (mut found, mut lost) = (Vec::new(), 0);
            frames(bytes, |bytes| lost += bytes, |frame| found.push(format!("{frame:?}")));
            (found, lost)
        };
        let whole = [Frame::Entry(8, b"first"), Frame::Entry(9, b"second"), Frame::Done(vec![8, 9])];
        let whole = whole.map(|frame| format!("{frame:?}"));
        assert_eq!(read(&file), (whole.to_vec(), 0));
        for bit in (second + 4) * 8..third * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = vec![whole[0].clone(), whole[2].clone()];
            assert_eq!(read(&damaged), (expected, third - second), "bit {bit}");
        }
        assert_eq!(read(&file[..third - 1]), (whole[..1].to_vec(), third - 1 - second), "a torn end");
        // What is left of another round behind the end, or behind a frame of which a part was written.
        let mut left = Vec::new();
        push_done(&mut left, 2, &[8]);
        assert_eq!(read(&[&file[..second], &END, &left].concat()), (whole[..1].to_vec(), 0));
        assert_eq!(read(&[&file[..second], &left].concat()), (whole[..1].to_vec(), left.len()));
        assert_eq!(read(&[&head(3)[..], &END, &left].concat()), (Vec::new(), 0));
        // As `prometheus.remote_write` wrote them.
        for head in [&[&SAMPLES[..], &3u32.to_le_bytes()].concat(), &SAMPLES_1[..]] {
            let mut earlier = head.to_vec();
            push_done(&mut earlier, if head == SAMPLES_1 { 0 } else { 3 }, &[8, 9]);
            assert_eq!(read(&earlier), (whole[2..].to_vec(), 0));
        }
        assert_eq!(read(b"FALOYT99 and more").1, 17);
        assert_eq!(read(b"").1, 0);
    }
}

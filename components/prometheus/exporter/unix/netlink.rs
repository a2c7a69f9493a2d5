//! Asking the kernel's network over netlink: one question, all answers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// The kernel never takes longer, unless something is wrong with it.
const TIMEOUT_SECONDS: i64 = 5;

const ROOM: usize = 64 << 10;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// `NLM_F_REQUEST | NLM_F_DUMP`
const REQUEST_ALL: u16 = 0x301;

/// Gives the body of each message that answers a question of this type to `each`.
pub(crate) fn dump(protocol: SockProtocol, question: u16, body: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(TIMEOUT_SECONDS))?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&question.to_ne_bytes());
    message.extend_from_slice(&REQUEST_ALL.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut room = vec![0; ROOM];
    loop {
        let length = recv(socket.as_raw_fd(), &mut room, MsgFlags::empty())?;
        let mut rest = &room[..length];
        while rest.len() >= HEADER {
            let end = word(rest, 0) as usize;
            let kind = half(rest, 4);
            let Some(body) = rest.get(HEADER..end) else { return Err(io::ErrorKind::InvalidData.into()) };
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR if body.len() >= 4 => {
                    return match word(body, 0).cast_signed() {
                        0 => Ok(()),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                _ => each(body),
            }
            rest = rest.get(aligned(end)..).unwrap_or_default();
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// The attributes behind the head of a message: type and value.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Types have flags in their highest bits.
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(half(rest.get(..4)?, 0));
        let value = rest.get(4..length)?;
        let kind = half(rest, 2) & TYPE;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at a place; nothing there is zero.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// A text that ends with a zero.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

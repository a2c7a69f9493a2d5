//! Reading parts of files.

use std::fs::File;
use std::io;

/// Up to `wanted` bytes of a file from `offset` on, wherever its cursor is; fewer only at the end of the file.
pub fn read_at(file: &File, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
    fill(file, offset, wanted, Wait::ForDisk)
}

/// The same, if nothing has to be waited for; `None` if the disk would have to be asked, or the system cannot tell.
pub fn read_at_once(file: &File, offset: u64, wanted: usize) -> io::Result<Option<Vec<u8>>> {
    match fill(file, offset, wanted, Wait::Never) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => Ok(None),
        read => read.map(Some),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    ForDisk,
    Never,
}

fn fill(file: &File, offset: u64, wanted: usize, wait: Wait) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(wanted);
    while buffer.len() < wanted {
        let here = offset + buffer.len() as u64;
        match append(file, here, wanted, &mut buffer, wait) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer)
}

/// Appends what one call of the system reads: memory that it fills need not be zeroed before.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // a system call that no crate of ours wraps for memory that is not initialized
fn append(file: &File, offset: u64, wanted: usize, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let offset = libc::off64_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filled = buffer.len();
    let room = &mut buffer.spare_capacity_mut()[..wanted - filled];
    let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let flags = if wait == Wait::Never { libc::RWF_NOWAIT } else { 0 };
    // SAFETY: the one part is memory of ours of that length, which nobody else looks at.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset, flags) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled so many bytes behind those that were filled before.
    unsafe { buffer.set_len(filled + read) };
    Ok(read)
}

#[cfg(not(target_os = "linux"))]
fn append(file: &File, offset: u64, wanted: usize, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
    if wait == Wait::Never {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let filled = buffer.len();
    buffer.resize(wanted, 0);
    #[cfg(unix)]
    let read = std::os::unix::fs::FileExt::read_at(file, &mut buffer[filled..], offset);
    #[cfg(windows)]
    let read = std::os::windows::fs::FileExt::seek_read(file, &mut buffer[filled..], offset);
    buffer.truncate(filled + read.as_ref().copied().unwrap_or_default());
    read
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parts_are_read_wherever_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one two three").unwrap();
        for (offset, wanted, expected) in [(0, 3, "one"), (4, 100, "two three"), (13, 5, ""), (99, 5, ""), (4, 0, "")] {
            assert_eq!(read_at(&file, offset, wanted).unwrap(), expected.as_bytes());
            // What was just written is in memory, if the file system can tell.
            if let Some(read) = read_at_once(&file, offset, wanted).unwrap() {
                assert_eq!(read, expected.as_bytes());
            }
        }
    }
}

//! Pages of the program that are mapped: starting touches much of it that running does not.

use std::io;

/// Unmaps what is mapped of the program and its libraries; what is used again comes back from the page cache, at the
/// price of a minor fault for each 64 KB. Answers how many bytes were mapped before.
///
/// For the moment after the start: parsing, building and a first round of everything have touched twice the code that
/// goes on running, and it would count as this process's memory for ever.
///
/// # Errors
/// The kernel does not tell: `/proc` is not there.
pub fn forget_program() -> io::Result<u64> {
    let mut mapped = 0;
    for mapping in mappings(&std::fs::read_to_string("/proc/self/smaps")?) {
        // Pages that were written to are ours alone and would be lost: relocated tables, for instance.
        if mapping.of_file && mapping.anonymous == 0 && matches!(mapping.rights, "r-xp" | "r--p") {
            mapped += mapping.resident;
            forget(mapping.start, mapping.end);
        }
    }
    Ok(mapped)
}

#[allow(unsafe_code)] // a system call that no crate wraps safely
fn forget(start: usize, end: usize) {
    // SAFETY: the pages are private mappings of a file, not writable and never written to: dropping them changes no byte
    // that anybody can read, the next access maps them again. The range is one mapping of this process, as the kernel
    // has just told it; were it unmapped meanwhile, the call would fail and change nothing.
    let result = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    // Nothing is lost but memory if the kernel refuses (locked pages, say).
    let _ = result;
}

struct Mapping<'a> {
    start: usize,
    end: usize,
    rights: &'a str,
    of_file: bool,
    /// Bytes.
    resident: u64,
    /// Bytes that were written to.
    anonymous: u64,
}

/// `/proc/self/smaps`: a head for each mapping, then its fields.
fn mappings(text: &str) -> Vec<Mapping<'_>> {
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(mapping) = head(line) {
            mappings.push(mapping);
        } else if let Some(mapping) = mappings.last_mut() {
            let field = |name: &str| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
            if let Some(size) = field("Rss:") {
                mapping.resident = size * 1024;
            } else if let Some(size) = field("Anonymous:") {
                mapping.anonymous = size * 1024;
            }
        }
    }
    mappings
}

/// `START-END RIGHTS OFFSET DEVICE INODE PATH`
fn head(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end, rights) = (address(start)?, address(end)?, words.next()?);
    let of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some(Mapping { start, end, rights, of_file, resident: 0, anonymous: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_with_what_is_resident_and_written() {
        let text = "55d0-55e0 r-xp 00001000 08:01 77   /usr/bin/a b\nSize: 64 kB\nRss:                  8 kB\nAnonymous:            4 kB\n\
                    7ffd-7fff rw-p 00000000 00:00 0    [stack]\nRss: 12 kB\nVmFlags: rd wr\n";
        let seen: Vec<_> = mappings(text)
            .into_iter()
            .map(|m| (m.start, m.end, m.rights.to_owned(), m.of_file, m.resident, m.anonymous))
            .collect();
        assert_eq!(
            seen,
            [
                (0x55d0, 0x55e0, "r-xp".to_owned(), true, 8192, 4096),
                (0x7ffd, 0x7fff, "rw-p".to_owned(), false, 12288, 0)
            ]
        );
    }

    #[test]
    fn the_program_runs_on_when_its_pages_are_forgotten() {
        let before = forget_program().expect("/proc is there");
        assert!(before > 0);
        let after = forget_program().expect("/proc is there");
        assert!(after < before, "{after} of {before} bytes were needed again");
    }
}

//! gzip and zlib by libdeflate, which wants a whole body and the room for what it becomes, and takes half the time of what
//! works on a stream. This is the one place in the crate with unsafe code.
#![allow(unsafe_code)] // libdeflate is C; its results go into memory that nobody has filled with zeros before

use std::ffi::c_void;
use std::ptr::NonNull;

use libdeflate_sys as ffi;

use crate::idle::Idle;
use crate::{Coding, MAX_FIRST_CAPACITY};

/// What stands around the deflated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// RFC 1952; several members are one body.
    Gzip,
    /// RFC 1950; what comes behind it is nobody's business.
    Zlib,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unexpanded {
    TooLarge,
    Damaged,
}

/// libdeflate's fastest is as small as Go's default for spans, and 4 % larger for text.
pub(crate) const DEFAULT_LEVEL: i32 = 1;

/// What one bit of a body may become is 258 bytes, and two of them say so.
const MOST_EXPANSION: usize = 1032;
/// zlib does not tell what it becomes. What is not needed is given back.
const USUAL_EXPANSION: usize = 16;
/// How much more room a body gets that has shown it.
const GROWTH: usize = 4;
const LEAST_GROWN: usize = 64 << 10;

/// Some 11 KiB each.
static DECOMPRESSORS: Idle<Decompressor> = Idle::new();
/// Some 300 KiB each at level 1, a megabyte at level 9.
static COMPRESSORS: Idle<Compressor> = Idle::new();

struct Decompressor(NonNull<ffi::libdeflate_decompressor>);

struct Compressor {
    pointer: NonNull<ffi::libdeflate_compressor>,
    level: i32,
}

/// What became of one member, or of the one body of zlib.
enum Member {
    /// All of it; so many bytes of the body were it.
    Whole(usize),
    /// There was not room enough; what has been written is worth nothing.
    Larger,
    Damaged,
}

// === impl Wrapper ===

impl Wrapper {
    /// The body inside, of at most `limit` bytes, in place of what is in `out`.
    pub(crate) fn expand_into(self, body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Unexpanded> {
        let mut decompressor = DECOMPRESSORS.take(|_| true).unwrap_or_else(Decompressor::new);
        let expanded = self.expand_with(&mut decompressor, body, limit, out);
        DECOMPRESSORS.keep(decompressor);
        expanded
    }

    fn expand_with(
        self,
        decompressor: &mut Decompressor,
        body: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unexpanded> {
        // No more is written than `limit`; memory that nobody writes to costs nothing.
        let first = self.told(body).min(body.len().saturating_mul(MOST_EXPANSION)).min(limit).min(MAX_FIRST_CAPACITY);
        out.clear();
        out.reserve_exact(first);
        let mut rest = body;
        loop {
            let allowed = limit - out.len();
            match decompressor.member(self, rest, out, allowed) {
                Member::Damaged => return Err(Unexpanded::Damaged),
                Member::Larger if out.capacity() - out.len() >= allowed => return Err(Unexpanded::TooLarge),
                Member::Larger => {
                    let grown = out.capacity().max(LEAST_GROWN).saturating_mul(GROWTH).min(limit);
                    match out.is_empty() {
                        true => *out = Vec::with_capacity(grown),
                        false => out.reserve_exact(grown - out.len()),
                    }
                }
                Member::Whole(read) => {
                    rest = &rest[read..];
                    if self == Wrapper::Zlib || rest.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// What a body says that it becomes, or what such bodies become.
    fn told(self, body: &[u8]) -> usize {
        match self {
            Wrapper::Gzip => Coding::Gzip.told(body).unwrap_or(0),
            Wrapper::Zlib => body.len().saturating_mul(USUAL_EXPANSION),
        }
    }

    /// The body inside the wrapper; libdeflate has levels of 0 to 12.
    pub(crate) fn compress(self, body: &[u8], level: i32) -> Vec<u8> {
        let mut compressor = COMPRESSORS.take(|idle| idle.level == level).unwrap_or_else(|| Compressor::new(level));
        let mut out = Vec::with_capacity(compressor.bound(self, body.len()));
        compressor.compress(self, body, &mut out);
        COMPRESSORS.keep(compressor);
        out.shrink_to_fit();
        out
    }
}

// === impl Decompressor ===

// SAFETY: libdeflate's objects are memory that belongs to no thread; they are used by one at a time, through `&mut`.
unsafe impl Send for Decompressor {}

impl Decompressor {
    fn new() -> Decompressor {
        // SAFETY: takes nothing, gives a pointer or null.
        let pointer = unsafe { ffi::libdeflate_alloc_decompressor() };
        Decompressor(NonNull::new(pointer).expect("there is memory for a decompressor"))
    }

    /// Appends one member, of at most `allowed` bytes and as many as `out` has room for.
    fn member(&mut self, wrapper: Wrapper, body: &[u8], out: &mut Vec<u8>, allowed: usize) -> Member {
        let expand = match wrapper {
            Wrapper::Gzip => ffi::libdeflate_gzip_decompress_ex,
            Wrapper::Zlib => ffi::libdeflate_zlib_decompress_ex,
        };
        let room = out.spare_capacity_mut();
        let (mut read, mut written) = (0, 0);
        // SAFETY: the decompressor is ours alone; as many bytes may be read and written as are told, the room is only written
        // to, and the two counts live longer than the call.
        let result = unsafe {
            expand(
                self.0.as_ptr(),
                body.as_ptr().cast::<c_void>(),
                body.len(),
                room.as_mut_ptr().cast::<c_void>(),
                room.len().min(allowed),
                &raw mut read,
                &raw mut written,
            )
        };
        match result {
            ffi::libdeflate_result_LIBDEFLATE_SUCCESS => {
                assert!(read <= body.len() && written <= room.len(), "libdeflate keeps to its bounds");
                // SAFETY: so many bytes behind the length have been written, and there is room for them.
                unsafe { out.set_len(out.len() + written) };
                Member::Whole(read)
            }
            ffi::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Member::Larger,
            _ => Member::Damaged,
        }
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: made by libdeflate_alloc_decompressor, and nobody has it any more.
        unsafe { ffi::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

// === impl Compressor ===

// SAFETY: as for the decompressor.
unsafe impl Send for Compressor {}

impl Compressor {
    fn new(level: i32) -> Compressor {
        // SAFETY: takes a number, gives a pointer, or null for a number that is no level.
        let pointer = unsafe { ffi::libdeflate_alloc_compressor(level) };
        Compressor { pointer: NonNull::new(pointer).expect("there is memory for a compressor of any level"), level }
    }

    /// What so many bytes become at most.
    fn bound(&mut self, wrapper: Wrapper, length: usize) -> usize {
        let bound = match wrapper {
            Wrapper::Gzip => ffi::libdeflate_gzip_compress_bound,
            Wrapper::Zlib => ffi::libdeflate_zlib_compress_bound,
        };
        // SAFETY: the compressor is ours alone; nothing else is looked at.
        unsafe { bound(self.pointer.as_ptr(), length) }
    }

    /// Appends the compressed body to `out`, which has room for its bound.
    fn compress(&mut self, wrapper: Wrapper, body: &[u8], out: &mut Vec<u8>) {
        let compress = match wrapper {
            Wrapper::Gzip => ffi::libdeflate_gzip_compress,
            Wrapper::Zlib => ffi::libdeflate_zlib_compress,
        };
        let room = out.spare_capacity_mut();
        // SAFETY: the compressor is ours alone; as many bytes may be read and written as are told, and the room is only
        // written to.
        let written = unsafe {
            compress(
                self.pointer.as_ptr(),
                body.as_ptr().cast::<c_void>(),
                body.len(),
                room.as_mut_ptr().cast::<c_void>(),
                room.len(),
            )
        };
        assert!(written > 0 && written <= room.len(), "what has the room of its bound fits");
        // SAFETY: so many bytes behind the length have been written, and there is room for them.
        unsafe { out.set_len(out.len() + written) };
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // SAFETY: made by libdeflate_alloc_compressor, and nobody has it any more.
        unsafe { ffi::libdeflate_free_compressor(self.pointer.as_ptr()) }
    }
}

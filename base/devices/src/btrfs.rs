//! What btrfs tells of the devices of a mounted file system: `BTRFS_IOC_*`, read only.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use libc::Ioctl;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// In hexadecimal digits, without dashes.
    pub id: String,
    /// In the order of their numbers.
    pub devices: Vec<Device>,
}

/// One of its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it was when the file system was mounted.
    pub path: String,
    /// In hexadecimal digits, without dashes.
    pub id: String,
    /// Bytes that are allocated.
    pub used: u64,
    /// Bytes.
    pub size: u64,
    /// Errors of writing, reading and flushing, wrong checksums, and blocks of other generations.
    pub errors: [u64; 5],
}

const MAGIC: u32 = 0x94;
const READ: u32 = 2;
const READ_AND_WRITE: u32 = 3;

/// The kernel's structs are this long, filled up for what may come.
const FS_INFO: usize = 1024;
const DEVICE_INFO: usize = 4096;
const DEVICE_STATS: usize = 1032;

/// Where the path begins in what is told of a device.
const PATH_AT: usize = 3072;

/// More devices than this has nobody.
const MAX_DEVICES: u64 = 1024;

impl FileSystem {
    /// Asks the file system that is mounted here.
    ///
    /// # Errors
    /// The path is none of btrfs, or we may not ask.
    pub fn at(mount_point: &Path) -> io::Result<FileSystem> {
        let folder = File::open(mount_point)?;
        let mut info = [0; FS_INFO];
        ask(&folder, READ, 31, &mut info)?;
        let (highest, count) = (word(&info, 0), word(&info, 8));
        let mut devices = Vec::new();
        for number in 0..=highest.min(MAX_DEVICES) {
            if devices.len() as u64 == count {
                break;
            }
            match Device::read(&folder, number) {
                Ok(device) => devices.push(device),
                // Numbers have gaps.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FileSystem { id: digits(&info[16..32]), devices })
    }
}

impl Device {
    fn read(folder: &File, number: u64) -> io::Result<Device> {
        let mut info = [0; DEVICE_INFO];
        info[..8].copy_from_slice(&number.to_ne_bytes());
        ask(folder, READ_AND_WRITE, 30, &mut info)?;
        let mut stats = [0; DEVICE_STATS];
        stats[..8].copy_from_slice(&number.to_ne_bytes());
        // How many numbers there is room for.
        stats[8..16].copy_from_slice(&5_u64.to_ne_bytes());
        ask(folder, READ_AND_WRITE, 52, &mut stats)?;
        let path = info[PATH_AT..].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Device {
            path: String::from_utf8_lossy(path).into_owned(),
            id: digits(&info[8..24]),
            used: word(&info, 24),
            size: word(&info, 32),
            errors: std::array::from_fn(|at| word(&stats, 24 + 8 * at)),
        })
    }
}

#[allow(unsafe_code)] // a system call that no crate wraps
fn ask<const N: usize>(file: &File, direction: u32, number: u32, buffer: &mut [u8; N]) -> io::Result<()> {
    let request = direction << 30 | (N as u32) << 16 | MAGIC << 8 | number;
    // SAFETY: the size of the buffer is part of the request, so the kernel reads and writes no more than there is; it
    // keeps no pointer. The descriptor is open as long as the file is borrowed.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as Ioctl, buffer.as_mut_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|offset| bytes[at + offset]))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_btrfs_says_so() {
        let error = FileSystem::at(Path::new("/proc")).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::EOPNOTSUPP)), "{error}");
    }

    #[test]
    fn numbers_stand_where_the_kernel_puts_them() {
        let mut bytes = [0; 16];
        bytes[8] = 1;
        assert_eq!(word(&bytes, 8).to_ne_bytes()[0], 1);
        assert_eq!(digits(&[0x0a, 0xff]), "0aff");
    }
}

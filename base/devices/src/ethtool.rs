//! What drivers tell of their network devices: `SIOCETHTOOL`, read only.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Asks drivers. Holds a socket, as the kernel wants one for the question.
#[derive(Debug)]
pub struct Ethtool(UdpSocket);

/// Who drives a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// `virtio_net`
    pub name: String,
    /// Of the driver.
    pub version: String,
    /// Of what runs on the device.
    pub firmware: String,
    /// Of what the device brings for the host to run.
    pub expansion_rom: String,
    /// `0000:00:04.0`
    pub bus: String,
}

/// What a device's port can do. Bits are those of `ethtool_link_mode_bit_indices`, the first 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// What it can.
    pub supported: u32,
    /// What it offers to the other end.
    pub advertised: u32,
    /// Whether it agrees with the other end on the speed.
    pub negotiates: bool,
}

const SETTINGS: u32 = 0x1;
const DRIVER: u32 = 0x3;
const STRINGS: u32 = 0x1b;
const STATISTICS: u32 = 0x1d;

/// Names of statistics.
const STATISTICS_NAMES: u32 = 1;
const NAME: usize = 32;

/// More statistics than this has no device.
const MOST_STATISTICS: usize = 1 << 16;

impl Ethtool {
    /// Ready to ask.
    ///
    /// # Errors
    /// There are no sockets left.
    pub fn new() -> io::Result<Ethtool> {
        Ok(Ethtool(UdpSocket::bind("127.0.0.1:0")?))
    }

    /// Who drives a device.
    ///
    /// # Errors
    /// There is no such device, or its driver does not tell.
    pub fn driver(&self, device: &str) -> io::Result<Driver> {
        let answer = self.driver_info(device)?;
        let text = |from: usize, to: usize| text(&answer[from..to]);
        Ok(Driver {
            name: text(4, 36),
            version: text(36, 68),
            firmware: text(68, 100),
            bus: text(100, 132),
            expansion_rom: text(132, 164),
        })
    }

    /// What a device's port can do.
    ///
    /// # Errors
    /// There is no such device, or its driver does not tell.
    pub fn link(&self, device: &str) -> io::Result<Link> {
        let answer = self.ask(device, SETTINGS, &[], 44)?;
        Ok(Link { supported: word(&answer, 4), advertised: word(&answer, 8), negotiates: answer[18] != 0 })
    }

    /// What a device counts, in the driver's order and words.
    ///
    /// # Errors
    /// There is no such device, or its driver does not tell.
    pub fn statistics(&self, device: &str) -> io::Result<Vec<(String, u64)>> {
        let count = word(&self.driver_info(device)?, 180);
        if count == 0 {
            return Ok(Vec::new());
        }
        if count as usize > MOST_STATISTICS {
            return Err(io::Error::other(format!("{count} statistics are too many")));
        }
        let length = count as usize;
        let names = self.ask(device, STRINGS, &[STATISTICS_NAMES, count], 12 + length * NAME)?;
        let values = self.ask(device, STATISTICS, &[count], 8 + length * 8)?;
        // A device that has become another in between must not be read with the names of the one before.
        let length = length.min(word(&names, 8) as usize).min(word(&values, 4) as usize);
        let value = |at: usize| u64::from_ne_bytes(std::array::from_fn(|offset| values[8 + at * 8 + offset]));
        Ok((0..length).map(|at| (text(&names[12 + at * NAME..12 + (at + 1) * NAME]), value(at))).collect())
    }

    fn driver_info(&self, device: &str) -> io::Result<Vec<u8>> {
        self.ask(device, DRIVER, &[], 196)
    }

    /// `length` is that of the answer, which the kernel writes over the question.
    #[allow(unsafe_code)] // a system call that no crate wraps
    fn ask(&self, device: &str, command: u32, arguments: &[u32], length: usize) -> io::Result<Vec<u8>> {
        if device.len() >= libc::IFNAMSIZ {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut room = vec![0_u8; length];
        for (at, argument) in [command].iter().chain(arguments).enumerate() {
            room[at * 4..at * 4 + 4].copy_from_slice(&argument.to_ne_bytes());
        }
        // SAFETY: ifreq is a struct of integers and pointers, for which all zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_data = room.as_mut_ptr().cast();
        // SAFETY: the name ends with a zero, as it is shorter than its room; the data are a vector of ours that is as long
        // as the struct of the command, with as many entries behind it as the command's arguments say; both outlive the
        // call, which keeps neither.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(room) }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|offset| bytes[at + offset]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_neither_statistics_nor_a_port() {
        let ethtool = Ethtool::new().unwrap();
        let error = ethtool.link("lo").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        assert_eq!(ethtool.driver("no-such-dev").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(ethtool.driver("a name that is far too long").is_err());
    }
}

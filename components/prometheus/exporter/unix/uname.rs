//! The answer of `uname(2)`.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Scratch};

pub(crate) struct Uname;

impl Collector for Uname {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let uname = nix::sys::utsname::uname().map_err(|error| Failure::Failed(format!("uname: {error}")))?;
        let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
        page.family("node_uname_info", "Labeled system information as provided by the uname system call.", Kind::Gauge)
            .sample(
                &[
                    ("domainname", &text(uname.domainname())),
                    ("machine", &text(uname.machine())),
                    ("nodename", &text(uname.nodename())),
                    ("release", &text(uname.release())),
                    ("sysname", &text(uname.sysname())),
                    ("version", &text(uname.version())),
                ],
                1.0,
            );
        Ok(())
    }
}

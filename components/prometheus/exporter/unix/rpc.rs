//! `/proc/net/rpc/*`: lines of a name and numbers, as the kernel's NFS client and server write them.

use std::path::Path;

use super::collector::Failure;

/// The lines of such a file, read.
pub(crate) struct Lines<'a> {
    path: &'a Path,
    lines: Vec<(&'a str, Vec<u64>)>,
}

/// Names of procedures with their places in a line whose first number says how many follow.
pub(crate) type Procedures = &'static [(usize, &'static str)];

/// Those of version 2 without the first, which does nothing.
pub(crate) const VERSION_2: Procedures = &[
    (2, "GetAttr"),
    (3, "SetAttr"),
    (4, "Root"),
    (5, "Lookup"),
    (6, "ReadLink"),
    (7, "Read"),
    (8, "WrCache"),
    (9, "Write"),
    (10, "Create"),
    (11, "Remove"),
    (12, "Rename"),
    (13, "Link"),
    (14, "SymLink"),
    (15, "MkDir"),
    (16, "RmDir"),
    (17, "ReadDir"),
    (18, "FsStat"),
];

/// Those of version 3 without the first.
pub(crate) const VERSION_3: Procedures = &[
    (2, "GetAttr"),
    (3, "SetAttr"),
    (4, "Lookup"),
    (5, "Access"),
    (6, "ReadLink"),
    (7, "Read"),
    (8, "Write"),
    (9, "Create"),
    (10, "MkDir"),
    (11, "SymLink"),
    (12, "MkNod"),
    (13, "Remove"),
    (14, "RmDir"),
    (15, "Rename"),
    (16, "Link"),
    (17, "ReadDir"),
    (18, "ReadDirPlus"),
    (19, "FsStat"),
    (20, "FsInfo"),
    (21, "PathConf"),
    (22, "Commit"),
];

impl<'a> Lines<'a> {
    /// Only these names may stand there. Of a line of `th`, what follows the second number is a histogram of old kernels.
    pub fn parse(text: &'a str, path: &'a Path, known: &[&str]) -> Result<Lines<'a>, Failure> {
        let mut lines = Vec::new();
        for line in text.lines() {
            let malformed = || Failure::malformed(path, line);
            let (name, numbers) =
                line.split_once(' ').filter(|(name, _)| known.contains(name)).ok_or_else(malformed)?;
            let most = if name == "th" { 2 } else { usize::MAX };
            let numbers = numbers.split_whitespace().take(most).map(str::parse).collect::<Result<Vec<u64>, _>>();
            lines.push((name, numbers.ok().filter(|numbers| !numbers.is_empty()).ok_or_else(malformed)?));
        }
        Ok(Lines { path, lines })
    }

    /// The numbers of a line that has exactly `N` of them. A line that is not there is all zeros.
    pub fn exactly<const N: usize>(&self, name: &str) -> Result<[u64; N], Failure> {
        let Some(numbers) = self.find(name) else { return Ok([0; N]) };
        numbers.try_into().map_err(|_| Failure::malformed(self.path, name))
    }

    /// The numbers of a line of procedures: first how many follow, then those, `least` or more.
    pub fn counted(&self, name: &str, least: usize) -> Result<&[u64], Failure> {
        let Some(numbers) = self.find(name) else { return Ok(&[]) };
        let follow = numbers.len() - 1;
        if numbers[0] != follow as u64 || follow < least {
            return Err(Failure::malformed(self.path, name));
        }
        Ok(numbers)
    }

    fn find(&self, name: &str) -> Option<&[u64]> {
        self.lines.iter().rev().find(|(other, _)| *other == name).map(|(_, numbers)| numbers.as_slice())
    }
}

/// What stands at these places; nothing is zero.
pub(crate) fn values(numbers: &[u64], procedures: Procedures) -> impl Iterator<Item = (&'static str, f64)> {
    procedures.iter().map(|(at, name)| (*name, numbers.get(*at).copied().unwrap_or_default() as f64))
}

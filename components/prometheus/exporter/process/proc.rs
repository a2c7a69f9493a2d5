//! What `/proc` tells of a process.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

/// A command line may have megabytes; no matcher reads more than this.
const MAX_TEXT: u64 = 64 << 10;

/// Ticks of the kernel's clocks in a second, towards programs always.
const TICKS: u64 = 100;

/// The host's procfs.
pub(super) struct Proc {
    folder: PathBuf,
    smaps: bool,
    page_size: u64,
    /// When the host began, in seconds since 1970.
    booted: u64,
}

/// A process or a thread; numbers come again, with another start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub number: u32,
    /// In ticks since the host began.
    pub start: u64,
}

/// What does not change.
#[derive(Debug)]
pub(super) struct Static {
    pub comm: String,
    pub cmdline: Vec<String>,
    pub cgroups: Vec<String>,
    pub parent: u32,
    /// Whose rights it has.
    pub user: u32,
    /// In milliseconds since 1970.
    pub started: u64,
}

/// What only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// In ticks.
    pub user: u64,
    /// In ticks.
    pub system: u64,
    pub read: u64,
    pub written: u64,
    pub major_faults: u64,
    pub minor_faults: u64,
    pub voluntary: u64,
    pub involuntary: u64,
}

/// How many processes or threads do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct States {
    pub running: u64,
    pub sleeping: u64,
    pub waiting: u64,
    pub zombie: u64,
    pub other: u64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub resident: u64,
    pub virtual_size: u64,
    pub swapped: u64,
    pub proportional: u64,
    pub proportional_swapped: u64,
}

/// All that changes.
#[derive(Debug)]
pub(super) struct Usage {
    pub counts: Counts,
    pub states: States,
    pub memory: Memory,
    /// Not known of processes that must not be looked at.
    pub open_files: Option<u64>,
    pub max_files: u64,
    pub threads_count: u64,
    /// What it waits for in the kernel.
    pub wchan: String,
    /// If there are two at least.
    pub threads: Vec<Thread>,
    /// Whether something could not be read.
    pub partial: bool,
}

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub id: Id,
    pub name: String,
    pub counts: Counts,
    pub wchan: String,
}

/// One line of `stat`.
#[derive(Debug)]
pub(super) struct Stat {
    pub comm: String,
    state: u8,
    pub parent: u32,
    minor_faults: u64,
    major_faults: u64,
    user: u64,
    system: u64,
    threads: u64,
    pub start: u64,
    virtual_size: u64,
    resident_pages: u64,
}

/// Lines of `status`.
#[derive(Debug, Default)]
struct Status {
    user: u32,
    swapped: u64,
    voluntary: u64,
    involuntary: u64,
}

// === impl Proc ===

impl Proc {
    pub(super) fn new(folder: PathBuf, smaps: bool) -> io::Result<Proc> {
        let stat = text(&folder.join("stat"))?;
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let booted = booted.ok_or_else(|| malformed("stat has no btime"))?;
        let page_size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok());
        Ok(Proc { folder, smaps, page_size: page_size.unwrap_or(4096), booted })
    }

    /// Whether shares of memory are read.
    pub(super) fn has_smaps(&self) -> bool {
        self.smaps
    }

    /// The numbers of all processes.
    pub(super) fn list(&self) -> io::Result<Vec<u32>> {
        numbers(&self.folder)
    }

    pub(super) fn stat(&self, number: u32) -> io::Result<Stat> {
        Stat::read(&self.of(number))
    }

    pub(super) fn look(&self, number: u32, stat: &Stat) -> io::Result<Static> {
        let folder = self.of(number);
        let line = text(&folder.join("cmdline"))?;
        let line = line.trim_end_matches('\0');
        let cmdline = if line.is_empty() { Vec::new() } else { line.split('\0').map(str::to_owned).collect() };
        let cgroups = text(&folder.join("cgroup")).unwrap_or_default();
        let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
        Ok(Static {
            comm: stat.comm.clone(),
            cmdline,
            cgroups: cgroups.lines().filter_map(path).collect(),
            parent: stat.parent,
            user: Status::read(&folder)?.user,
            started: self.booted * 1000 + stat.start * 1000 / TICKS,
        })
    }

    pub(super) fn usage(&self, number: u32, stat: &Stat) -> io::Result<Usage> {
        let folder = self.of(number);
        let status = Status::read(&folder)?;
        let (mut counts, whole) = stat.counts(&folder, &status);
        let open_files = std::fs::read_dir(folder.join("fd")).map(|files| files.count() as u64).ok();
        let max_files =
            max_files(&text(&folder.join("limits"))?).ok_or_else(|| malformed("limits has no open files"))?;
        let wchan = wchan(&folder);
        let smaps = self.smaps.then(|| text(&folder.join("smaps_rollup")));
        let threads = threads(&folder);
        let partial =
            !whole || open_files.is_none() || wchan.is_err() || matches!(smaps, Some(Err(_))) || threads.is_err();
        let share = |name| smaps.as_ref().and_then(|text| kilobytes(text.as_ref().ok()?, name)).unwrap_or_default();
        let mut states = States::default();
        states.count(stat.state);
        let mut seen = Vec::new();
        if let Ok(threads) = threads
            && threads.len() > 1
        {
            // Those of the first thread stand in the process's own files.
            (counts.voluntary, counts.involuntary) = (0, 0);
            for (thread, state) in threads {
                counts.voluntary += thread.counts.voluntary;
                counts.involuntary += thread.counts.involuntary;
                states.count(state);
                seen.push(thread);
            }
        }
        Ok(Usage {
            counts,
            states,
            memory: Memory {
                resident: stat.resident_pages * self.page_size,
                virtual_size: stat.virtual_size,
                swapped: status.swapped,
                proportional: share("Pss:"),
                proportional_swapped: share("SwapPss:"),
            },
            open_files,
            max_files,
            threads_count: stat.threads,
            wchan: wchan.unwrap_or_default(),
            threads: seen,
            partial,
        })
    }

    fn of(&self, number: u32) -> PathBuf {
        self.folder.join(number.to_string())
    }
}

/// What the threads use and in which state each is.
fn threads(folder: &Path) -> io::Result<Vec<(Thread, u8)>> {
    let task = folder.join("task");
    let mut threads = Vec::new();
    for number in numbers(&task)? {
        let folder = task.join(number.to_string());
        // One that has ended meanwhile is none.
        let (Ok(stat), Ok(status)) = (Stat::read(&folder), Status::read(&folder)) else { continue };
        let (counts, _) = stat.counts(&folder, &status);
        let id = Id { number, start: stat.start };
        let wchan = wchan(&folder).unwrap_or_default();
        threads.push((Thread { id, name: stat.comm, counts, wchan }, stat.state));
    }
    Ok(threads)
}

fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn wchan(folder: &Path) -> io::Result<String> {
    let text = text(&folder.join("wchan"))?;
    Ok(if text == "0" { String::new() } else { text })
}

fn max_files(limits: &str) -> Option<u64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next())?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// `Pss:   12 kB` → 12288
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())?;
    number.parse::<u64>().ok()?.checked_mul(1024)
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

// === impl Static ===

impl Static {
    /// As Go shows a time.
    pub(super) fn start_text(&self) -> String {
        let time =
            jiff::Timestamp::from_millisecond(i64::try_from(self.started).unwrap_or(i64::MAX)).unwrap_or_default();
        let fraction = format!("{:03}", self.started % 1000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{point}{fraction} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

// === impl Stat ===

impl Stat {
    fn read(folder: &Path) -> io::Result<Stat> {
        Stat::parse(&text(&folder.join("stat"))?).ok_or_else(|| malformed("stat is cut"))
    }

    /// See proc_pid_stat(5). The name of the command may hold anything, brackets too.
    fn parse(text: &str) -> Option<Stat> {
        let (head, tail) = (text.split_once('(')?.1, text.rsplit_once(')')?.1);
        let comm = head.get(..head.rfind(')')?)?.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        // Fields are counted from 1 there, and the state is the third.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            comm,
            state: *fields.first()?.as_bytes().first()?,
            parent: u32::try_from(number(4)?).ok()?,
            minor_faults: number(10)?,
            major_faults: number(12)?,
            user: number(14)?,
            system: number(15)?,
            threads: number(20)?,
            start: number(22)?,
            virtual_size: number(23)?,
            resident_pages: number(24)?,
        })
    }

    /// With what other files of the same process or thread tell, and whether all of them could be read.
    fn counts(&self, folder: &Path, status: &Status) -> (Counts, bool) {
        let io = text(&folder.join("io"));
        let bytes = |name| {
            let text = io.as_ref().ok()?;
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let counts = Counts {
            user: self.user,
            system: self.system,
            read: bytes("read_bytes:").unwrap_or_default(),
            written: bytes("write_bytes:").unwrap_or_default(),
            major_faults: self.major_faults,
            minor_faults: self.minor_faults,
            voluntary: status.voluntary,
            involuntary: status.involuntary,
        };
        (counts, io.is_ok())
    }
}

// === impl Status ===

impl Status {
    fn read(folder: &Path) -> io::Result<Status> {
        let text = text(&folder.join("status"))?;
        let mut status = Status::default();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once(':') else { continue };
            let mut words = rest.split_whitespace();
            match name {
                // Real, effective, saved, and that of the file system.
                "Uid" => status.user = words.nth(1).and_then(|user| user.parse().ok()).unwrap_or_default(),
                "VmSwap" => status.swapped = kilobytes(line, "VmSwap:").unwrap_or_default(),
                "voluntary_ctxt_switches" => status.voluntary = number(words.next()),
                "nonvoluntary_ctxt_switches" => status.involuntary = number(words.next()),
                _ => {}
            }
        }
        Ok(status)
    }
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

// === impl Counts ===

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.each(other, |own, other| own + other);
    }

    /// What was used since `before`. Threads that end take what they used with them; that is nothing, not less.
    pub(super) fn since(mut self, before: &Counts) -> Counts {
        self.each(before, u64::saturating_sub);
        self
    }

    /// In seconds.
    pub(super) fn seconds(ticks: u64) -> f64 {
        ticks as f64 / TICKS as f64
    }

    fn each(&mut self, other: &Counts, with: fn(u64, u64) -> u64) {
        for (own, other) in [
            (&mut self.user, other.user),
            (&mut self.system, other.system),
            (&mut self.read, other.read),
            (&mut self.written, other.written),
            (&mut self.major_faults, other.major_faults),
            (&mut self.minor_faults, other.minor_faults),
            (&mut self.voluntary, other.voluntary),
            (&mut self.involuntary, other.involuntary),
        ] {
            *own = with(*own, other);
        }
    }
}

// === impl States ===

impl States {
    fn count(&mut self, state: u8) {
        match state {
            b'R' => self.running += 1,
            b'S' => self.sleeping += 1,
            b'D' => self.waiting += 1,
            b'Z' => self.zombie += 1,
            _ => self.other += 1,
        }
    }

    pub(super) fn add(&mut self, other: &States) {
        self.running += other.running;
        self.sleeping += other.sleeping;
        self.waiting += other.waiting;
        self.zombie += other.zombie;
        self.other += other.other;
    }
}

//! Which kinds of metrics are shown, under the words that cAdvisor has for them.

/// A kind of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AdvancedTcp,
    App,
    Cpu,
    CpuLoad,
    CpuTopology,
    CpuSet,
    Disk,
    DiskIo,
    HugePages,
    Memory,
    MemoryNuma,
    Network,
    OutOfMemory,
    PerCpu,
    PerfEvent,
    Pressure,
    Process,
    ReferencedMemory,
    Resctrl,
    Sched,
    Tcp,
    Udp,
}

const NAMES: [(&str, Kind); 22] = [
    ("advtcp", Kind::AdvancedTcp),
    ("app", Kind::App),
    ("cpu", Kind::Cpu),
    ("cpuLoad", Kind::CpuLoad),
    ("cpu_topology", Kind::CpuTopology),
    ("cpuset", Kind::CpuSet),
    ("disk", Kind::Disk),
    ("diskIO", Kind::DiskIo),
    ("hugetlb", Kind::HugePages),
    ("memory", Kind::Memory),
    ("memory_numa", Kind::MemoryNuma),
    ("network", Kind::Network),
    ("oom_event", Kind::OutOfMemory),
    ("percpu", Kind::PerCpu),
    ("perf_event", Kind::PerfEvent),
    ("pressure", Kind::Pressure),
    ("process", Kind::Process),
    ("referenced_memory", Kind::ReferencedMemory),
    ("resctrl", Kind::Resctrl),
    ("sched", Kind::Sched),
    ("tcp", Kind::Tcp),
    ("udp", Kind::Udp),
];

/// What is left out unless somebody asks for it: what is dear to read.
const DISABLED: [Kind; 11] = [
    Kind::MemoryNuma,
    Kind::Tcp,
    Kind::Udp,
    Kind::AdvancedTcp,
    Kind::Sched,
    Kind::Process,
    Kind::HugePages,
    Kind::ReferencedMemory,
    Kind::CpuTopology,
    Kind::Resctrl,
    Kind::CpuSet,
];

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u32);

impl Kinds {
    /// What is shown: `enabled` if there is any, or all but `disabled`, which takes the place of the usual omissions.
    pub fn chosen(disabled: Option<&[String]>, enabled: Option<&[String]>) -> Result<Kinds, Unknown> {
        let omitted = match disabled {
            Some(names) => Kinds::named("disabled_metrics", names)?,
            None => DISABLED.into_iter().collect(),
        };
        let wanted = Kinds::named("enabled_metrics", enabled.unwrap_or_default())?;
        Ok(if wanted.0 == 0 { Kinds(!omitted.0) } else { wanted })
    }

    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// Names, each of which may be several with commas between them.
    fn named(argument: &'static str, names: &[String]) -> Result<Kinds, Unknown> {
        let joined = names.join(",");
        let words = joined.split(',').filter(|_| !joined.is_empty());
        words
            .map(|word| {
                let known = NAMES.iter().find(|(name, _)| *name == word);
                known.map(|(_, kind)| *kind).ok_or_else(|| Unknown { argument, word: word.to_owned() })
            })
            .collect()
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Kinds {
        Kinds(kinds.into_iter().fold(0, |all, kind| all | 1 << kind as u32))
    }
}

/// A word that is no kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub argument: &'static str,
    pub word: String,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        write!(f, "unsupported metric {:?} specified; there are {}", self.word, known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_disabled_takes_the_place_of_the_usual_omissions() {
        let usual = Kinds::chosen(None, None).expect("nothing is named");
        assert!(usual.has(Kind::Cpu) && usual.has(Kind::Disk) && !usual.has(Kind::Sched));
        let disabled = Kinds::chosen(Some(&names(&["disk", "cpu,memory"])), None).expect("known names");
        assert!(!disabled.has(Kind::Disk) && !disabled.has(Kind::Memory) && disabled.has(Kind::Sched));
        let none = Kinds::chosen(Some(&[]), None).expect("nothing is named");
        assert!(NAMES.iter().all(|(_, kind)| none.has(*kind)));
    }

    #[test]
    fn what_is_enabled_is_all_there_is() {
        let kinds = Kinds::chosen(Some(&names(&["cpu"])), Some(&names(&["cpu", "sched"]))).expect("known names");
        assert!(kinds.has(Kind::Cpu) && kinds.has(Kind::Sched) && !kinds.has(Kind::Memory));
        assert_eq!(Kinds::chosen(None, Some(&[])), Kinds::chosen(None, None));
    }

    #[test]
    fn words_that_are_no_kind_are_refused() {
        let error = Kinds::chosen(None, Some(&names(&["cpuload"]))).expect_err("it is spelt cpuLoad");
        assert_eq!(error, Unknown { argument: "enabled_metrics", word: "cpuload".into() });
        assert!(Kinds::chosen(Some(&names(&["cpu", ""])), None).is_err());
    }
}

//! The `include` and `exclude` blocks.

use base_re2::Regex;
use language_eval::Block;

/// Which metrics.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Match {
    /// Their names.
    #[attr(optional)]
    pub metrics: Vec<String>,
    /// How names are compared: `strict`, as a whole, or `regexp`, as patterns found anywhere.
    #[attr(optional)]
    pub match_type: String,
    /// Their types: `sum`, `histogram`.
    #[attr(optional)]
    pub metric_types: Vec<String>,
}

/// A block, ready to be asked.
pub(super) struct Filter {
    names: Option<Names>,
    kinds: Vec<String>,
}

enum Names {
    Strict(Vec<String>),
    Patterns(Vec<Regex>),
}

// === impl Match ===

impl Match {
    /// What contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        let message = match (self.metrics.is_empty(), &self.match_type[..]) {
            (false, "") => "match_type must be set if metrics are supplied",
            (true, kind) if !kind.is_empty() => "metrics must be supplied if match_type is set",
            (_, "" | "strict" | "regexp") => match self.metric_types.iter().all(|t| t == "sum" || t == "histogram") {
                true => return Ok(()),
                false => "metric_types must be one of \"sum\" and \"histogram\"",
            },
            _ => "match_type must be one of \"strict\" and \"regexp\"",
        };
        Err(message.to_owned())
    }
}

// === impl Filter ===

impl Filter {
    pub(super) fn new(given: &Match) -> Result<Filter, String> {
        let pattern = |text: &String| Regex::new(text).map_err(|error| format!("metrics: {error}"));
        let names = match &given.match_type[..] {
            "strict" => Some(Names::Strict(given.metrics.clone())),
            "regexp" => Some(Names::Patterns(given.metrics.iter().map(pattern).collect::<Result<_, _>>()?)),
            _ => None,
        };
        Ok(Filter { names, kinds: given.metric_types.clone() })
    }

    /// Whether nothing that is said speaks against it.
    pub(super) fn includes(&self, name: &[u8], kind: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contain(name)) && (self.kinds.is_empty() || self.has(kind))
    }

    /// Whether anything that is said speaks for it.
    pub(super) fn excludes(&self, name: &[u8], kind: &str) -> bool {
        self.names.as_ref().is_some_and(|names| names.contain(name)) || self.has(kind)
    }

    fn has(&self, kind: &str) -> bool {
        self.kinds.iter().any(|other| other == kind)
    }
}

impl Names {
    fn contain(&self, name: &[u8]) -> bool {
        match self {
            Names::Strict(names) => names.iter().any(|other| other.as_bytes() == name),
            Names::Patterns(patterns) => patterns.iter().any(|pattern| pattern.is_match(name)),
        }
    }
}

//! Which files are read: patterns, age, and the first ones in an order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base_re2::{Regex, Slots};
use base_sys::clock;
use base_sys::glob::Glob;
use sdk_ottl::text::strptime::Reader;

use super::arguments::{Arguments, OrderingCriteria, SortBy};

/// Which files are read.
pub(super) struct Finding {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    /// In nanoseconds; 0 any age.
    max_age: i64,
    order: Option<Order>,
}

/// The first files in an order.
struct Order {
    regex: Option<Regex>,
    sorts: Vec<Sort>,
    group: Option<Regex>,
    count: usize,
}

struct Sort {
    by: By,
    ascending: bool,
}

enum By {
    Number(String),
    Text(String),
    Time(String, Reader),
    Changed,
}

/// What is compared: of files that cannot be compared nothing is read.
#[derive(PartialEq, PartialOrd)]
enum Key {
    Number(i64),
    Text(String),
}

/// The argument, and what is wrong with it.
type Fault = (&'static str, String);

impl Finding {
    pub(super) fn new(arguments: &Arguments) -> Result<Finding, Fault> {
        if arguments.include.is_empty() {
            return Err(("include", "include must name at least one pattern".to_owned()));
        }
        let globs = |field: &'static str, patterns: &[String]| -> Result<Vec<Glob>, Fault> {
            patterns.iter().map(|pattern| Glob::new(pattern).map_err(|error| (field, error.to_string()))).collect()
        };
        let order = arguments.ordering_criteria.as_ref().map(Order::new).transpose();
        Ok(Finding {
            include: globs("include", &arguments.include)?,
            exclude: globs("exclude", &arguments.exclude)?,
            max_age: arguments.exclude_older_than.as_nanos(),
            order: order.map_err(|what| ("ordering_criteria", what))?,
        })
    }

    /// The files that are there now, in the order of their names or the one that is asked for. Blocks.
    pub(super) fn find(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self.include.iter().flat_map(Glob::find).collect();
        found.sort();
        found.dedup();
        let oldest = clock::now_ns().saturating_sub(self.max_age);
        found.retain(|path| {
            let excluded = self.exclude.iter().any(|glob| glob.matches(path));
            !excluded
                && path.metadata().is_ok_and(|metadata| {
                    let young = || metadata.modified().is_ok_and(|at| clock::to_ns(at) >= oldest);
                    !metadata.is_dir() && (self.max_age == 0 || young())
                })
        });
        match &self.order {
            Some(order) => order.first(found),
            None => found,
        }
    }
}

impl Order {
    fn new(criteria: &OrderingCriteria) -> Result<Order, String> {
        let compile = |text: &str| match text {
            "" => Ok(None),
            text => Regex::new(text).map(Some).map_err(|error| error.to_string()),
        };
        let sorts = criteria.sort_by.iter().map(Sort::new).collect::<Result<Vec<_>, _>>()?;
        let regex = compile(&criteria.regex)?;
        if regex.is_none() && sorts.iter().any(|sort| !matches!(sort.by, By::Changed)) {
            return Err("regex must be set when sort_by compares a part of the path".to_owned());
        }
        let count = usize::try_from(criteria.top_n).map_err(|_| "top_n must not be negative".to_owned())?;
        Ok(Order { regex, sorts, group: compile(&criteria.group_by)?, count: count.max(1) })
    }

    fn first(&self, found: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in found {
            let name = path.to_string_lossy();
            let group = match &self.group {
                None => Some(String::new()),
                Some(group) => {
                    let mut slots = Slots::default();
                    group.captures(&*name, &mut slots);
                    slots.get(1).map(|place| name[place].to_owned())
                }
            };
            if let Some(group) = group {
                groups.entry(group).or_default().push(path);
            }
        }
        groups.into_values().flat_map(|group| self.first_of(group)).collect()
    }

    fn first_of(&self, mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
        for sort in &self.sorts {
            let keyed = paths.into_iter().filter_map(|path| Some((sort.key(self.regex.as_ref(), &path)?, path)));
            let mut keyed: Vec<(Key, PathBuf)> = keyed.collect();
            keyed.sort_by(|(a, _), (b, _)| {
                let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
                if sort.ascending { order } else { order.reverse() }
            });
            paths = keyed.into_iter().map(|(_, path)| path).collect();
        }
        paths.truncate(self.count);
        paths
    }
}

impl Sort {
    fn new(sort: &SortBy) -> Result<Sort, String> {
        let key = || match sort.regex_key.as_str() {
            "" => Err(format!("regex_key must be set to sort by {}", sort.sort_type)),
            key => Ok(key.to_owned()),
        };
        let by = match sort.sort_type.as_str() {
            "numeric" => By::Number(key()?),
            "lexicographic" => By::Text(key()?),
            "timestamp" => {
                let location = if sort.location.is_empty() { "UTC" } else { &sort.location };
                By::Time(key()?, Reader::new(&sort.layout, Some(location))?)
            }
            "mtime" => By::Changed,
            other => {
                return Err(format!(
                    "sort_type {other:?} is none of \"numeric\", \"lexicographic\", \"timestamp\" and \"mtime\""
                ));
            }
        };
        Ok(Sort { by, ascending: sort.ascending })
    }

    fn key(&self, regex: Option<&Regex>, path: &Path) -> Option<Key> {
        let name = path.to_string_lossy();
        let part = |key: &str| {
            let regex = regex?;
            let mut slots = Slots::default();
            regex.captures(&*name, &mut slots);
            let group = regex.group_names().position(|name| name == Some(key))?;
            slots.get(group).map(|place| name[place].to_owned())
        };
        Some(match &self.by {
            By::Number(key) => Key::Number(part(key)?.parse().ok()?),
            By::Text(key) => Key::Text(part(key)?),
            By::Time(key, reader) => Key::Number(reader.nanoseconds(&part(key)?).ok()?),
            By::Changed => Key::Number(clock::to_ns(path.metadata().ok()?.modified().ok()?)),
        })
    }
}

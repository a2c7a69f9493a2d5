//! Rules from a file of gitleaks (TOML).

use std::collections::HashMap;
use std::path::Path;

use base_re2::Regex;
use base_sys::fs;
use serde::Deserialize;

use super::defaults;
use super::rule::{Allowlist, Detector, Rule, Target};

const MAX_FILE: usize = 16 << 20;
/// Files that extend files that extend files: gitleaks stops here too.
const MAX_DEPTH: usize = 2;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    extend: Extend,
    #[serde(default)]
    rules: Vec<FileRule>,
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Extend {
    #[serde(default)]
    path: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    use_default: bool,
    #[serde(default)]
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRule {
    #[serde(default)]
    id: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    regex: String,
    #[serde(default)]
    secret_group: usize,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    keywords: Vec<String>,
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
    #[serde(default)]
    required: Vec<toml_value::Ignored>,
    #[serde(default)]
    skip_report: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAllowlist {
    #[serde(default)]
    target_rules: Vec<String>,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regex_target: String,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default, alias = "stopWords")]
    stopwords: Vec<String>,
}

/// A value that is there and not read.
mod toml_value {
    #[derive(serde::Deserialize)]
    pub struct Ignored {}
}

/// What a file comes to.
#[derive(Default)]
struct Known {
    rules: Vec<Rule>,
    allowed: Vec<Allowlist>,
}

/// The rules that hold without a file.
pub fn default_detector() -> Result<Detector, String> {
    Detector::new(defaults::rules(), defaults::allowed())
}

/// The rules of a file. Err: a sentence that names it.
pub fn detector_of(path: &Path) -> Result<Detector, String> {
    let known = load(path, 0).map_err(|why| format!("cannot use the gitleaks file {}: {why}", path.display()))?;
    Detector::new(known.rules, known.allowed)
}

fn load(path: &Path, depth: usize) -> Result<Known, String> {
    let text = fs::read_text_bounded(path, MAX_FILE).map_err(|error| error.to_string())?;
    parse(&text, path, depth)
}

fn parse(text: &str, path: &Path, depth: usize) -> Result<Known, String> {
    let file: File = basic_toml::from_str(text).map_err(|error| error.to_string())?;
    let mut known = Known::default();
    let mut own_lists: HashMap<String, Vec<Allowlist>> = HashMap::new();
    for list in file.allowlist.iter().chain(&file.allowlists) {
        let read = allowlist(list)?;
        match list.target_rules.is_empty() {
            true => known.allowed.push(read),
            false => {
                list.target_rules.iter().for_each(|id| own_lists.entry(id.clone()).or_default().push(read.clone()))
            }
        }
    }
    // What only changes a rule of the file that is extended needs no expression of its own.
    let extends = file.extend.use_default || !file.extend.path.is_empty();
    let mut changes = Vec::new();
    for read in file.rules {
        if let Some(rule) = rule(&read, extends)? {
            changes.push((rule, read.regex.is_empty()));
        }
    }
    if !file.extend.url.is_empty() {
        return Err("extend.url is not supported yet: fetch the file and name it in extend.path".to_owned());
    }
    let mut base = Known::default();
    if depth < MAX_DEPTH {
        if file.extend.use_default {
            base = Known { rules: defaults::rules(), allowed: defaults::allowed() };
        } else if !file.extend.path.is_empty() {
            let extended = Path::new(&file.extend.path);
            let beside = path.parent().unwrap_or(Path::new("")).join(extended);
            let extended = if extended.exists() { extended } else { &beside };
            base = load(extended, depth + 1).map_err(|why| format!("extend.path {}: {why}", file.extend.path))?;
        }
    }
    base.rules.retain(|rule| !file.extend.disabled_rules.contains(&rule.id));
    for (change, without_regex) in changes {
        match base.rules.iter_mut().find(|rule| rule.id == change.id) {
            Some(rule) => {
                if !without_regex {
                    rule.take_regex_of(&change);
                    rule.secret_group = change.secret_group;
                }
                if change.entropy > 0.0 {
                    rule.entropy = change.entropy;
                }
                rule.keywords.extend(change.keywords);
                rule.allowed.extend(change.allowed);
            }
            None if without_regex => return Err(format!("rule {:?} has neither a regex nor a path", change.id)),
            None => base.rules.push(change),
        }
    }
    for rule in &mut base.rules {
        rule.allowed.extend(own_lists.remove(&rule.id).unwrap_or_default());
    }
    known.allowed.append(&mut base.allowed);
    Ok(Known { rules: base.rules, allowed: known.allowed })
}

/// None: a rule about the names of files, of which a log line has none.
fn rule(read: &FileRule, may_lack_regex: bool) -> Result<Option<Rule>, String> {
    let id = &read.id;
    if id.is_empty() {
        return Err(format!("a rule has no id (its regex is {:?})", read.regex));
    }
    if !read.required.is_empty() {
        return Err(format!("rule {id:?}: required is not supported yet by this version of Ferroalloy"));
    }
    if read.skip_report || (!read.path.is_empty() && !compile(id, &read.path)?.is_match("")) {
        return Ok(None);
    }
    if read.regex.is_empty() && !may_lack_regex {
        return Err(format!("rule {id:?} has neither a regex nor a path"));
    }
    let regex = compile(id, &read.regex)?;
    if read.secret_group >= regex.groups() && read.secret_group > 0 {
        let groups = regex.groups() - 1;
        return Err(format!("rule {id:?}: secretGroup is {}, but the regex has {groups} groups", read.secret_group));
    }
    let mut rule = Rule::compiled(id.clone(), regex);
    rule.secret_group = read.secret_group;
    rule.entropy = read.entropy;
    rule.keywords.clone_from(&read.keywords);
    for list in read.allowlist.iter().chain(&read.allowlists) {
        rule.allowed.push(allowlist(list).map_err(|why| format!("rule {id:?}: {why}"))?);
    }
    Ok(Some(rule))
}

fn allowlist(read: &FileAllowlist) -> Result<Allowlist, String> {
    let all = match read.condition.to_ascii_uppercase().as_str() {
        "" | "OR" | "||" => false,
        "AND" | "&&" => true,
        _ => return Err(format!("the condition of an allowlist is AND or OR, not {:?}", read.condition)),
    };
    let target = match read.regex_target.as_str() {
        "" | "secret" => Target::Secret,
        "match" => Target::Match,
        "line" => Target::Line,
        other => return Err(format!("regexTarget is secret, match or line, not {other:?}")),
    };
    Ok(Allowlist {
        all,
        target,
        regexes: read.regexes.iter().map(|text| compile("allowlist", text)).collect::<Result<_, _>>()?,
        stopwords: read.stopwords.iter().map(|word| word.to_ascii_lowercase()).collect(),
        elsewhere: !read.commits.is_empty() || !read.paths.is_empty(),
    })
}

fn compile(whose: &str, text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("{whose}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str, line: &str) -> Result<Vec<(String, String)>, String> {
        let known = parse(text, Path::new("/nowhere/gitleaks.toml"), 0)?;
        let detector = Detector::new(known.rules, known.allowed)?;
        let findings = detector.find(line.as_bytes(), None).findings;
        Ok(findings.into_iter().map(|finding| (finding.rule.to_owned(), line[finding.secret].to_owned())).collect())
    }

    const OWN: &str = r#"
        title = "ours"
        [[rules]]
        id = "own"
        description = "a key of ours"
        regex = '''own-([0-9a-f]{4})-([0-9a-f]{4})'''
        secretGroup = 2
        keywords = ["OWN-"]
        [[rules.allowlists]]
        condition = "AND"
        regexTarget = "line"
        regexes = ['''^test ''']
        stopwords = ["beef"]
        [[rules]]
        id = "files"
        path = '''\.pem$'''
        [allowlist]
        regexes = ['''^0+$''']
    "#;

    #[test]
    fn own_rules_replace_ours() {
        let own = |line: &str| secrets(OWN, line).unwrap();
        assert_eq!(own("own-1234-abcd"), [("own".to_owned(), "abcd".to_owned())]);
        assert_eq!(own("own-1234-0000"), []);
        assert_eq!(own("test own-1234-beef"), []);
        assert_eq!(own("own-1234-beef").len(), 1);
        assert_eq!(own(&format!("ghp_{}", "aB3dE6gH9j".repeat(4))), []);
    }

    #[test]
    fn a_file_may_extend_our_rules_change_some_and_switch_some_off() {
        let token = format!("ghp_{}", &"aB3dE6gH9jK2".repeat(4)[..36]);
        let extend = "[extend]\nuseDefault = true\n";
        assert_eq!(secrets(extend, &token).unwrap().len(), 1);
        assert_eq!(secrets(&format!("{extend}disabledRules = [\"github-pat\"]"), &token).unwrap(), []);
        let stricter = format!("{extend}[[rules]]\nid = \"github-pat\"\nentropy = 7.5\n");
        assert_eq!(secrets(&stricter, &token).unwrap(), []);
        let targeted = format!("{extend}[[allowlists]]\ntargetRules = [\"github-pat\"]\nstopwords = [\"ab3de6\"]\n");
        assert_eq!(secrets(&targeted, &token).unwrap(), []);
    }

    #[test]
    fn faults_are_named() {
        for (text, fault) in [
            ("rules = 1", "invalid type"),
            ("[[rules]]\nregex = 'x'", "has no id"),
            ("[[rules]]\nid = 'a'", "neither a regex nor a path"),
            ("[[rules]]\nid = 'a'\nregex = '('", "a: "),
            ("[[rules]]\nid = 'a'\nregex = '(x)'\nsecretGroup = 2", "has 1 groups"),
            ("[[rules]]\nid = 'a'\nregex = 'x'\n[[rules.required]]\nid = 'b'", "not supported yet"),
            ("[extend]\nurl = 'https://x'", "not supported yet"),
            ("[extend]\npath = 'missing.toml'", "extend.path missing.toml"),
            ("[allowlist]\ncondition = 'XOR'", "AND or OR"),
        ] {
            let said = secrets(text, "").expect_err(text);
            assert!(said.contains(fault), "{text}: {said}");
        }
    }
}

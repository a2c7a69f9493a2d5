//! From arguments to a command with its flags, in the way of Go's pflag: `--flag=value`, `--flag value`, `-wt`, `-fvalue`, `--`.

use std::collections::BTreeMap;

use base_stdx::duration::GoDuration;
use base_stdx::quote::quote;
use sdk_component::Stability;

use super::table::{Action, Command, Flag, Kind, ROOT, Support};

/// What the user asked for.
pub struct Invocation {
    /// The words that led to the command, the program's name first.
    pub path: Vec<&'static str>,
    /// The command.
    pub command: &'static Command,
    /// What stands beside the flags.
    pub arguments: Vec<String>,
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
    /// Words of warning, about deprecated flags.
    pub warnings: Vec<String>,
    flags: BTreeMap<&'static str, String>,
}

/// Why a command line is not understood.
#[derive(Debug)]
pub struct Refused {
    /// Said after `Error: `.
    pub message: String,
    /// The usage of the program follows.
    pub with_usage: bool,
}

/// Reads the arguments that follow the program's name.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Invocation, Refused> {
    let mut arguments: std::collections::VecDeque<String> = arguments.into_iter().collect();
    let mut invocation = Invocation {
        path: vec![ROOT.name],
        command: &ROOT,
        arguments: Vec::new(),
        help: false,
        version: false,
        warnings: Vec::new(),
        flags: BTreeMap::new(),
    };
    let mut only_arguments = false;
    while let Some(argument) = arguments.pop_front() {
        if only_arguments || argument == "-" || !argument.starts_with('-') {
            invocation.word(argument)?;
        } else if argument == "--" {
            only_arguments = true;
        } else if let Some(long) = argument.strip_prefix("--") {
            invocation.long_flag(long, &mut arguments)?;
        } else {
            invocation.short_flags(&argument[1..], &mut arguments)?;
        }
    }
    if !invocation.help && !invocation.version {
        invocation.check()?;
    }
    Ok(invocation)
}

// === impl Invocation ===

impl Invocation {
    /// A flag's value, or its default.
    pub fn text(&self, name: &str) -> &str {
        match self.flags.get(name) {
            Some(value) => value,
            None => self.flag(name).default,
        }
    }

    /// Every flag with the value that is in force, `name=value`, by name.
    pub fn in_force(&self) -> Vec<String> {
        let mut flags: Vec<String> =
            self.command.flags.iter().map(|flag| format!("{}={}", flag.name, self.text(flag.name))).collect();
        flags.sort();
        flags
    }

    /// Whether a switch is on.
    pub fn is_set(&self, name: &str) -> bool {
        parse_bool(self.text(name)).expect("checked when it was read")
    }

    /// A flag's value as a duration.
    pub fn duration(&self, name: &str) -> GoDuration {
        self.text(name).parse().expect("checked when it was read")
    }

    /// A flag's value as a stability level.
    pub fn stability(&self, name: &str) -> Stability {
        self.text(name).parse().expect("checked when it was read")
    }

    fn flag(&self, name: &str) -> &'static Flag {
        self.command.flags.iter().find(|flag| flag.name == name).expect("the command asks for its own flags")
    }

    fn word(&mut self, word: String) -> Result<(), Refused> {
        if self.arguments.is_empty() {
            if let Some(child) = self.command.child(&word) {
                self.path.push(child.name);
                self.command = child;
                return Ok(());
            }
            if !self.command.children.is_empty() && self.path.len() == 1 {
                return Err(unknown_command(&word));
            }
        }
        self.arguments.push(word);
        Ok(())
    }

    fn long_flag(&mut self, text: &str, following: &mut std::collections::VecDeque<String>) -> Result<(), Refused> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name {
            "help" => return self.switch(value, "help", |invocation, on| invocation.help = on),
            "version" if self.path.len() == 1 => {
                return self.switch(value, "version", |invocation, on| invocation.version = on);
            }
            _ => {}
        }
        let Some(flag) = self.command.flags.iter().find(|flag| flag.name == name) else {
            // Those that have lost their meaning have lost their words, too.
            let known = self.command.flags.iter().filter(|flag| !flag.about.is_empty());
            let near = base_stdx::nearest(name, known.map(|flag| flag.name));
            let near = near.map(|near| format!("\n\nDid you mean this?\n\t--{near}")).unwrap_or_default();
            return Err(self.refuse(format!("unknown flag: --{name}{near}")));
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Bool) => "true".to_owned(),
            (None, Kind::Anything) => String::new(),
            (None, _) => match following.pop_front() {
                Some(value) => value,
                None => return Err(self.refuse(format!("flag needs an argument: --{name}"))),
            },
        };
        self.set(flag, value)
    }

    fn short_flags(
        &mut self,
        letters: &str,
        following: &mut std::collections::VecDeque<String>,
    ) -> Result<(), Refused> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            match letter {
                'h' => {
                    self.help = true;
                    continue;
                }
                'v' if self.path.len() == 1 => {
                    self.version = true;
                    continue;
                }
                _ => {}
            }
            let Some(flag) = self.command.flags.iter().find(|flag| flag.short == Some(letter)) else {
                return Err(self.refuse(format!("unknown shorthand flag: {letter:?} in -{letters}")));
            };
            if let Some(value) = rest.strip_prefix('=') {
                return self.set(flag, value.to_owned());
            }
            if flag.kind == Kind::Bool {
                self.set(flag, "true".to_owned())?;
                continue;
            }
            let value = match rest {
                "" => following.pop_front(),
                value => Some(value.to_owned()),
            };
            let Some(value) = value else {
                return Err(self.refuse(format!("flag needs an argument: {letter:?} in -{letters}")));
            };
            return self.set(flag, value);
        }
        Ok(())
    }

    fn switch(
        &mut self,
        value: Option<String>,
        name: &str,
        set: impl FnOnce(&mut Invocation, bool),
    ) -> Result<(), Refused> {
        let value = value.unwrap_or_else(|| "true".to_owned());
        match parse_bool(&value) {
            Ok(on) => set(self, on),
            Err(error) => {
                return Err(
                    self.refuse(format!("invalid argument {} for \"--{name}\" flag: {error}", quote(value.as_bytes())))
                );
            }
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), Refused> {
        if let Err(error) = check_value(flag.kind, &value) {
            let (value, flag) = (quote(value.as_bytes()), quote(flag.display().as_bytes()));
            return Err(self.refuse(format!("invalid argument {value} for {flag} flag: {error}")));
        }
        if flag.support == Support::Deprecated {
            let warning =
                format!("Flag --{} has been deprecated, This flag is deprecated and has no effect.", flag.name);
            self.warnings.push(warning);
        }
        self.flags.insert(flag.name, value);
        Ok(())
    }

    fn check(&self) -> Result<(), Refused> {
        let count = self.arguments.len();
        let (least, most) = self.command.arity;
        if self.command.action == Action::Group && count > 0 && self.path.len() > 1 {
            return Err(self.refuse(format!("unknown command {:?} for {:?}", self.arguments[0], self.path.join(" "))));
        }
        if count < least || count > most {
            let accepted = match least == most {
                true => format!("{least} arg(s)"),
                false => format!("between {least} and {most} arg(s)"),
            };
            return Err(self.refuse(format!("accepts {accepted}, received {count}")));
        }
        Ok(())
    }

    /// Refuses flags that are set to what we cannot do. Asked separately, because Alloy looks at some other things first.
    pub fn check_support(&self) -> Result<(), Refused> {
        for flag in self.command.flags {
            let Support::Missing(capability) = flag.support else { continue };
            if normal(flag.kind, self.text(flag.name)) != normal(flag.kind, flag.default) {
                let message = format!("--{}: {capability} is not part of {} yet", flag.name, super::NAME);
                return Err(Refused { message, with_usage: false });
            }
        }
        Ok(())
    }

    fn refuse(&self, message: String) -> Refused {
        Refused { message, with_usage: self.path.len() == 1 }
    }
}

fn unknown_command(word: &str) -> Refused {
    let name = super::NAME;
    let mut message = format!("unknown command {} for \"{name}\"\n", quote(word.as_bytes()));
    if let Some(near) = base_stdx::nearest(word, ROOT.children.iter().map(|child| child.name)) {
        message.push_str(&format!("\nDid you mean this?\n\t{near}\n"));
    }
    message.push_str(&format!("\nRun '{name} --help' for usage."));
    Refused { message, with_usage: false }
}

fn check_value(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::List | Kind::Anything => Ok(()),
        Kind::Bool => parse_bool(value).map(|_| ()),
        Kind::Int => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(error) => {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let why = match error.kind() {
                    PosOverflow | NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Err(format!("strconv.ParseInt: parsing {}: {why}", quote(value.as_bytes())))
            }
        },
        Kind::Duration => value.parse::<GoDuration>().map(|_| ()).map_err(|error| error.to_string()),
        Kind::Stability => value.parse::<Stability>().map(|_| ()).map_err(|error| error.to_string()),
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text.as_bytes()))),
    }
}

/// A value in the one spelling by which it can be compared.
fn normal(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Bool => parse_bool(value).map_or_else(|_| value.to_owned(), |on| on.to_string()),
        Kind::Duration => {
            value.parse::<GoDuration>().map_or_else(|_| value.to_owned(), |duration| duration.to_string())
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(str::to_owned)).map_err(|refused| refused.message)
    }

    #[test]
    fn flags_are_read_in_every_spelling() {
        let line = "run --storage.path=x --server.http.listen-addr :1 config.alloy --disable-reporting \
                    --feature.component-shutdown-deadline 90s --stability.level=experimental";
        let invocation = parsed(line).unwrap();
        assert_eq!(invocation.path, ["ferroalloy", "run"]);
        assert_eq!(invocation.arguments, ["config.alloy"]);
        assert_eq!(invocation.text("storage.path"), "x");
        assert_eq!(invocation.text("server.http.listen-addr"), ":1");
        assert_eq!(invocation.text("server.http.memory-addr"), "alloy.internal:12345");
        assert_eq!(invocation.duration("feature.component-shutdown-deadline"), GoDuration::from_secs(90));
        assert_eq!(invocation.stability("stability.level"), Stability::Experimental);
        assert!(invocation.is_set("disable-reporting") && !invocation.is_set("cluster.enabled"));

        let invocation = parsed("tools prometheus.remote_write target-stats -jnode -i=a:1 -- -wal").unwrap();
        assert_eq!((invocation.text("job"), invocation.text("instance")), ("node", "a:1"));
        assert_eq!(invocation.arguments, ["-wal"]);
        let invocation = parsed("fmt -wt -").unwrap();
        assert!(invocation.is_set("write") && invocation.is_set("test"));
    }

    #[test]
    fn what_is_wrong_is_said_in_alloys_words() {
        for (line, message) in [
            ("run", "accepts 1 arg(s), received 0"),
            ("run --storage.path", "flag needs an argument: --storage.path"),
            ("fmt -x", "unknown shorthand flag: 'x' in -x"),
            ("fmt a b", "accepts between 0 and 1 arg(s), received 2"),
            ("gql --endpoint= a b", "accepts 1 arg(s), received 2"),
            ("validate --storage.path=x c", "unknown flag: --storage.path"),
            ("run --storage.pth=x c", "unknown flag: --storage.pth\n\nDid you mean this?\n\t--storage.path"),
            ("tools frob", "unknown command \"frob\" for \"ferroalloy tools\""),
        ] {
            assert_eq!(parsed(line).err().as_deref(), Some(message), "{line}");
        }
    }

    #[test]
    fn only_what_would_be_ignored_is_refused() {
        for (line, refusal) in [
            ("run c --cluster.enabled=false --cluster.rejoin-interval=60s --cluster.name=", None),
            ("run c --cluster.enabled", Some("--cluster.enabled: clustering is not part of ferroalloy yet")),
            (
                "run c --cluster.wait-for-size=3",
                Some("--cluster.wait-for-size: clustering is not part of ferroalloy yet"),
            ),
            ("run c --disable-reporting --server.http.disable-support-bundle", None),
            ("run c --feature.prometheus.metric-validation-scheme=legacy --cluster.use-discovery-v1", None),
        ] {
            let refused = parsed(line).unwrap().check_support().err().map(|refused| refused.message);
            assert_eq!(refused.as_deref(), refusal, "{line}");
        }
    }
}

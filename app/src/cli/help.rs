//! Help texts.

use std::fmt::Write;

use super::parse::Invocation;
use super::table::{Action, Command, Flag, Kind, ROOT, Support};

/// How a command is used, its commands and its flags.
pub fn usage(path: &[&str], command: &Command) -> String {
    let mut text = String::from("Usage:\n");
    let path = path.join(" ");
    if command.children.is_empty() {
        let arguments = if command.arguments.is_empty() { String::new() } else { format!(" {}", command.arguments) };
        let _ = writeln!(text, "  {path}{arguments} [flags]");
    } else {
        let _ = writeln!(text, "  {path} [command]");
    }
    if !command.aliases.is_empty() {
        let _ = writeln!(text, "\nAliases:\n  {}, {}", command.name, command.aliases.join(", "));
    }
    if !command.children.is_empty() {
        let _ = writeln!(text, "\nAvailable Commands:");
        let width = command.children.iter().map(|child| child.name.len()).max().unwrap_or(0);
        for child in command.children {
            let later = if matches!(child.action, Action::NotYet(_)) { " (not yet)" } else { "" };
            let _ = writeln!(text, "  {:width$}  {}{later}", child.name, child.about);
        }
    }
    let _ = writeln!(text, "\nFlags:");
    let mut flags: Vec<_> = command.flags.iter().filter(|flag| flag.support != Support::Deprecated).map(line).collect();
    flags.push(("  -h, --help".to_owned(), format!("Help for {}", command.name)));
    if path == ROOT.name {
        flags.push(("  -v, --version".to_owned(), format!("Version of {}", command.name)));
    }
    flags.sort_by(|(left, _), (right, _)| left[6..].cmp(&right[6..]));
    let width = flags.iter().map(|(flag, _)| flag.len()).max().unwrap_or(0);
    for (flag, about) in flags {
        let _ = writeln!(text, "{flag:width$}   {about}");
    }
    if !command.children.is_empty() {
        let _ = writeln!(text, "\nUse \"{path} [command] --help\" for more information about a command.");
    }
    text
}

/// What `help frobnicate` says.
pub fn unknown_topic(topic: &[String]) -> String {
    format!("Unknown help topic [`{}`]\n{}", topic.join(" "), usage(&[ROOT.name], &ROOT))
}

// === impl Invocation ===

impl Invocation {
    /// What `--help` prints.
    pub fn help_text(&self) -> String {
        long_help(&self.path, self.command)
    }

    /// What `help COMMAND` prints; `None` if there is no such command.
    pub fn help_topic(&self) -> Option<String> {
        let mut command = &ROOT;
        let mut path = vec![ROOT.name];
        for word in &self.arguments {
            command = command.child(word)?;
            path.push(command.name);
        }
        Some(long_help(&path, command))
    }
}

fn long_help(path: &[&str], command: &Command) -> String {
    let about = if command.long.is_empty() { command.about } else { command.long };
    format!("{about}\n\n{}", usage(path, command))
}

fn line(flag: &Flag) -> (String, String) {
    let kind = match flag.kind {
        Kind::Bool | Kind::Anything => "",
        Kind::Text => " string",
        Kind::Int => " int",
        Kind::Duration => " duration",
        Kind::List => " strings",
        Kind::Stability => " <stability_level>",
    };
    let name = match flag.short {
        Some(short) => format!("  -{short}, --{}{kind}", flag.name),
        None => format!("      --{}{kind}", flag.name),
    };
    let default = match (flag.kind, flag.default) {
        (_, "") | (Kind::Bool, "false") | (Kind::Int, "0") => String::new(),
        (Kind::Text, default) => format!(" (default {default:?})"),
        (Kind::List, default) => format!(" (default [{default}])"),
        (_, default) => format!(" (default {default})"),
    };
    let later = if matches!(flag.support, Support::Missing(_)) { " (not yet)" } else { "" };
    (name, format!("{}{default}{later}", flag.about))
}

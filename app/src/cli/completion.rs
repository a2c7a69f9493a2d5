//! Completion scripts, from the same table as everything else.

use std::fmt::Write;

use super::NAME;
use super::table::{Command, ROOT, Support};

/// The script for a shell (`bash`, `fish`, `powershell`, `zsh`).
pub fn script(shell: &str, descriptions: bool) -> String {
    let mut places = Vec::new();
    collect(&ROOT, "", &mut places);
    match shell {
        "fish" => fish(&places, descriptions),
        "zsh" => format!("#compdef {NAME}\nautoload -U +X bashcompinit && bashcompinit\n{}", bash(&places)),
        "powershell" => powershell(&places),
        _ => bash(&places),
    }
}

/// A command and the words that lead to it, without the program's name.
struct Place<'c> {
    words: String,
    command: &'c Command,
}

// === impl Place ===

impl Place<'_> {
    fn flags(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let flags = self.command.flags.iter().filter(|flag| flag.support != Support::Deprecated);
        flags.map(|flag| (flag.name, flag.about)).chain([("help", "Help about the command")])
    }

    /// Everything that may follow: commands, then flags.
    fn candidates(&self) -> String {
        let children = self.command.children.iter().map(|child| child.name.to_owned());
        children.chain(self.flags().map(|(flag, _)| format!("--{flag}"))).collect::<Vec<_>>().join(" ")
    }
}

fn collect<'c>(command: &'c Command, words: &str, places: &mut Vec<Place<'c>>) {
    places.push(Place { words: words.to_owned(), command });
    for child in command.children {
        let words = if words.is_empty() { child.name.to_owned() } else { format!("{words} {}", child.name) };
        collect(child, &words, places);
    }
}

fn bash(places: &[Place<'_>]) -> String {
    let mut script = format!(
        "# bash completion for {NAME}\n\
         _{NAME}() {{\n  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"\" word\n  \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    \
         case \"$word\" in -*) ;; *) words=\"${{words:+$words }}$word\" ;; esac\n  done\n  local candidates=\"\"\n  \
         case \"$words\" in\n"
    );
    for place in places {
        let _ = writeln!(script, "    \"{}\") candidates=\"{}\" ;;", place.words, place.candidates());
    }
    let _ = write!(
        script,
        "  esac\n  COMPREPLY=($(compgen -W \"$candidates\" -- \"$current\"))\n}}\n\
         complete -o default -F _{NAME} {NAME}\n"
    );
    script
}

fn fish(places: &[Place<'_>], descriptions: bool) -> String {
    let about = |text: &str| match descriptions && !text.is_empty() {
        true => format!(" -d '{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        false => String::new(),
    };
    let mut script = format!("# fish completion for {NAME}\n");
    for place in places {
        let condition = match place.words.as_str() {
            "" => "__fish_use_subcommand".to_owned(),
            words => format!("__fish_seen_subcommand_from {}", words.rsplit(' ').next().unwrap_or(words)),
        };
        for child in place.command.children {
            let _ = writeln!(script, "complete -c {NAME} -n '{condition}' -a '{}'{}", child.name, about(child.about));
        }
        for (flag, text) in place.flags() {
            let _ = writeln!(script, "complete -c {NAME} -n '{condition}' -l '{flag}'{}", about(text));
        }
    }
    script
}

fn powershell(places: &[Place<'_>]) -> String {
    let mut script = format!(
        "# PowerShell completion for {NAME}\n\
         Register-ArgumentCompleter -Native -CommandName '{NAME}' -ScriptBlock {{\n  \
         param($current, $ast, $position)\n  \
         $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object {{ \"$_\" }} | \
         Where-Object {{ $_ -notlike '-*' -and $_ -ne $current }}) -join ' '\n  \
         $candidates = switch ($words) {{\n"
    );
    for place in places {
        let _ = writeln!(script, "    '{}' {{ '{}' }}", place.words, place.candidates());
    }
    script.push_str(
        "  }\n  \"$candidates\".Split(' ') | Where-Object { $_ -like \"$current*\" } | ForEach-Object { \
         [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }\n}\n",
    );
    script
}

//! The table of commands and flags.

use Kind::*;
use Support::*;

/// A command or a group of commands.
pub struct Command {
    /// The word that is typed.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Its positional arguments, as usage lines show them.
    pub arguments: &'static str,
    /// How many positional arguments it takes, least and most.
    pub arity: (usize, usize),
    /// In one line.
    pub about: &'static str,
    /// In full, shown before the usage.
    pub long: &'static str,
    /// Its own flags; `--help` is everywhere.
    pub flags: &'static [Flag],
    /// Commands below it.
    pub children: &'static [Command],
    /// What to do.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the command of its name
pub enum Action {
    Run,
    Validate,
    Fmt,
    Completion,
    Help,
    /// Only groups others.
    Group,
    /// Known from Alloy, not here yet: the words say what.
    NotYet(&'static str),
}

/// One flag.
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// `-x`.
    pub short: Option<char>,
    /// What its value must be.
    pub kind: Kind,
    /// Its value when it is not given, in text form.
    pub default: &'static str,
    /// For the help text.
    pub about: &'static str,
    /// Whether we can do what it asks for.
    pub support: Support,
}

/// What a flag's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    Text,
    Int,
    Duration,
    /// Words with commas between them.
    List,
    Stability,
    /// Anything or nothing: a flag that has lost its meaning.
    Anything,
}

/// Whether we can do what a flag asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Yes, or there is nothing to do for it.
    Works,
    /// Not yet; the words name the capability. Any value but the default is refused.
    Missing(&'static str),
    /// It has no meaning any more; any value is accepted.
    Deprecated,
}

const CLUSTERING: Support = Missing("clustering");
const CONVERSION: Support = Missing("converting configurations of other collectors");
const GRAPHQL: Support = Missing("the GraphQL API");
const WAL_TOOLS: Action = Action::NotYet("reading a write-ahead log of Prometheus");

const STABILITY_LEVEL: Flag = flag(
    "stability.level",
    Stability,
    "generally-available",
    "Minimum stability level of features to enable. Supported values: \"experimental\", \"public-preview\", \"generally-available\"",
);
const COMMUNITY_COMPONENTS: Flag =
    flag("feature.community-components.enabled", Bool, "false", "Enable community components");
const CONFIG_FORMAT: Flag =
    flag("config.format", Text, "alloy", "Format of the configuration file; others than \"alloy\"").missing(CONVERSION);
const BYPASS_CONVERSION_ERRORS: Flag =
    flag("config.bypass-conversion-errors", Bool, "false", "Load a converted configuration in spite of errors")
        .missing(CONVERSION);
const EXTRA_ARGS: Flag =
    flag("config.extra-args", Text, "", "Extra arguments of the original format").missing(CONVERSION);

/// The program itself.
pub static ROOT: Command = Command {
    children: &[RUN, FMT, VALIDATE, CONVERT, TOOLS, GQL, COMPLETION, HELP],
    ..command(super::NAME, "", (0, 0), "A telemetry collector that runs Grafana Alloy's configurations", Action::Group)
};

const RUN: Command = Command {
    long: "Runs the configuration in a file, or in all *.alloy files of a directory taken together, until it is told to \
           stop (SIGTERM, SIGINT). SIGHUP and a request to /-/reload load it again.",
    flags: &[
        flag("server.http.listen-addr", Text, "127.0.0.1:12345", "Address to listen for HTTP traffic on"),
        flag("server.http.memory-addr", Text, "alloy.internal:12345", "Address of the in-process HTTP listener"),
        flag("server.http.ui-path-prefix", Text, "/", "Prefix to serve the web pages and their API at"),
        flag(
            "server.http.enable-pprof",
            Bool,
            "true",
            "Accepted for compatibility: there are no profiles of a Go runtime",
        ),
        flag("server.http.disable-support-bundle", Bool, "false", "Disable /-/support"),
        flag("server.http.enable-graphql", Bool, "false", "Enable the GraphQL API (experimental)").missing(GRAPHQL),
        flag("server.http.enable-graphql-playground", Bool, "false", "Enable the GraphQL playground (experimental)")
            .missing(GRAPHQL),
        flag("storage.path", Text, "data-alloy/", "Base directory where components can store data"),
        flag("disable-reporting", Bool, "false", "Accepted for compatibility: nothing is ever reported"),
        STABILITY_LEVEL,
        COMMUNITY_COMPONENTS,
        flag(
            "feature.component-shutdown-deadline",
            Duration,
            "10m0s",
            "How long components may take to stop; 0 for no limit",
        ),
        flag(
            "feature.prometheus.direct-fanout.enabled",
            Bool,
            "false",
            "Accepted for compatibility (experimental): metrics always go directly",
        ),
        flag("cluster.enabled", Bool, "false", "Start in clustered mode").missing(CLUSTERING),
        flag("cluster.node-name", Text, "", "Name of this node in the cluster").missing(CLUSTERING),
        flag("cluster.advertise-address", Text, "", "Address to advertise to the cluster").missing(CLUSTERING),
        flag("cluster.advertise-interfaces", List, "eth0,en0", "Interfaces to derive the advertised address from")
            .missing(CLUSTERING),
        flag("cluster.join-addresses", Text, "", "Addresses of nodes to join").missing(CLUSTERING),
        flag("cluster.discover-peers", Text, "", "How to discover nodes to join").missing(CLUSTERING),
        flag("cluster.rejoin-interval", Duration, "1m0s", "How often to rejoin; 0 for never").missing(CLUSTERING),
        flag("cluster.max-join-peers", Int, "5", "How many nodes to join; 0 for all").missing(CLUSTERING),
        flag("cluster.name", Text, "", "Name of the cluster; others are refused").missing(CLUSTERING),
        flag("cluster.enable-tls", Bool, "false", "Use TLS between nodes").missing(CLUSTERING),
        flag("cluster.tls-ca-path", Text, "", "CA certificate file of the nodes").missing(CLUSTERING),
        flag("cluster.tls-cert-path", Text, "", "Certificate file of this node").missing(CLUSTERING),
        flag("cluster.tls-key-path", Text, "", "Key file of this node").missing(CLUSTERING),
        flag("cluster.tls-server-name", Text, "", "Server name of the nodes' certificates").missing(CLUSTERING),
        flag("cluster.wait-for-size", Int, "0", "Wait for so many nodes before taking work").missing(CLUSTERING),
        flag("cluster.wait-timeout", Duration, "0s", "How long to wait for them; 0 for ever").missing(CLUSTERING),
        CONFIG_FORMAT,
        BYPASS_CONVERSION_ERRORS,
        EXTRA_ARGS,
        flag("cluster.use-discovery-v1", Anything, "", "").deprecated(),
        flag("feature.prometheus.metric-validation-scheme", Anything, "", "").deprecated(),
    ],
    ..command("run", "PATH", (1, 1), "Run a configuration", Action::Run)
};

const FMT: Command = Command {
    aliases: &["format"],
    long: "Prints a configuration file, or standard input, in the official layout.",
    flags: &[
        flag("test", Bool, "false", "Only check whether the file is formatted; fail if not").short('t'),
        flag("write", Bool, "false", "Write the result back to the file").short('w'),
    ],
    ..command("fmt", "[FILE]", (0, 1), "Format a configuration file", Action::Fmt)
};

const VALIDATE: Command = Command {
    long: "Checks a configuration as run would load it, and starts nothing. Prints everything that is wrong with it.",
    flags: &[
        STABILITY_LEVEL,
        COMMUNITY_COMPONENTS,
        CONFIG_FORMAT,
        BYPASS_CONVERSION_ERRORS,
        EXTRA_ARGS,
        flag("json", Bool, "false", "Print diagnostics as JSON on standard output"),
    ],
    ..command("validate", "PATH", (1, 1), "Check a configuration", Action::Validate)
};

const CONVERT: Command = Command {
    flags: &[
        flag("source-format", Text, "", "Format of the file").short('f'),
        flag("output", Text, "", "File to write to").short('o'),
        flag("report", Text, "", "File to write the report to").short('r'),
        flag("bypass-errors", Bool, "false", "Convert in spite of errors").short('b'),
        flag("extra-args", Text, "", "Extra arguments of the original format").short('e'),
    ],
    ..command(
        "convert",
        "[FILE]",
        (0, 1),
        "Convert the configuration of another collector",
        Action::NotYet("converting configurations of other collectors"),
    )
};

const TOOLS: Command = Command {
    long: "The tools command contains a collection of utilities for components.",
    children: &[Command {
        children: &[
            Command {
                flags: &[flag("selector", Text, "{}", "Series to look at").short('s')],
                ..command("sample-stats", "WAL", (1, 1), "Statistics of the samples in a write-ahead log", WAL_TOOLS)
            },
            Command {
                flags: &[
                    flag("job", Text, "", "Job of the target").short('j'),
                    flag("instance", Text, "", "Instance of the target").short('i'),
                ],
                ..command("target-stats", "WAL", (1, 1), "Statistics of a target in a write-ahead log", WAL_TOOLS)
            },
            command("wal-stats", "WAL", (1, 1), "Statistics of a write-ahead log", WAL_TOOLS),
        ],
        ..command("prometheus.remote_write", "", (0, 0), "Tools for prometheus.remote_write", Action::Group)
    }],
    ..command("tools", "", (0, 0), "Utilities for components", Action::Group)
};

const GQL: Command = Command {
    aliases: &["graphql"],
    flags: &[flag("endpoint", Text, "http://127.0.0.1:12345/graphql", "Where to send the query")],
    ..command("gql", "QUERY", (1, 1), "Send a GraphQL query", Action::NotYet("the GraphQL API"))
};

const NO_DESCRIPTIONS: &[Flag] = &[flag("no-descriptions", Bool, "false", "Leave descriptions out")];

const COMPLETION: Command = Command {
    children: &[
        Command { flags: NO_DESCRIPTIONS, ..command("bash", "", (0, 0), "For bash", Action::Completion) },
        Command { flags: NO_DESCRIPTIONS, ..command("fish", "", (0, 0), "For fish", Action::Completion) },
        Command { flags: NO_DESCRIPTIONS, ..command("powershell", "", (0, 0), "For PowerShell", Action::Completion) },
        Command { flags: NO_DESCRIPTIONS, ..command("zsh", "", (0, 0), "For zsh", Action::Completion) },
    ],
    ..command("completion", "", (0, 0), "Print a completion script for a shell", Action::Group)
};

const HELP: Command = command("help", "[COMMAND]", (0, usize::MAX), "Help about any command", Action::Help);

const fn command(
    name: &'static str,
    arguments: &'static str,
    arity: (usize, usize),
    about: &'static str,
    action: Action,
) -> Command {
    Command { name, aliases: &[], arguments, arity, about, long: "", flags: &[], children: &[], action }
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Flag {
    Flag { name, short: None, kind, default, about, support: Works }
}

// === impl Flag ===

impl Flag {
    const fn short(self, short: char) -> Flag {
        Flag { short: Some(short), ..self }
    }

    const fn missing(self, support: Support) -> Flag {
        Flag { support, ..self }
    }

    const fn deprecated(self) -> Flag {
        Flag { support: Deprecated, ..self }
    }

    /// `--name`, or `-n, --name`, as errors call it.
    pub fn display(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

// === impl Command ===

impl Command {
    /// The command below this one that a word names.
    pub fn child(&self, word: &str) -> Option<&'static Command> {
        self.children.iter().find(|child| child.name == word || child.aliases.contains(&word))
    }
}

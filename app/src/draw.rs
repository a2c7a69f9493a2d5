//! Diagnostics on stderr.

use std::io::{IsTerminal as _, Write as _};

use language_syntax::Diagnostics;
use language_syntax::render::{Style, render};

/// Draws all of them. The empty line on stdout is Alloy's, and scripts may wait for it.
pub fn draw(diagnostics: &Diagnostics) {
    if diagnostics.is_empty() {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    let colors = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let drawn = render(diagnostics, Style { colors, hints: true });
    // If nobody reads it, nobody can be told.
    let _ = stderr.write_all(drawn.as_bytes());
    let _ = writeln!(std::io::stdout());
}

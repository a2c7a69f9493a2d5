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
    let drawn = render(diagnostics, Style { colors: stderr.is_terminal(), hints: true });
    // If nobody reads it, nobody can be told.
    let _ = stderr.write_all(drawn.as_bytes());
    let _ = writeln!(std::io::stdout());
}

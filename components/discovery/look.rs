//! Targets that were found or relabelled, for those who look at a component.

use base_stdx::quote::quote;
use language_eval::Target;
use sdk_component::Tap;

const SIGNAL: &str = "target";

/// All targets that were found.
pub(crate) fn at_targets(tap: &Tap, targets: &[Target]) {
    let Some(look) = tap.look() else { return };
    look.count(SIGNAL, targets.len() as u64);
    look.show(|| format!("[{}]", targets.iter().map(text).collect::<Vec<_>>().join(" ")));
}

/// Targets before the rules and after them; what is dropped is left without labels.
pub(crate) fn at_relabelling(tap: &Tap, targets: &[Target], relabelled: impl Fn(&Target) -> Option<Target>) {
    let Some(look) = tap.look() else { return };
    look.count(SIGNAL, targets.len() as u64);
    if !look.wants_text() {
        return;
    }
    for target in targets {
        look.show(|| format!("{} => {}", text(target), relabelled(target).as_ref().map_or("{}".to_owned(), text)));
    }
}

fn text(target: &Target) -> String {
    let mut labels: Vec<String> =
        target.iter().map(|(name, value)| format!("{}={}", quote(name.as_bytes()), quote(value.as_bytes()))).collect();
    labels.sort();
    format!("{{{}}}", labels.join(", "))
}

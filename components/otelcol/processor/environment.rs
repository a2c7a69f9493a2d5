//! Environment variables; tests have their own.

/// One of them.
#[cfg(not(test))]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
pub use test::variable;

/// Tests set variables for their own thread.
#[cfg(test)]
pub mod test {
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        static VARIABLES: RefCell<HashMap<String, String>> = RefCell::default();
    }

    pub fn variable(name: &str) -> Option<String> {
        VARIABLES.with_borrow(|variables| variables.get(name).cloned())
    }

    pub fn set(variables: impl IntoIterator<Item = (String, String)>) {
        VARIABLES.with_borrow_mut(|all| *all = variables.into_iter().collect());
    }
}

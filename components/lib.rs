//! The one list of all components.

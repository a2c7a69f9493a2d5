//! The contract between components and the runtime.

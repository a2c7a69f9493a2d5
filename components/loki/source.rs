//! What the sources share: saved positions, and the window of what is on its way.

pub mod docker;
pub mod file;
pub mod positions;
pub mod window;

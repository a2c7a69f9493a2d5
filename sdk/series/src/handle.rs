//! The handle.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sdk_labels::Labels;

use crate::table;

/// A series in use. Cloning counts a reference; two are equal when they are the same entry of the table, which is to say
/// when their labels are equal.
#[derive(Clone)]
pub struct Series(Arc<Entry>);

pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) labels: Labels,
}

impl Series {
    /// The series of these labels, made if nobody uses it yet.
    pub fn of(labels: &Labels) -> Series {
        Series(table::intern(labels))
    }

    /// The series of these labels, if somebody uses it.
    pub fn find(labels: &Labels) -> Option<Series> {
        table::find(labels).map(Series)
    }

    /// A number that no other series of this process has or had. From 1.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// Its labels as field 1 of a remote-write 1 `TimeSeries`.
    pub fn as_remote_write(&self) -> &[u8] {
        self.0.labels.as_remote_write()
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Series) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Series {}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.id);
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.labels)
    }
}

/// Runs when the last handle is gone.
impl Drop for Entry {
    fn drop(&mut self) {
        table::remove(self);
    }
}

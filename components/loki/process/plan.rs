//! Which extracted values a pipeline keeps, decided once: every name that some stage reads gets a slot, and what nobody
//! reads is not extracted at all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Where a line keeps the extracted value of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(super) u16);

/// The names of the extracted values that matter.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    names: Vec<Arc<str>>,
    slots: HashMap<Arc<str>, Slot>,
    /// Names that stages write; they matter only when some stage looks at every name.
    written: BTreeSet<String>,
    all: bool,
    too_many: bool,
}

// === impl Plan ===

impl Plan {
    /// A stage looks at this name.
    pub fn read(&mut self, name: &str) {
        if self.slots.contains_key(name) {
            return;
        }
        let Ok(number) = u16::try_from(self.names.len()) else {
            self.too_many = true;
            return;
        };
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.slots.insert(name, Slot(number));
    }

    /// A stage may set this name.
    pub fn write(&mut self, name: &str) {
        self.written.insert(name.to_owned());
    }

    /// A stage looks at whatever names there are.
    pub fn read_all(&mut self) {
        self.all = true;
    }

    /// When all stages have said what they read and write.
    pub fn seal(&mut self) {
        if self.all {
            for name in std::mem::take(&mut self.written) {
                self.read(&name);
            }
        }
    }

    /// The slot of a name, if anybody looks at it.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    /// The slot of a name that was given to [`Plan::read`].
    pub fn slot_of(&self, name: &str) -> Slot {
        self.slot(name).expect("stages say what they read before they are made, and too many names are refused")
    }

    /// There are more names than slots can be counted: a configuration of megabytes.
    pub fn is_too_large(&self) -> bool {
        self.too_many
    }

    /// The name of a slot.
    pub fn name(&self, slot: Slot) -> &Arc<str> {
        &self.names[slot.0 as usize]
    }

    /// All slots with their names.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &Arc<str>)> {
        self.names.iter().enumerate().map(|(number, name)| (Slot(number as u16), name))
    }

    /// How many slots there are.
    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// Whether some stage looks at every name, so that names without a slot are to be kept too.
    pub fn keeps_all(&self) -> bool {
        self.all
    }
}

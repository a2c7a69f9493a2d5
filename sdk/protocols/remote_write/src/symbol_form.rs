//! The labels of a page's series, ready for requests of version 2.
//!
//! A series names its labels by numbers of symbols, and a symbol has another number in each request. To find that of each
//! name and each value by its text is most of the work that a request of version 2 is. So the series of a page that comes
//! again have numbers of their own for their symbols; a request looks up each of these once, and all series that name it by
//! its place.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::symbols::{About, AboutNumbers, Symbols};

/// The series of a page, by numbers.
pub struct SymbolForm {
    /// No other form has it.
    id: u64,
    /// Texts end to end, and where each ends: by our numbers.
    texts: Box<[u8]>,
    text_ends: Box<[u32]>,
    /// Names and values of all series' labels, and where those of each series end.
    references: Box<[u32]>,
    ends: Box<[u32]>,
    /// What each series is; nothing if that is known of none.
    abouts: Box<[Option<AboutNumbers>]>,
}

/// What numbers the symbols of a form have in a request, as far as they were needed.
pub(crate) struct Numbers {
    /// The form's; 0 if there is none.
    of: u64,
    /// By its numbers. 0 if it is not known: it is that of the empty text, which is quickly found.
    numbers: Vec<u32>,
}

// === impl SymbolForm ===

impl SymbolForm {
    /// Of series, by their labels and what they are. None if they have more labels than can be numbered.
    pub fn of<'a, L: Iterator<Item = (&'a str, &'a str)>>(
        series: impl Iterator<Item = (L, Option<About<'a>>)>,
    ) -> Option<SymbolForm> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let mut symbols = Symbols::new();
        let (mut references, mut ends, mut abouts) = (Vec::new(), Vec::new(), Vec::new());
        for (labels, about) in series {
            for (name, value) in labels {
                references.extend([symbols.of(name), symbols.of(value)]);
            }
            ends.push(u32::try_from(references.len()).ok()?);
            abouts.push(about.map(|about| symbols.of_about(&about)));
        }
        if abouts.iter().all(Option::is_none) {
            abouts.clear();
        }
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let (texts, text_ends) = symbols.into_texts()?;
        let (references, ends, abouts) = (references.into(), ends.into(), abouts.into());
        Some(SymbolForm { id, texts, text_ends, references, ends, abouts })
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        let symbols = self.texts.len() + size_of_val(&*self.text_ends);
        symbols + size_of_val(&*self.references) + size_of_val(&*self.ends) + size_of_val(&*self.abouts)
    }

    /// Names and values of a series' labels.
    #[inline]
    pub(crate) fn references(&self, row: usize) -> &[u32] {
        &self.references[between(&self.ends, row)]
    }

    fn symbol(&self, number: u32) -> &[u8] {
        &self.texts[between(&self.text_ends, number as usize)]
    }

    /// Whether a series has any label.
    #[inline]
    pub fn has_labels(&self, row: usize) -> bool {
        !self.references(row).is_empty()
    }

    /// Whether it is known what a series is.
    #[inline]
    pub fn has_about(&self, row: usize) -> bool {
        self.about(row).is_some()
    }

    #[inline]
    pub(crate) fn about(&self, row: usize) -> Option<AboutNumbers> {
        self.abouts.get(row).copied().flatten()
    }
}

#[inline]
fn between(ends: &[u32], index: usize) -> Range<usize> {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    start as usize..ends[index] as usize
}

// === impl Numbers ===

impl Numbers {
    pub(crate) fn new() -> Numbers {
        Numbers { of: 0, numbers: Vec::new() }
    }

    /// Those of this form are asked for from now on.
    #[inline]
    pub(crate) fn begin(&mut self, form: &SymbolForm) {
        if self.of != form.id {
            self.of = form.id;
            self.numbers.clear();
            self.numbers.resize(form.text_ends.len(), 0);
        }
    }

    /// The request has no symbols any more.
    pub(crate) fn clear(&mut self) {
        self.of = 0;
    }

    /// The request's number of a symbol, which it has from now on.
    #[inline]
    pub(crate) fn get(&mut self, form: &SymbolForm, symbol: u32, request: &mut Symbols) -> u32 {
        match self.numbers[symbol as usize] {
            0 => self.find(form, symbol, request),
            known => known,
        }
    }

    #[cold]
    fn find(&mut self, form: &SymbolForm, symbol: u32, request: &mut Symbols) -> u32 {
        let number = request.of_bytes(form.symbol(symbol));
        self.numbers[symbol as usize] = number;
        number
    }
}

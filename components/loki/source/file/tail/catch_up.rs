//! What happened to the name while nobody looked: files that lost it are read to their end first.

use super::*;
use crate::source::file::siblings::{self, Found};

impl Tail {
    /// Reads what is left of the files that had the name, and says where to begin in the one that has it.
    pub(super) async fn catch_up(
        &mut self,
        (known, others): (Known, Arc<HashSet<PathBuf>>),
        window: &mut Window<Place>,
        stop: &Stop,
    ) -> Result<u64, Stopped> {
        let position = match self.from {
            From::Offset(offset) => offset,
            From::End => 0,
        };
        self.status.running.store(true, Relaxed);
        let (path, asked) = (self.path.clone(), known.clone());
        let found = base_sys::task::blocking("tail", move || siblings::find(&path, &asked, position, &others)).await;
        let Found { older, current, resume } = found.returned().ok_or(Stopped)?;
        // Names are watched since before: what was found must not come again.
        self.take_names();
        self.waiting.retain(|named| !older.iter().any(|(older, _)| older.is(&named.handle)));
        if let Some(handle) = current {
            if resume.is_some() {
                self.waiting.retain(|named| !named.handle.is(&handle));
            }
            if !self.waiting.iter().any(|named| named.handle.is(&handle)) {
                self.waiting.push_front(Named { handle, at: Instant::now() });
            }
        }
        let mut readings = Vec::new();
        for (handle, offset) in older {
            let file = self.file + readings.len() as u64;
            let (form, first) = TextForm::of_mark(handle.mark()).unwrap_or((self.form(), 0));
            let offset = offset.max(first);
            readings.push(Reading { handle, cursor: Cursor { file, offset, form }, first });
        }
        self.file += readings.len() as u64;
        self.behind = readings
            .iter()
            .map(|reading| Behind { reading: reading.clone(), delivered: reading.cursor.offset })
            .collect();
        let at = resume.unwrap_or(0);
        let behind = self.known_behind();
        self.position.change(|position, live| {
            *position = Some(at);
            *live = Known { now: known.now.filter(|_| resume.is_some()), behind, done: known.done };
        });
        for mut reading in readings {
            tracing::info!(path = %self.path.display(), offset = reading.cursor.offset, "the file lost its name while it was not read; reading its rest");
            self.read_all(&mut reading, window, stop, true).await?;
        }
        Ok(at)
    }
}

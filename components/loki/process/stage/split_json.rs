//! `stage.split_json`: a list becomes a line for each of its elements.

use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;

use crate::process::json::{Malformed, Scanner};
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::Plan;
use crate::process::work::{Source, Work};

/// Makes a line of every element of a JSON list.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct SplitJsonStage {
    /// Name of the extracted value to look at; the line when left out.
    #[attr]
    source: Option<String>,
}

impl Validate for SplitJsonStage {
    fn validate(&self) -> Result<(), Invalid> {
        if self.source.as_deref() == Some("") {
            return Err(Invalid::field("source", "source cannot be empty"));
        }
        Ok(())
    }
}

struct SplitJson(Source);

impl StageConfig for SplitJsonStage {
    fn names(&self, plan: &mut Plan) {
        if let Some(source) = &self.source {
            plan.read(source);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        Ok(Box::new(SplitJson(site.source(self.source.as_deref()))))
    }
}

impl Stage for SplitJson {
    fn run(&mut self, work: &mut Work) {
        let lines = std::mem::take(&mut work.lines);
        let mut done = Vec::with_capacity(lines.len());
        for line in lines {
            let Some(text) = self.0.span(&mut work.store, &line, &work.streams) else {
                done.push(line);
                continue;
            };
            match elements(work.store.bytes(&line, text)) {
                Err(Malformed) => done.push(line),
                Ok(elements) => {
                    for element in elements {
                        done.push(work.copy(&line, text.part(element)));
                    }
                }
            }
        }
        work.lines = done;
    }
}

fn elements(text: &[u8]) -> Result<Vec<std::ops::Range<usize>>, Malformed> {
    let mut scanner = Scanner::new(text);
    let mut elements = Vec::new();
    scanner.array(|scanner| {
        scanner.peek()?;
        let start = scanner.position();
        scanner.value()?;
        elements.push(start..scanner.position());
        Ok(())
    })?;
    scanner.end()?;
    Ok(elements)
}

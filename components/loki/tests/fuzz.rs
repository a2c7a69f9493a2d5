//! The fuzz target, for seconds, on seeds and mutations of them.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use base_metrics::Scope as Metrics;
use components_loki::process::{Pipeline, StageArguments, fuzz};
use language_eval::{Block, Scope};
use sdk_testing::{component, mutate};

/// How many mutations of the seeds.
const MUTATIONS: usize = 10_000;

const WORDS: &[&str] = &[
    "\n",
    " ",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "=",
    "stdout ",
    "stderr P ",
    "2026-03-04T05:06:07.1Z ",
    "\u{1b}[31m",
    "level=error",
    "\"log\":",
    "\\u00e9",
    "\u{e9}",
    "\0",
    "\t",
    "xxx",
];

#[derive(Block)]
struct Stages {
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

#[test]
fn any_lines_go_through_every_stage() {
    let stages: Stages = component::decode(fuzz::STAGES, &Scope::new()).expect("the stages decode");
    let pipeline = Pipeline::build(&stages.stages, &Metrics::detached()).expect("the stages can be made");
    let seeds: Vec<Vec<u8>> = [
        "2026-03-04T05:06:07.5Z stdout F {\"level\":\"error\",\"b\":{\"c\":[1]}}\n2026-03-04T05:06:07Z stderr P half \n",
        "{\"log\":\"level=info msg=\\\"hi there\\\"\\n\",\"stream\":\"stdout\",\"time\":\"2026-03-04T05:06:07Z\"}",
        "10.0.0.1 - ann [x] \u{1b}[31mred\u{1b}[0m 42",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec();
    let pipeline = AssertUnwindSafe(RefCell::new(pipeline));
    mutate::run(&seeds, WORDS, MUTATIONS, |text| fuzz::lines(&mut pipeline.borrow_mut(), text));
}

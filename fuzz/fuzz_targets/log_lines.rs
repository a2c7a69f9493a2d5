//! See `components_loki::process::fuzz::lines`.
#![no_main]

use std::cell::RefCell;

use base_metrics::Scope as Metrics;
use components_loki::process::{Pipeline, StageArguments, fuzz};
use language_eval::{Block, Scope};
use sdk_testing::component;

#[derive(Block)]
struct Stages {
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

thread_local! {
    static PIPELINE: RefCell<Pipeline> = RefCell::new(pipeline());
}

fn pipeline() -> Pipeline {
    let stages: Stages = component::decode(fuzz::STAGES, &Scope::new()).expect("the stages decode");
    Pipeline::build(&stages.stages, &Metrics::detached()).expect("the stages can be made")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| PIPELINE.with(|pipeline| fuzz::lines(&mut pipeline.borrow_mut(), data)));

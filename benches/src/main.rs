//! Macro benchmarks: what one item costs a whole collector process, at a fixed rate far below saturation.
//!
//! ```text
//! cargo xtask bench                      # every case, every peer that is installed
//! benches tail-json otlp scrape          # some
//! benches --alone scrape                 # without the peers
//! ```
//! Peers: the binaries in `$ALLOY_BIN` and, for the `otlp` ones, `$OTELCOL_BIN`; `prometheus` and `vmagent` from the PATH. Ours is `target/release/ferroalloy` or
//! `$FERROALLOY_BIN`. `$BENCH_SPANS_PER_SECOND` sets another rate for the `otlp` ones; those named `otlp-full` send as fast as is taken. The first figure is CPU time,
//! user and system, of all threads, from the process clock: it depends little on who else uses the machine.

mod agent;
mod apart;
mod cases;
mod load;

use agent::Candidate;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let alone = names.first().is_some_and(|first| first == "--alone");
    if alone {
        names.remove(0);
    }
    if names.is_empty() {
        names = cases::NAMES.iter().map(|name| (*name).to_owned()).collect();
    }
    let candidates = if alone { vec![Candidate::ours()] } else { Candidate::all() };
    for case in names {
        println!("\n## {case}\n");
        println!(
            "| collector | CPU µs per item | item | RSS anon MiB | RSS file MiB | bytes out per item | ratio to ours | |"
        );
        println!("|---|--:|---|--:|--:|--:|--:|---|");
        let mut ours = None;
        for candidate in &candidates {
            let row = cases::run(&case, candidate).await;
            match row {
                Ok(Some(row)) => {
                    let ours = *ours.get_or_insert(row.micros_per_item);
                    println!(
                        "| {:?} | {:.3} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
                        row.kind,
                        row.micros_per_item,
                        row.unit,
                        row.anonymous_mib,
                        row.file_mib,
                        row.wire_bytes_per_item,
                        row.micros_per_item / ours,
                        row.note
                    );
                }
                Ok(None) => {}
                Err(error) => println!("| {:?} | failed: {error} | | | | | | |", candidate.kind),
            }
        }
    }
    Ok(())
}

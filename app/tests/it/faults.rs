//! The short form of the fault runs: every scenario that needs no machine of its own, with few kills and seconds. `cargo
//! xtask faults` is the long form of the same.

use std::time::Duration;

use faults::{Scenario, Settings};

/// Each of these scenarios is a test of its own.
macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                keeps_its_promises($name).await;
            }
        )*

        #[test]
        fn every_short_scenario_is_run() {
            let run = [$($name),*];
            let missing: Vec<_> = faults::SCENARIOS
                .iter()
                .filter(|scenario| !scenario.long && !run.contains(&scenario.name))
                .map(|scenario| scenario.name)
                .collect();
            assert_eq!(missing, Vec::<&str>::new());
        }
    };
}

async fn keeps_its_promises(name: &str) {
    let settings = Settings {
        binary: env!("CARGO_BIN_EXE_ferroalloy").into(),
        kills: 4,
        time: Duration::from_secs(4),
        patience: Duration::from_secs(30),
    };
    let outcome = Scenario::named(name).expect("it is in the list").run(settings).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{name} could not be run: {error}"));
    eprintln!("{name}: {outcome:?}");
    assert_eq!(outcome.broken, Vec::<String>::new(), "{outcome:?}");
}

scenarios! {
    kill_9_while_tailing_loses_no_line = "kill",
    kill_9_while_tailing_loses_no_line_with_a_wal = "kill-wal",
    kill_9_in_outages_loses_no_line = "kill-outage",
    kill_9_in_outages_loses_no_line_with_a_wal = "kill-outage-wal",
    kill_9_loses_no_line_that_was_pushed_with_a_wal = "pushed-kill-wal",
    kill_9_in_outages_loses_no_line_that_was_pushed_with_a_wal = "pushed-kill-outage-wal",
    a_stop_leaves_nothing_behind = "stop",
    a_stop_with_a_slow_backend_leaves_nothing_behind = "stop-slow",
    a_stop_in_an_outage_leaves_nothing_behind = "stop-down",
    a_stop_in_an_outage_leaves_nothing_behind_with_a_wal = "stop-down-wal",
    a_backend_that_was_down_gets_everything_afterwards = "outage",
    too_many_requests_cost_nothing = "429",
    too_many_requests_with_a_time_to_come_back_cost_nothing = "429-later",
    errors_of_the_backend_cost_nothing = "500",
    bad_entries_cost_themselves = "400-entries",
    refused_requests_cost_themselves = "400",
    a_backend_that_hangs_up_costs_nothing = "hangs-up",
    a_dead_endpoint_beside_a_living_one_costs_that_one_nothing = "dead-endpoint",
    a_dead_component_beside_a_living_one_costs_that_one_nothing = "dead-component",
    a_full_disk_loses_no_line = "disk-full",
    kill_9_with_a_full_disk_loses_no_line = "disk-full-kill",
    damaged_positions_lose_no_line = "damage-positions",
    a_storm_of_renames_loses_no_line = "rename",
    a_storm_of_deletions_loses_no_line = "delete",
    a_storm_of_compressions_loses_no_line = "gzip",
    a_link_that_moves_loses_no_line = "link",
    a_storm_of_truncations_loses_what_it_says = "copytruncate",
    a_rename_while_we_are_stopped_loses_no_line = "rename-down",
    a_compression_while_we_are_stopped_loses_no_line = "gzip-down",
    a_truncation_while_we_are_stopped_loses_no_line = "copytruncate-down",
    kill_9_in_a_storm_of_renames_loses_no_line = "rename-kill",
    a_storm_of_reloads_loses_no_line_and_a_bad_one_changes_nothing = "reload",
    a_label_that_changes_repeats_no_line = "relabel",
    a_docker_engine_that_restarts_costs_nothing = "docker-engine",
    two_hundred_reloads_leave_nothing_behind = "reload-leftovers",
    kill_9_loses_no_span_of_a_durable_queue = "spans-kill",
    kill_9_in_outages_loses_no_span_of_a_durable_queue = "spans-kill-outage",
    a_stop_leaves_no_span_behind = "spans-stop",
    a_stop_in_an_outage_leaves_no_span_behind = "spans-stop-down",
    a_stop_in_an_outage_leaves_no_span_behind_in_a_batch = "spans-stop-down-batch",
    a_backend_that_was_down_gets_every_span_afterwards = "spans-outage",
    a_backend_that_was_down_gets_every_span_afterwards_in_batches = "spans-outage-batch",
    a_backend_that_is_not_available_costs_no_span = "spans-503",
    refused_spans_cost_themselves = "spans-400",
    a_backend_that_hangs_up_costs_no_span = "spans-hangs-up",
    a_backend_that_answers_late_costs_no_span = "spans-slow",
    twice_what_a_backend_takes_is_refused_early_and_costs_nothing_taken = "spans-overload",
    twice_what_a_backend_takes_costs_nothing_taken_in_a_batch = "spans-overload-batch",
    a_network_that_dies_without_a_word_costs_no_span = "spans-dead-network",
    clients_that_vanish_disturb_nobody = "half-open",
    clients_that_take_back_their_calls_disturb_nobody = "rapid-reset",
    bombs_are_refused_and_disturb_nobody = "bombs",
    kill_9_loses_no_log_record_of_a_durable_queue = "records-kill",
    kill_9_loses_no_data_point_of_a_durable_queue = "points-kill",
    kill_9_loses_no_sample = "samples-kill",
    kill_9_in_outages_loses_no_sample = "samples-kill-outage",
    a_stop_leaves_no_sample_behind = "samples-stop",
    a_stop_in_an_outage_leaves_no_sample_behind = "samples-stop-down",
    a_backend_that_was_down_gets_every_sample_afterwards = "samples-outage",
    a_backend_that_was_down_gets_every_sample_after_a_kill = "samples-outage-kill",
    errors_of_the_backend_cost_no_sample = "samples-500",
    refused_samples_cost_themselves = "samples-400",
    a_backend_of_an_older_version_gets_every_sample = "samples-415",
    a_dead_endpoint_costs_the_living_one_no_sample = "samples-dead-endpoint",
    a_full_disk_loses_no_sample = "samples-disk-full",
    kill_9_after_a_full_disk_has_room_again_loses_no_sample = "samples-disk-room-kill",
    targets_that_mean_harm_disturb_nobody = "scrape-hostile",
    a_storm_of_reloads_leaves_no_gap_between_scrapes = "scrape-reload",
    a_backend_that_hangs_up_costs_no_sample = "samples-hangs-up",
}

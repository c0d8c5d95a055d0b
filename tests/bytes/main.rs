//! Bytes of a store that change on their own, in all of its files: nobody is given wrong ones, daemons go on dying of none, and
//! `verify --repair` leaves a store that is like new. More of that is `soak bytes`.

use datacache_tests::bytes::{Campaign, Kind, State};

/// What all else follows from.
const SEED: u64 = 20_260_721;

/// Damages files of this kind, with a daemon and without.
#[track_caller]
fn survives(kind: Kind, rounds: usize) {
    let client_process = env!("CARGO_BIN_EXE_client-process").into();
    let mut campaign = Campaign::new(client_process, SEED + kind as u64);
    for state in [State::Stopped, State::Killed, State::Served].into_iter().cycle().take(rounds) {
        let outcome = campaign.round(kind, state);
        outcome.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn a_damaged_value_is_a_miss_and_can_be_added_again() {
    survives(Kind::Blob, 3);
}

#[test]
fn damaged_pages_of_the_index_end_no_daemon_for_long() {
    survives(Kind::Index, 4);
}

#[test]
fn a_damaged_log_costs_what_is_in_it_at_most() {
    survives(Kind::Log, 3);
}

#[test]
fn a_damaged_shared_index_is_made_anew() {
    survives(Kind::Recent, 3);
}

#[test]
fn what_is_only_kept_for_speed_costs_nothing() {
    for kind in [Kind::Access, Kind::Checked, Kind::Unclean, Kind::Readers] {
        survives(kind, 1);
    }
}

#[test]
fn a_damaged_configuration_is_named_and_costs_nothing() {
    survives(Kind::Configuration, 1);
}

//! The tests.

use std::process::Command;
use std::sync::OnceLock;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};

use crate::Fault;
use crate::campaign::Life;
use crate::disk::Neglect;
use crate::record::refusal;
use crate::simulator;

/// How many writes and other steps a life has.
const STEPS: u64 = 100;

/// Returns all tests. Those of them that need a recording count as ignored where none can be made.
pub(crate) fn trials() -> Result<Vec<Trial>, Fault> {
    let refusal = refusal(Command::new(std::env::current_exe()?).arg("submit"));
    let recorded = |name: String, test: Box<dyn FnOnce() -> Result<(), Failed> + Send>| {
        Trial::test(name, test).with_ignored_flag(refusal.is_some())
    };
    let mut trials: Vec<Trial> = Vec::new();
    for seed in 1..=3 {
        let name = format!("a_store_survives_every_loss_of_power_from_seed_{seed}");
        trials.push(recorded(name, Box::new(move || survives(seed))));
    }
    let name = "a_store_of_an_older_layout_survives_every_loss_of_power_while_it_is_taken_over";
    trials.push(recorded(name.to_owned(), Box::new(survives_its_takeover)));
    for &(name, neglect) in RULES {
        trials.push(recorded(name.to_owned(), Box::new(move || is_noticed(neglect, lives()))));
    }
    for &(name, neglect) in RULES_OF_A_TAKEOVER {
        trials.push(recorded(name.to_owned(), Box::new(move || is_noticed(neglect, takeover()))));
    }
    if let Some(reason) = &refusal {
        eprintln!("skipped: {} tests of a loss of power: {reason}", trials.len());
    }
    trials.extend(simulator::CASES.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    }));
    Ok(trials)
}

fn survives(seed: u64) -> Result<(), Failed> {
    let mut rng = Rng::with_seed(seed);
    for life in Life::several(seed, STEPS)? {
        let cuts = life.draw(&mut rng, 56);
        if let Some(failure) = life.cut(&cuts, Neglect::Nothing)? {
            return Err(life.tell(&failure)?.into());
        }
    }
    Ok(())
}

fn survives_its_takeover() -> Result<(), Failed> {
    for life in takeover().as_ref()? {
        let mut rng = Rng::with_seed(1);
        let mut cuts = life.draw(&mut rng, 40);
        cuts.extend(life.draw_where_generations_change(&mut rng, 10));
        cuts.sort();
        if let Some(failure) = life.cut(&cuts, Neglect::Nothing)? {
            return Err(life.tell(&failure)?.into());
        }
    }
    Ok(())
}

/// What is noticed where a rule is not kept.
const RULES: &[(&str, Neglect)] = &[
    ("a_log_that_is_not_synced_is_noticed", Neglect::Log),
    ("a_segment_that_is_not_synced_before_the_next_is_noticed", Neglect::PreviousSegment),
    ("a_folder_of_segments_that_is_not_synced_is_noticed", Neglect::LogFolder),
    ("an_index_whose_pages_are_not_synced_is_noticed", Neglect::IndexPages),
    ("an_index_whose_root_is_not_written_through_is_noticed", Neglect::IndexRoot),
    ("blobs_that_are_not_synced_before_a_durable_reply_are_noticed", Neglect::BlobsOfReplies),
    ("folders_of_blobs_that_are_not_synced_before_a_durable_reply_are_noticed", Neglect::BlobFoldersOfReplies),
    ("blobs_that_are_not_synced_before_their_batch_are_noticed", Neglect::BlobsOfBatches),
    ("blobs_that_are_not_synced_before_the_index_names_them_are_noticed", Neglect::BlobsOfTransactions),
    ("folders_for_blobs_that_are_not_synced_when_they_are_made_are_noticed", Neglect::FoldersOfBlobs),
    ("a_generation_that_is_not_synced_before_it_is_visible_is_noticed", Neglect::Generation),
    ("a_live_generation_whose_name_is_not_synced_is_noticed", Neglect::Current),
    ("folders_above_the_store_that_are_not_synced_are_noticed", Neglect::Above),
    ("shared_memory_that_is_taken_for_this_boots_is_noticed", Neglect::Boot),
];

/// What is noticed of that where a store is copied into another generation.
const RULES_OF_A_TAKEOVER: &[(&str, Neglect)] = &[
    ("a_copy_whose_pages_are_not_synced_is_noticed", Neglect::IndexPages),
    ("a_copy_whose_files_names_are_not_synced_before_it_is_live_is_noticed", Neglect::Generation),
    ("a_copy_that_is_live_and_not_synced_before_the_older_one_goes_is_noticed", Neglect::Current),
];

/// The lives that rules are broken in; the same for all.
fn lives() -> &'static Result<Vec<Life>, String> {
    static LIVES: OnceLock<Result<Vec<Life>, String>> = OnceLock::new();
    LIVES.get_or_init(|| Life::several(4, STEPS).map_err(|fault| fault.to_string()))
}

/// Lives that are little more than the takeover of an older layout.
fn takeover() -> &'static Result<Vec<Life>, String> {
    static LIVES: OnceLock<Result<Vec<Life>, String>> = OnceLock::new();
    LIVES.get_or_init(|| {
        let lives: Result<Vec<Life>, Fault> = (1..=3).map(|layout| Life::of_older(layout, 5, STEPS)).collect();
        lives.map_err(|fault| fault.to_string())
    })
}

fn is_noticed(neglect: Neglect, lives: &Result<Vec<Life>, String>) -> Result<(), Failed> {
    let mut rng = Rng::with_seed(1);
    for _ in 0..10 {
        for life in lives.as_ref()? {
            let cuts = life.draw(&mut rng, 60);
            if life.cut(&cuts, neglect)?.is_some() {
                return Ok(());
            }
        }
    }
    Err(format!("{neglect:?} makes no difference").into())
}

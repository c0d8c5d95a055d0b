//! Random operations on a store against a `BTreeMap`, with rotations, checkpoints, clean and unclean reopenings.
//!
//! The seed is printed; `DATACACHE_SEED=N` repeats a run, `DATACACHE_STEPS=N` makes it longer.

use crate::model::Run;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_operations_leave_the_store_equal_to_a_map() {
    let steps = number("DATACACHE_STEPS").unwrap_or(3_000);
    let seeds = match number("DATACACHE_SEED") {
        Some(seed) => vec![seed],
        None => {
            let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
            vec![1, 2, drawn.into()]
        }
    };
    for seed in seeds {
        println!("seed {seed}, {steps} steps");
        Run::new(seed).steps(steps);
    }
}

//! The state as bytes.

use super::super::testing::{Owner, hash};
use super::super::{Evictor, Policy, SavedError};

/// A state in which little is as it was in the beginning.
fn used() -> Evictor {
    let mut owner = Owner::new(Policy::S3Fifo);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let key = random.u64(..2_000).min(random.u64(..2_000));
        owner.ask_for(key, 1 + key % 50, 10_000);
    }
    owner.evictor
}

#[test]
fn a_state_comes_back_as_it_was_saved() {
    let saved = used().save();
    let loaded = Evictor::load(&saved).unwrap();
    assert_eq!(loaded.save(), saved);
    let parts = |evictor: &Evictor| (evictor.policy, evictor.queues, evictor.s3fifo.learned.clone());
    assert_eq!(parts(&loaded), parts(&used()));
    assert!(loaded.s3fifo.full && loaded.s3fifo.additions > 2_000);
    for policy in Policy::ALL {
        assert_eq!(Evictor::load(&Evictor::new(policy).save()), Ok(Evictor::new(policy)));
    }
}

#[test]
fn what_was_evicted_before_a_restart_is_remembered_after_it() {
    let mut evictor = used();
    let mut loaded = Evictor::load(&evictor.save()).unwrap();
    let ages = |evictor: &mut Evictor| (0..2_000).map(|key| evictor.s3fifo.small_ghost.recall(hash(key))).collect();
    let (before, after): (Vec<_>, Vec<_>) = (ages(&mut evictor), ages(&mut loaded));
    assert_eq!(before, after);
    assert!(before.iter().flatten().count() > 300);
}

#[test]
fn words_are_where_the_layout_draws_them() {
    let evictor = used();
    let saved = evictor.save();
    let word = |at: usize| u64::from_le_bytes(saved[at..at + 8].try_into().unwrap());
    assert_eq!(&saved[..8], b"dcevict ");
    assert_eq!([word(8), word(16)], [1, 0]);
    assert_eq!([word(24), word(48)], [evictor.queues.small.bytes, evictor.queues.main.entries]);
    assert_eq!([word(56), word(64)], [evictor.s3fifo.share, evictor.s3fifo.mean].map(f64::to_bits));
    assert_eq!(
        [word(96), word(264)].map(f64::from_bits),
        [evictor.s3fifo.learned.all.tries, evictor.s3fifo.learned.kinds[9].successes]
    );
    let slots = [evictor.s3fifo.small_ghost.parts().1.len(), evictor.s3fifo.main_ghost.parts().1.len()];
    assert_eq!([word(280), word(296)], slots.map(|slots| slots as u64));
    assert_eq!(saved.len(), 304 + 4 * (slots[0] + slots[1]) + 8);
}

#[test]
fn any_flipped_bit_is_found_and_so_is_what_is_cut_off() {
    let saved = Evictor::new(Policy::Lru).save();
    for bit in (0..saved.len() * 8).step_by(61) {
        let mut flipped = saved.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Evictor::load(&flipped).is_err(), "bit {bit}");
    }
    for length in (0..saved.len()).step_by(131) {
        assert!(Evictor::load(&saved[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn another_version_is_told_from_other_files_and_from_damage() {
    let mut saved = Evictor::new(Policy::S3Fifo).save();
    assert_eq!(Evictor::load(b"").unwrap_err(), SavedError::Damaged { length: 0 });
    assert_eq!(Evictor::load(b"0123456789abcdef").unwrap_err().to_string(), {
        "no state of an eviction: it begins with 0x3736353433323130"
    });
    saved[8] = 9;
    let error = Evictor::load(&saved).unwrap_err();
    assert_eq!(error.to_string(), "state of an eviction of version 9, this build knows 1");
}

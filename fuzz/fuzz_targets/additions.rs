//! The additions of one call, read where they lie.

#![no_main]

use datacache_proto::additions::Additions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(additions) = postcard::from_bytes::<Additions>(bytes) {
        datacache_fuzz::additions::check(&additions);
    }
});

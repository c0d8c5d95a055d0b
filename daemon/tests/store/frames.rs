//! Frames that are as full as they may be.

use crate::driver::{Driver, inline, put};
use datacache_daemon::store::{Command, NewValue, StoreError};
use datacache_proto::key::{Key, Tag};
use datacache_proto::log::{MAX_FRAME, OPERATION_HEAD};

/// A frame that is longer than any is taken for the end of the log: neither it nor what comes behind is ever applied.
#[test]
fn a_put_that_would_make_a_frame_too_long_to_be_read_is_refused() {
    let mut driver = Driver::new();
    let filler = || put("filler", inline(&vec![7; MAX_FRAME - 40_000]));
    driver.write(vec![filler()]).unwrap();
    let before = driver.store().end().offset;
    driver.write(vec![filler()]).unwrap();
    let room = MAX_FRAME - usize::try_from(driver.store().end().offset - before).unwrap();

    let key = Key::text(&"k".repeat(600));
    // The key stands in the operation and, since it is long, in the record too.
    let besides_value = OPERATION_HEAD + 2 * key.encoded().len() + 64 * 256;
    let with_everything = |length| {
        let mut command = put(key.clone(), NewValue::Inline(vec![7; length].into()));
        if let Command::Put(put) = &mut command {
            put.tags = (0..64).map(|number| Tag::new(&format!("{number:0255}")).unwrap()).collect();
        }
        command
    };
    let refused = driver.write(vec![filler(), with_everything(room - besides_value)]);
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    driver.write(vec![filler(), with_everything(room - besides_value - 64)]).unwrap();
    driver.checkpoint();
    assert_eq!(driver.len(), 2);
}

//! What has to hold of the additions of a call, whatever was sent.

use datacache_proto::additions::{Additions, AdditionsBuilder, BodyRef};
use datacache_proto::types::Body;

/// Checks that an error is the last that is told, that nothing is shown that was not sent, and that what can be read is the
/// same once it is written down again.
pub fn check(additions: &Additions) {
    let mut again = AdditionsBuilder::default();
    let mut read = 0;
    let mut rest = additions.iter();
    for addition in rest.by_ref() {
        let Ok(addition) = addition else {
            assert!(rest.next().is_none(), "something is told behind an error");
            return;
        };
        read += 1;
        assert_eq!(additions.part(addition.key), addition.key);
        if let BodyRef::Inline(value) = addition.body {
            assert_eq!(additions.part(value), value);
        }
        assert_eq!(BodyRef::from(&Body::from(addition.body)), addition.body);
        again.push(&addition);
    }
    assert_eq!(read, additions.len());
    let again = again.finish();
    assert!(again.iter().eq(additions.iter()), "{again:?} is not {additions:?}");
}

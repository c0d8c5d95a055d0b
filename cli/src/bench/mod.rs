//! The benchmark: what the cache takes for its operations, beside what the machine takes for the least that they could be
//! made of.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`plan`] | how many entries, of which size, how many operations, and their keys and values |
//! | [`ground`] | a namespace that no other run has, emptied in the end |
//! | [`row`] | the operations that are measured |
//! | [`worker`] | does them, on the cache |
//! | [`remote`] | the same in processes of their own, all at once |
//! | [`floor`] | a bare look into LMDB, in this process and on a copy of the data |
//! | [`ping`] | a bare message to another process and back |
//! | [`meter`] | the clock around each operation |
//! | [`samples`] | what it read, and the figures made of it |
//! | [`report`] | the figures as JSON and as a table |
//!
//! Every operation is measured by itself, with a reading of the clock before and after it. What these two readings take
//! together is told (`clock_ns`), and is in all figures, in those of the floor too. Making up keys, checking what was found
//! and dropping it lies outside of them.

pub(crate) mod floor;
pub(crate) mod ground;
pub(crate) mod meter;
pub(crate) mod ping;
pub(crate) mod plan;
pub(crate) mod remote;
pub(crate) mod report;
pub(crate) mod row;
pub(crate) mod samples;
pub(crate) mod worker;

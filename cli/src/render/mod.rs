//! How things are shown: lines for people, JSON and Prometheus text for programs. Pure functions; `now` is handed in.

pub(crate) mod aside;
pub(crate) mod compact;
pub(crate) mod entry;
pub(crate) mod finding;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod listing;
pub(crate) mod metric;
pub(crate) mod moment;
pub(crate) mod prometheus;
pub(crate) mod space;
pub(crate) mod stats;
pub(crate) mod stats_tables;
pub(crate) mod table;

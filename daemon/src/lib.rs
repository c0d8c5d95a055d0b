//! datacache
pub mod store;

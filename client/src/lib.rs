//! datacache

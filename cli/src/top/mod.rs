//! `top`: a live view of the daemon and its store.
//!
//! | module | what it is about |
//! | --- | --- |
//! | [`measurement`], [`history`] | what is known of one moment, and of the last ones |
//! | [`app`], [`listing`], [`rows`] | what is shown of it, and what keys change of that |
//! | [`view`], [`theme`] | how it is drawn |
//! | [`event`], [`input`], [`source`] | the threads that wait for keys, signals and the daemon |
//! | [`terminal`], [`backend`] | the terminal itself |
//!
//! One thread has the state and draws; the others send it [`event::Event`]s.

mod app;
mod backend;
mod event;
mod history;
mod input;
mod listing;
mod measurement;
mod rows;
mod session;
mod source;
mod terminal;
mod theme;
mod view;

pub(crate) use session::run;

//! What the policies do, case by case and at random.

mod random;
mod s3fifo;
mod saved;
mod simple;

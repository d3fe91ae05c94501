//! The oracle is tested itself: a good history passes each check, a spoiled one is caught with a sentence that says what is wrong.

mod disk;
mod heard;
mod plain;
mod promises;
mod random;
mod second;
mod stage;

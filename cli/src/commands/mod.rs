//! One file for each command.

pub(crate) mod bench;
pub(crate) mod completions;
mod connect;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod operator;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod status;

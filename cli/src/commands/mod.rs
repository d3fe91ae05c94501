//! One file for each command.

mod awaited;
pub(crate) mod bench;
pub(crate) mod completions;
mod connect;
pub(crate) mod elect;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod member;
pub(crate) mod objects;
pub(crate) mod once;
pub(crate) mod operator;
mod run;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod status;
mod stream;
pub(crate) mod watch;

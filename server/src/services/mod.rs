//! The unary services: each call is parsed once, decided below, answered once. The stream takes the same road.

mod acquire;
mod admin;
mod lock;
mod session;

pub(crate) use admin::Admin;
pub(crate) use lock::Locks;
pub(crate) use session::{Sessions, compare_and_raise, is_known, ttl_ms};

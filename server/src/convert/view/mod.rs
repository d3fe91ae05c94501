//! From what a reader sees of the machine to the wire.

mod note;
mod object;
mod session;

pub(crate) use note::note;
pub(crate) use object::{check, election, inspect, list, once_result, register, summary};
pub(crate) use session::{session, sessions};

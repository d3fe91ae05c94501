//! The one conversion between `conclave.v1` and the machine, for the unary services and the session stream alike.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod view;

//! The server of Conclave: it speaks for one node. Requests are parsed once, decided below, answered once; nothing here decides.

pub mod backup;
mod bind;
mod config;
mod convert;
mod deadline;
mod edge;
mod error;
mod follow;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod http;
mod limits;
mod listener;
mod metrics;
mod ready;
mod routes;
mod run;
mod server;
mod services;
mod status;
mod stream;
pub mod telemetry;

pub use config::{ConfigError, LogFormat, ServerConfig, Settings};
pub use error::ServerError;
pub use ready::Ready;
pub use run::{ExitReason, run};
pub use server::Server;
pub use status::DOMAIN;

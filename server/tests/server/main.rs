//! A server in this process, spoken to over the wire: every service, the stream, HTTP, bad input, forwarding, the stop.

mod acquire;
mod bad_input;
mod bad_primitives;
mod cluster;
mod config;
mod flow;
mod look;
mod observe;
mod operator;
mod primitives;
mod raw;
mod stop;
mod stream;
mod stream_life;
mod streamed;
mod support;
mod waits;
mod watch;

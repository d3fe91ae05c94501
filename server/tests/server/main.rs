//! A server in this process, spoken to over the wire: every service, the stream, HTTP, bad input, forwarding, the stop.

mod acquire;
mod bad_input;
mod cluster;
mod config;
mod flow;
mod look;
mod operator;
mod raw;
mod stop;
mod stream;
mod stream_life;
mod support;

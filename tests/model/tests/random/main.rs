//! Random commands: what the model, the generator and the observer do without a machine.

mod coverage;
mod watchman;

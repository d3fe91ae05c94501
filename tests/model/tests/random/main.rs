//! Random commands put the machine to the test against the model.

mod coverage;

//! What each helper must hold, one test a promise. The name of a test begins with the number of its promise: SEM, SF, CB, TG, GA,
//! DG, FL, RG.

mod barrier;
mod delay;
mod drops;
mod flow;
mod gather;
mod group;
mod group_policy;
mod processes;
mod run_group;
mod semaphore;
mod semaphore_model;
mod single_flight;
mod support;

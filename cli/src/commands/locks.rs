//! `conclave lock`, `rwlock` and `sem`: a command under a grant. They differ only in what is granted.

use super::run::{self, Order, Wanted};
use crate::args::{Global, LockArgs, RwlockArgs, SemArgs};
use crate::failure::Failure;

pub(crate) async fn lock(global: &Global, args: &LockArgs) -> Result<u8, Failure> {
    let LockArgs { names, run: flags, command } = args;
    run::run(global, Order { names, wanted: Wanted::Locks, flags, command }).await
}

pub(crate) async fn rwlock(global: &Global, args: &RwlockArgs) -> Result<u8, Failure> {
    let RwlockArgs { name, shared, run: flags, command } = args;
    let wanted = Wanted::Rwlock { shared: *shared };
    run::run(global, Order { names: std::slice::from_ref(name), wanted, flags, command }).await
}

pub(crate) async fn sem(global: &Global, args: &SemArgs) -> Result<u8, Failure> {
    let SemArgs { name, limit, weight, run: flags, command } = args;
    let wanted = Wanted::Permits { limit: *limit, weight: *weight };
    run::run(global, Order { names: std::slice::from_ref(name), wanted, flags, command }).await
}

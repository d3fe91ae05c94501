//! Arguments of `conclave member`.

use clap::{Args, Subcommand};

use super::Watch;

/// List the members of the cluster, add, promote or remove one
///
/// A node that is started with `conclave server --join` needs none of this when the cluster has a token: it gets a place, learns
/// what it lacks, and votes from then on. One change at a time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave member list
  conclave member add d 10.0.0.4:7421
  conclave member remove c")]
pub(crate) struct MemberArgs {
    #[command(subcommand)]
    pub(crate) action: MemberCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    List(MemberListArgs),
    Add(MemberAddArgs),
    Promote(MemberPromoteArgs),
    Remove(MemberRemoveArgs),
}

/// Show who belongs to the cluster, who votes, who is reached and how far each is behind
#[derive(Debug, Args)]
pub(crate) struct MemberListArgs {
    /// Answer from one node's memory, without a majority; may be old
    #[arg(long)]
    pub(crate) stale: bool,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// Prepare the place of a node that is to join
///
/// Needed where the cluster has no token. The node is then started with that name, that peer address and --join.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  conclave member add d 10.0.0.4:7421")]
pub(crate) struct MemberAddArgs {
    /// Name of the new node
    pub(crate) name: String,
    /// HOST:PORT at which the other nodes will reach it
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    /// It gets everything and has no vote until it is promoted
    #[arg(long)]
    pub(crate) learner: bool,
    /// Who does it
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Make a learner that has caught up a voter
#[derive(Debug, Args)]
pub(crate) struct MemberPromoteArgs {
    /// Name of the node
    pub(crate) name: String,
    /// Who does it
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Take a node out of the cluster for good, dead or alive
///
/// It stops by itself and never comes back with its data. Refused while too few of the others are alive to decide anything.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  conclave member remove c")]
pub(crate) struct MemberRemoveArgs {
    /// Name of the node
    pub(crate) name: String,
    /// Who does it
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

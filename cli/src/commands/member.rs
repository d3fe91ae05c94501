//! `conclave member`: who belongs to the cluster, and the verbs that change it.

use conclave_client::{Consistency, Error, Members, Refusal};
use serde::Serialize;

use super::connect;
use crate::args::{
    Global, MemberAddArgs, MemberArgs, MemberCommand, MemberListArgs, MemberPromoteArgs,
    MemberRemoveArgs,
};
use crate::failure::{Failure, code};
use crate::output::{self, Show, printable};

pub(crate) async fn run(global: &Global, args: &MemberArgs) -> Result<u8, Failure> {
    match &args.action {
        MemberCommand::List(args) => list(global, args).await,
        MemberCommand::Add(args) => add(global, args).await,
        MemberCommand::Promote(args) => promote(global, args).await,
        MemberCommand::Remove(args) => remove(global, args).await,
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Listed(Members);

impl Show for Listed {
    fn table(&self) -> String {
        let Members { cluster_id, node, leader, changing, members, .. } = &self.0;
        let leader = leader.as_deref().map_or("none known".to_owned(), printable);
        let mut text = format!("cluster   {cluster_id}, as {} sees it\n", printable(node));
        text += &format!("leader    {leader}\n");
        if *changing {
            text += "changing  a change of the members is under way\n";
        }
        let columns = ["id", "name", "role", "state", "reachable", "behind", "clients", "peers"];
        let mut table = output::new_table(&columns);
        output::align_right(&mut table, &[0, 5]);
        for member in members {
            table.add_row([
                member.id.to_string(),
                printable(&member.name),
                member.role.to_string(),
                member.state.to_string(),
                if member.reachable { "yes" } else { "no" }.to_owned(),
                member.behind.map_or("?".to_owned(), |behind| behind.to_string()),
                printable(&member.client_address),
                printable(&member.peer_address),
            ]);
        }
        text + "\n" + &output::draw(&table)
    }
}

async fn list(global: &Global, args: &MemberListArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let consistency = if args.stale { Consistency::Stale } else { Consistency::Linearizable };
    output::print_watched(global.output, args.watch, async || {
        admin.members(consistency).await.map(Listed).map_err(|error| connect::failure(&error))
    })
    .await?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Added {
    name: String,
    id: u64,
    peer_address: String,
}

impl Show for Added {
    fn table(&self) -> String {
        let Self { name, id, peer_address } = self;
        let (name, address) = (printable(name), printable(peer_address));
        format!(
            "{name}: its place is prepared (id {id}); start it on an empty directory:\n  \
             conclave server --name {name} --peer-listen {address} --join PEER-ADDRESS-OF-A-MEMBER\n"
        )
    }
}

async fn add(global: &Global, args: &MemberAddArgs) -> Result<u8, Failure> {
    let MemberAddArgs { name, address, learner, by } = args;
    let admin = connect::client(global)?.admin();
    let added = admin.add_member(name, address, *learner, by).await;
    let id = added.map_err(|error| failure(&error))?;
    let (name, peer_address) = (name.clone(), address.clone());
    output::print(global.output, &Added { name, id, peer_address })?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Promoted {
    name: String,
}

impl Show for Promoted {
    fn table(&self) -> String {
        format!("{}: votes from now on\n", printable(&self.name))
    }
}

async fn promote(global: &Global, args: &MemberPromoteArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let promoted = admin.promote_member(&args.name, &args.by).await;
    promoted.map_err(|error| failure(&error))?;
    output::print(global.output, &Promoted { name: args.name.clone() })?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    /// Never used again.
    id: u64,
}

impl Show for Removed {
    fn table(&self) -> String {
        format!(
            "{}: removed (id {}); it stops by itself and needs an empty directory to join again\n",
            printable(&self.name),
            self.id
        )
    }
}

async fn remove(global: &Global, args: &MemberRemoveArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let removed = admin.remove_member(&args.name, &args.by).await;
    let id = removed.map_err(|error| failure(&error))?;
    output::print(global.output, &Removed { name: args.name.clone(), id })?;
    Ok(0)
}

/// What the cluster said names what to do; only where it may have happened, that is to be looked at first.
fn failure(error: &Error) -> Failure {
    match error {
        Error::Refused(Refusal::NotFound { .. }) => Failure::new(
            code::REFUSED,
            "there is no member of that name",
            "see who there is with `conclave member list`",
        ),
        Error::NotAnswered(_) => Failure::new(
            code::NO_CLUSTER,
            printable(&error.to_string()),
            "it may have happened all the same: see `conclave member list` (with --stale where no majority runs)",
        ),
        _ => connect::failure(error),
    }
}

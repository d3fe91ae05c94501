//! `conclave status`: the cluster as the first node that answers sees it.

use conclave_client::ClusterStatus;
use serde::Serialize;

use super::connect;
use crate::args::{Global, StatusArgs};
use crate::failure::Failure;
use crate::output::{self, Show};

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(ClusterStatus);

impl Show for Shown {
    fn table(&self) -> String {
        let status = &self.0;
        let mut text = match (&status.leader, &status.leader_address) {
            (Some(leader), Some(address)) => format!("leader    {leader} at {address}\n"),
            (Some(leader), None) => format!("leader    {leader}\n"),
            (None, _) => "leader    none known\n".to_owned(),
        };
        text += &format!("term      {}\n", status.term);
        text += &format!("cluster   {}, as {} sees it\n", status.cluster_id, status.node);
        text += &format!(
            "keeps     {} sessions, {} objects, {} holds, {} waiters at revision {}\n\n",
            status.sessions, status.objects, status.holds, status.waiters, status.revision
        );
        let mut table =
            output::new_table(&["node", "role", "applied", "reachable", "clients", "peers"]);
        output::align_right(&mut table, &[2]);
        for node in &status.nodes {
            table.add_row([
                output::printable(&node.name),
                node.role.to_string(),
                node.applied.to_string(),
                if node.reachable { "yes" } else { "no" }.to_owned(),
                output::printable(&node.client_address),
                output::printable(&node.peer_address),
            ]);
        }
        text + &output::draw(&table)
    }
}

pub(crate) async fn run(global: &Global, args: &StatusArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    output::print_watched(global.output, args.watch, async || {
        admin.status().await.map(Shown).map_err(|error| connect::failure(&error))
    })
    .await?;
    Ok(0)
}

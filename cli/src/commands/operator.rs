//! The operator's verbs beside `sessions kill`: `force-release` and `step-down`.

use conclave_client::{Error, Refusal, Token};
use serde::Serialize;

use super::connect;
use crate::args::{ForceReleaseArgs, Global, StepDownArgs};
use crate::failure::{Failure, code};
use crate::output::{self, Show, printable};

#[derive(Debug, Serialize)]
struct Released {
    name: String,
    token: u64,
    /// True: still occupied until the old holder stopped.
    revoked: bool,
    revision: u64,
}

impl Show for Released {
    fn table(&self) -> String {
        let name = printable(&self.name);
        if self.revoked {
            format!(
                "{name}: the holder was told to stop; the next is granted as soon as it surely did\n"
            )
        } else {
            format!("{name}: free\n")
        }
    }
}

pub(crate) async fn force_release(global: &Global, args: &ForceReleaseArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let forced = admin.force_release(&args.name, Token::new(args.token), args.now, &args.by).await;
    let forced = forced.map_err(|error| match &error {
        Error::Refused(Refusal::NotFound { .. } | Refusal::NotHolder) => Failure::new(
            code::REFUSED,
            format!("{} is not held with token {}", printable(&args.name), args.token),
            format!("see who holds it now with `conclave inspect {}`", printable(&args.name)),
        ),
        _ => connect::failure(&error),
    })?;
    output::print(
        global.output,
        &Released {
            name: args.name.clone(),
            token: args.token,
            revoked: forced.revoked,
            revision: forced.revision,
        },
    )?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct SteppedDown {
    /// Who leads now; none when it is not known yet.
    leader: Option<String>,
    leader_address: Option<String>,
}

impl Show for SteppedDown {
    fn table(&self) -> String {
        match &self.leader {
            Some(leader) => format!("{} leads now\n", printable(leader)),
            None => "the leader stepped down; see `conclave status` for who follows\n".to_owned(),
        }
    }
}

pub(crate) async fn step_down(global: &Global, args: &StepDownArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let to = (!args.to.is_empty()).then_some(args.to.as_str());
    let leader = admin.step_down(to).await.map_err(|error| match &error {
        Error::Refused(refusal) => Failure::new(
            code::REFUSED,
            format!("the leader does not hand over: {}", printable(&refusal.to_string())),
            "name a voter that `conclave status` shows as reachable",
        ),
        _ => connect::failure(&error),
    })?;
    let (name, address) = leader.map(|leader| (leader.name, leader.address)).unzip();
    output::print(global.output, &SteppedDown { leader: name, leader_address: address })?;
    Ok(0)
}

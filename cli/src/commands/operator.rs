//! The operator's verbs beside `sessions kill`: `force-release`, `resize`, `transfer`, `delete` and `step-down`.

use conclave_client::{Consistency, Detail, Error, Refusal, SessionId, Token, Version};
use serde::Serialize;

use super::connect;
use crate::args::{DeleteArgs, ForceReleaseArgs, Global, ResizeArgs, StepDownArgs, TransferArgs};
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
struct Resized {
    name: String,
    limit: u32,
    version: u64,
    revision: u64,
}

impl Show for Resized {
    fn table(&self) -> String {
        let (name, version) = (printable(&self.name), self.version);
        match self.limit {
            0 => format!("{name}: paused, version {version}\n"),
            limit => format!("{name}: limit {limit}, version {version}\n"),
        }
    }
}

pub(crate) async fn resize(global: &Global, args: &ResizeArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let version = match args.if_version {
        Some(version) => Version::new(version),
        None => {
            let found = admin.inspect(&args.name, 1, Consistency::Linearizable).await;
            match found.map_err(|error| connect::failure(&error))? {
                Some(object) => match object.detail {
                    Some(Detail::Semaphore { version, .. }) => version,
                    _ => return Err(no_semaphore(&args.name, &object.kind.to_string())),
                },
                None => return Err(no_semaphore(&args.name, "nothing")),
            }
        }
    };
    let resized = admin.resize(&args.name, args.limit, version, &args.by).await;
    let resized = resized.map_err(|error| match &error {
        Error::Refused(Refusal::NotFound { .. }) => no_semaphore(&args.name, "nothing"),
        _ => connect::failure(&error),
    })?;
    output::print(
        global.output,
        &Resized {
            name: args.name.clone(),
            limit: args.limit,
            version: resized.version.get(),
            revision: resized.revision,
        },
    )?;
    Ok(0)
}

fn no_semaphore(name: &str, what: &str) -> Failure {
    Failure::new(
        code::REFUSED,
        format!("{} is no semaphore but {what}", printable(name)),
        "resize one that is in use, or was resized before; see `conclave list`",
    )
}

#[derive(Debug, Serialize)]
struct Transferred {
    name: String,
    term: u64,
    session: u64,
    revision: u64,
}

impl Show for Transferred {
    fn table(&self) -> String {
        format!(
            "{}: the leader of term {} was told to stop; session {} leads as soon as it surely did\n",
            printable(&self.name),
            self.term,
            self.session
        )
    }
}

pub(crate) async fn transfer(global: &Global, args: &TransferArgs) -> Result<u8, Failure> {
    let TransferArgs { name, term, session, by } = args;
    let admin = connect::client(global)?.admin();
    let done = admin.transfer(name, Token::new(*term), SessionId::new(*session), by).await;
    let revision = done.map_err(|error| match &error {
        Error::Refused(Refusal::NotFound { .. } | Refusal::NotHolder) => Failure::new(
            code::REFUSED,
            format!(
                "{} has no leader of term {term}, or no eligible candidate of session {session}",
                printable(name)
            ),
            format!("see both with `conclave inspect {}`", printable(name)),
        ),
        _ => connect::failure(&error),
    })?;
    let (term, session) = (*term, *session);
    output::print(global.output, &Transferred { name: name.clone(), term, session, revision })?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Deleted {
    name: String,
    revision: u64,
}

impl Show for Deleted {
    fn table(&self) -> String {
        format!("{}: deleted\n", printable(&self.name))
    }
}

pub(crate) async fn delete(global: &Global, args: &DeleteArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    let deleted = admin.delete(&args.name, &args.by).await;
    let revision = deleted.map_err(|error| connect::failure(&error))?;
    output::print(global.output, &Deleted { name: args.name.clone(), revision })?;
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
